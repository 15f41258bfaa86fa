"""What options are, without pages and database: values, what differs, who set what, what a package gets."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from deployments.manifests import Constant, Manifest
from deployments.options import Change, Options, Setting, variable_problem
from deployments.variables import ValueType

GREETING = Constant("GREETING", ValueType.STRING, "Good day", "")
SIZE = Constant("SIZE", ValueType.INTEGER, "25", "")
KEY = Constant("KEY", ValueType.SECRET, None, "")
MANIFEST = Manifest(web="x", constants=(GREETING, SIZE, KEY))
ALICE = {"set_by": "Alice", "set_at": "2026-03-04T12:00:00+00:00"}


def constants(**values: str) -> Options:
    return Options(constants={name: Setting(value, secret=name == "KEY") for name, value in values.items()})


MARK = "s3cret-"
patient = how(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0-"), max_size=20)
plain, secret = st.builds(Setting, texts), st.builds(Setting, texts.map(MARK.__add__), st.just(True), texts)
settings = st.dictionaries(st.sampled_from("ABCD"), plain | secret)
events = st.frozensets(st.sampled_from(["Nightly", "Poll"]))
anything = st.builds(
    Options,
    settings,
    settings,
    events,
    st.dictionaries(st.sampled_from(["Nightly", "Poll"]), st.just("2026-03-04T12:00:00+00:00")),
    st.sampled_from(["", "/up"]),
    st.none() | st.integers(1, 100),
    st.sampled_from(["", "DEBUG"]),
)


@patient
@given(anything)
def test_what_is_written_is_read_back(options: Options) -> None:
    assert Options.from_json(options.as_json()) == options


@patient
@given(anything, anything)
def test_no_secret_is_in_what_differs(before: Options, after: Options) -> None:
    assert MARK not in "".join(map("".join, before.difference(after)))
    assert MARK not in "".join(map("".join, before.difference_at_restart(after, MANIFEST)))
    assert before.difference(before) == []


def test_an_app_gets_defaults_what_was_set_variables_and_the_log_level() -> None:
    assert Options().variables_for(MANIFEST) == {"GREETING": "Good day", "SIZE": "25"}
    options = replace(
        constants(GREETING="Hi", KEY="s3cret", GONE="x"), variables={"MODE": Setting("fast")}, log_level="DEBUG"
    )
    assert options.variables_for(MANIFEST) == {
        "GREETING": "Hi",
        "SIZE": "25",
        "KEY": "s3cret",
        "MODE": "fast",
        "LOG_LEVEL": "DEBUG",
    }


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (Options(), ["KEY has no value."]),
        (constants(KEY="s3cret"), []),
        (constants(KEY=""), ["KEY has no value."]),
        (constants(KEY="x", SIZE="many"), ["SIZE: The value must be a whole number, such as 25."]),
    ],
)
def test_constants_without_a_usable_value_are_named(options: Options, sentences: list[str]) -> None:
    assert [lack.sentence for lack in options.problems(MANIFEST)] == sentences


def test_what_differs_is_said_by_name_and_secrets_in_words() -> None:
    before = constants(GREETING="Hi", KEY="one")
    after = replace(
        constants(KEY="two", SIZE="30"),
        variables={"TOKEN": Setting("t0ken", secret=True)},
        events_off=frozenset({"Nightly"}),
        health_path="/up",
        patience=5,
        log_level="DEBUG",
    )
    assert before.difference(after) == [
        Change("GREETING", "Hi", ""),
        Change("KEY", "a secret", "another secret"),
        Change("SIZE", "", "30"),
        Change("TOKEN", "", "a secret"),
        Change("Event Nightly", "on", "off"),
        Change("Health path", "", "/up"),
        Change("Patience in seconds", "", "5"),
        Change("Log level", "", "DEBUG"),
    ]
    assert [change.deed for change in before.difference(after)] == [
        "removed",
        "changed",
        "set",
        "set",
        "switched off",
        "set",
        "set",
        "set",
    ]


def test_a_restart_is_waited_for_only_where_the_app_would_get_something_else() -> None:
    running = constants(KEY="one")
    same = replace(constants(KEY="one", GREETING="Good day", GONE="x"), events_off=frozenset({"Nightly"}), patience=5)
    assert running.difference_at_restart(same, MANIFEST) == []
    assert running.difference_at_restart(constants(KEY="two", SIZE="30"), MANIFEST) == [
        Change("KEY", "a secret", "another secret"),
        Change("SIZE", "25", "30"),
    ]


def test_what_was_a_secret_stays_one_whatever_a_package_says_of_it() -> None:
    """SECURITY: whoever may upload can't have a secret shown by declaring it as plain text."""
    before = constants(KEY="s3cret")
    plain = Constant("KEY", ValueType.STRING, "", "")
    assert before.is_secret(plain)
    after = before.__class__(constants={"KEY": Setting("new")}).stamped(before, "Bob", ALICE["set_at"])
    assert after.constants["KEY"].secret
    assert before.difference_at_restart(after, Manifest(constants=(plain,))) == [
        Change("KEY", "a secret", "another secret")
    ]


def test_only_what_differs_is_noted_as_set_by_somebody_else() -> None:
    before = Options(constants={"A": Setting("1", **ALICE), "B": Setting("2", **ALICE)})  # type: ignore[arg-type]
    after = constants(A="1", B="3").stamped(before, "Bob", "2026-03-05T12:00:00+00:00")
    assert (after.constants["A"].set_by, after.constants["B"].set_by) == ("Alice", "Bob")


def test_an_event_counts_from_when_it_was_switched_on() -> None:
    off = replace(Options(), events_off=frozenset({"Nightly", "Poll"}))
    on = replace(off, events_off=frozenset({"Poll"})).stamped(off, "Bob", "2026-03-05T12:00:00+00:00")
    assert on.events_on_since == {"Nightly": "2026-03-05T12:00:00+00:00"}
    assert off.stamped(on, "Bob", "later").events_on_since == {}


def test_going_back_keeps_constants_that_only_the_newer_version_has() -> None:
    now, then = constants(GREETING="new", NEWER="x"), constants(GREETING="old", KEY="k")
    assert now.back_to(then, MANIFEST).constants == constants(GREETING="old", KEY="k", NEWER="x").constants


@pytest.mark.parametrize("name", ["", "path", "PATH", "LD_PRELOAD", "PORT", "1A", "A B", "LOG_LEVEL", "GREETING"])
def test_a_variable_has_a_plain_name_of_its_own(name: str) -> None:
    assert variable_problem(name, MANIFEST)


def test_other_names_are_fine() -> None:
    assert variable_problem("MODE_2", MANIFEST) is None
    assert variable_problem("GREETING", None) is None
