"""The Options page: who may, what it shows and keeps to itself, what is saved, and when it reaches the app."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import Activity, Interrupted
from deployments.errors import ChangedMeanwhile
from deployments.flows import request_job
from deployments.models import EnvironmentOptions, JobOptions, Live
from deployments.option_flows import save_options, stored
from deployments.option_views import in_words
from deployments.options import Options, Setting
from deployments.reconciliation import reconcile
from deployments.runtimes.base import Instance
from deployments.states import JobKind
from deployments.worker import Worker
from environments.authority import NotPermitted
from environments.permissions import Permission
from tests.accounts.test_dump import dump
from tests.cast import Cast, signed_in, unlock, unlocked
from tests.deployments.fakes import FakeRuntime, make_package

OPTIONS, RESTART = "/apps/calc/environments/test/options/", "/apps/calc/environments/test/restart/"
PRODUCTION = "/apps/calc/environments/production/options/"
SECRET = "s3cret-of-the-bank"
CONSTANTS = [
    {"name": "GREETING", "default": "Good day", "description": "The <b>line</b> under the title."},
    {"name": "SIZE", "type": "integer", "default": 25},
    {"name": "OPEN", "type": "boolean", "default": True},
    {"name": "KEY", "type": "secret"},
]
EVENTS = [{"name": "Nightly report", "command": "true", "schedule": "30 2 * * *"}]


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def alice(cast: Cast, runtime: FakeRuntime) -> Client:
    """Alice's browser, with a package on Test that has a secret."""
    package = make_package(cast.app, cast.alice, constants=CONSTANTS, scheduled_events=EVENTS)
    save_options(cast.test, Actor(cast.alice), Options(constants={"KEY": Setting(SECRET, secret=True)}), 0)
    carry_out(cast, runtime, JobKind.TRANSPORT, package)
    return signed_in(cast.alice)


def carry_out(cast: Cast, runtime: FakeRuntime, kind: JobKind, package: Any = None) -> None:
    request_job(kind, cast.test, Actor(cast.alice), package)
    assert Worker(runtime, "tester").run_once()


def form_of(client: Client, address: str = OPTIONS) -> dict[str, Any]:
    """Everything that a browser would send if nothing was changed."""
    form = client.get(address).context["form"]
    sent = {}
    for bound in form:
        value = bound.value()
        if bound.widget_type == "checkbox" and not value:
            continue
        sent[bound.html_name] = (
            bound.field.widget.format_value(value) or "" if bound.widget_type != "checkbox" else "on"
        )
        if isinstance(sent[bound.html_name], list):
            sent[bound.html_name] = sent[bound.html_name][0]
    return sent


def save(client: Client, address: str = OPTIONS, **changes: Any) -> Any:
    names = {name.replace("__", "-"): value for name, value in changes.items()}
    return client.post(address, form_of(client, address) | names)


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_page_that_is_saved_as_it_is_changes_nothing(alice: Client, cast: Cast) -> None:
    before = stored(cast.test)
    assert save(alice).status_code == 302
    assert stored(cast.test) == before
    assert "Nothing was different." in text(alice.get(OPTIONS))


def test_what_is_saved_waits_for_a_restart_and_says_so_until_then(
    alice: Client, cast: Cast, runtime: FakeRuntime
) -> None:
    changes = {
        "constant__GREETING": "Hi\r\nall",
        "new__name__1": "MODE",
        "new__value__1": " fast ",
        "log_level": "DEBUG",
    }
    assert save(alice, **changes).status_code == 302
    page = text(alice.get(OPTIONS))
    assert "This applies at the next restart." in page
    assert "Restart to apply" in page
    instance = Instance(cast.test.pk, 1)
    assert runtime.specs[instance].variables["GREETING"] == "Good day"
    carry_out(cast, runtime, JobKind.RESTART)
    assert runtime.specs[Instance(cast.test.pk, 2)].variables == {
        "GREETING": "Hi\nall",
        "SIZE": "25",
        "OPEN": "true",
        "KEY": SECRET,
        "MODE": " fast ",
        "LOG_LEVEL": "DEBUG",
    }
    assert "applies at the next restart" not in text(alice.get(OPTIONS))


def test_an_accident_never_brings_newer_options(alice: Client, cast: Cast, runtime: FakeRuntime) -> None:
    save(alice, constant__GREETING="Hi")
    runtime.specs.clear()
    reconcile(runtime)
    assert runtime.specs[Instance(cast.test.pk, 1)].variables["GREETING"] == "Good day"
    assert runtime.specs[Instance(cast.test.pk, 1)].variables["KEY"] == SECRET


def test_a_secret_is_never_shown_again_and_an_empty_field_leaves_it(alice: Client, cast: Cast) -> None:
    save(alice, secret__constant__KEY="new-s3cret", **{"new-name-secret": "TOKEN", "new-value-secret": "t0ken-s3cret"})
    save(alice, constant__GREETING="Hi")
    assert stored(cast.test).options.constants["KEY"].value == "new-s3cret"
    for address in (OPTIONS, "/apps/calc/environments/test/", "/apps/calc/activity/", "/apps/calc/"):
        page = text(alice.get(address))
        assert "s3cret" not in page
    assert "Set " in text(alice.get(OPTIONS))
    assert "KEY: changed" in " ".join(re.sub("<[^>]*>", "", text(alice.get("/apps/calc/activity/"))).split())
    answer = save(alice, secret__constant__KEY="third-s3cret", constant__SIZE="many")
    assert answer.status_code == 400
    assert "s3cret" not in text(answer)
    assert "type those again" in text(answer)
    assert "s3cret" not in dump()
    assert alice.get(OPTIONS).headers["Cache-Control"].count("no-store")


def test_no_value_is_in_any_activity_only_what_was_done_to_which_name(alice: Client, cast: Cast) -> None:
    """SECURITY: a member without Transport Rights gets no options, and must not read them in the activity either."""
    first = {"constant__GREETING": "v4lue", "new__name__1": "MODE", "new__value__1": "v4lue", "health_path": "/v4lue"}
    save(alice, secret__constant__KEY="v4lue", **first)
    save(alice, constant__GREETING="v4lue2", variable__MODE="v4lue2", health_path="")
    entries = Activity.objects.filter(act="options.changed")[:2]
    assert [entry.after for entry in entries] == [
        {"GREETING": "changed", "Health path": "removed", "MODE": "changed"},
        {"GREETING": "set", "Health path": "set", "KEY": "changed", "MODE": "set"},
    ]
    assert "v4lue" not in "".join(f"{e.before}{e.after}{e.reason}{e.target}" for e in Activity.objects.all())
    bob = signed_in(cast.bob)
    assert bob.get(OPTIONS).status_code == 403
    assert "v4lue" not in text(bob.get("/apps/calc/activity/"))
    assert "v4lue" not in text(bob.get("/apps/calc/environments/test/activity/"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"constant__SIZE": "many"}, "whole number"),
        ({"constant__OPEN": "perhaps"}, "true or false"),
        ({"constant__GREETING": "x" * 10_001}, "longer than 10,000 characters"),
        ({"new__name__1": "PATH", "new__value__1": "/"}, "PATH is reserved"),
        ({"new__name__1": "LD_PRELOAD", "new__value__1": "/"}, "LD_PRELOAD is reserved"),
        ({"new__name__1": "GREETING", "new__value__1": "x"}, "is a constant of the package"),
        ({"new__name__1": "lower", "new__value__1": "x"}, "capital letters"),
        ({"new__name__1": "", "new__value__1": "x"}, "Enter a name"),
        ({"new__name__1": "A", "new__name__2": "A"}, "A is there already."),
        ({"new__name__secret": "A"}, "Enter the secret."),
        ({"health_path": "//evil.example"}, "begins with one /"),
        ({"patience": "0"}, "greater than or equal to 1"),
        ({"log_level": "LOUD"}, "not one of the available choices"),
    ],
)
def test_what_is_wrong_is_said_beside_the_field_and_kept(
    alice: Client, cast: Cast, changes: dict[str, str], sentence: str
) -> None:
    answer = save(alice, **changes)
    assert answer.status_code == 400
    assert sentence in text(answer)
    assert stored(cast.test).revision == 1


def test_variables_are_changed_removed_and_reset(alice: Client, cast: Cast) -> None:
    save(alice, new__name__1="A", new__value__1="1", new__name__2="B", new__value__2="2", constant__SIZE="30")
    save(alice, variable__A="one", remove__B="on", reset__SIZE="on")
    options = stored(cast.test).options
    assert {name: setting.value for name, setting in options.variables.items()} == {"A": "one"}
    assert set(options.constants) == {"KEY"}


def test_the_second_of_two_is_told_and_keeps_the_input(alice: Client, cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    typed = form_of(alice) | {"constant-SIZE": "30"}
    save(signed_in(cast.bob), constant__GREETING="Bob was here")
    answer = alice.post(OPTIONS, typed)
    assert answer.status_code == 409
    assert "Bob changed the options of Test in the meantime." in text(answer)
    assert 'value="30"' in text(answer)
    assert stored(cast.test).options.constants["GREETING"].value == "Bob was here"
    again = form_of_answer(answer) | {"constant-GREETING": "Bob was here"}
    assert alice.post(OPTIONS, again).status_code == 302
    assert stored(cast.test).options.constants["SIZE"].value == "30"


def form_of_answer(answer: Any) -> dict[str, Any]:
    return dict(answer.context["form"].data.items())


def test_another_package_in_between_is_said_as_well(alice: Client, cast: Cast, runtime: FakeRuntime) -> None:
    typed = form_of(alice)
    carry_out(cast, runtime, JobKind.TRANSPORT, make_package(cast.app, cast.alice, "2.0.0"))
    answer = alice.post(OPTIONS, typed)
    assert answer.status_code == 409
    assert "Another package is on Test since you opened this page." in text(answer)


def test_the_flow_asks_once_more_for_right_window_and_revision(alice: Client, cast: Cast) -> None:
    with pytest.raises(NotPermitted, match="Transport Rights"):
        save_options(cast.test, Actor(cast.bob), Options(), 1)
    with pytest.raises(NotPermitted, match="Enter a code"):
        save_options(cast.production, Actor(cast.alice), Options(), 0)
    with pytest.raises(ChangedMeanwhile):
        save_options(cast.test, Actor(cast.alice), Options(), 0)


def test_a_form_that_met_a_closed_window_is_kept_without_showing_its_secrets(alice: Client, cast: Cast) -> None:
    unlocked(cast.alice)
    unlock(alice, cast.alice)
    form = form_of(alice, PRODUCTION) | {"new-name-secret": "TOKEN", "new-value-secret": "t0ken"}
    closed = signed_in(cast.alice)
    assert closed.post(PRODUCTION, form).headers["Location"].startswith("/authenticator/")
    kept = Interrupted.objects.get()
    assert kept.title == "Change the options of Production"
    unlock(closed, cast.alice)
    offered = text(closed.get(f"/authenticator/continue/{kept.pk}/"))
    assert "t0ken</dd>" not in offered
    assert "<dt>TOKEN</dt><dd>not set → a secret</dd>" in offered
    answer = closed.post(f"{PRODUCTION}?confirmed={kept.pk}", form)
    assert answer.status_code == 302
    assert stored(cast.production).options.variables["TOKEN"].value == "t0ken"


def test_what_a_waiting_form_changes_is_told_behind_right_and_window_only(alice: Client, cast: Cast) -> None:
    test, production = ({"app": "calc", "environment": slug} for slug in ("test", "production"))
    fields = [(name, str(value)) for name, value in (form_of(alice) | {"constant-SIZE": "30"}).items()]
    may_not: Any = SimpleNamespace(user=cast.bob, window=None)
    may: Any = SimpleNamespace(user=cast.alice, window=None)
    assert in_words(may, test, fields) == [("SIZE", "not set → 30")]
    assert in_words(may_not, test, fields) == []
    assert in_words(may, production, fields) == []


def test_what_is_on_the_page_is_inert(alice: Client) -> None:
    assert "The &lt;b&gt;line&lt;/b&gt; under the title." in text(alice.get(OPTIONS))


def test_an_empty_environment_says_what_will_stand_there(cast: Cast) -> None:
    client = signed_in(cast.alice)
    page = text(client.get("/apps/calc/environments/acceptance/options/"))
    assert "Nothing is on Acceptance yet." in page
    answer = save(client, "/apps/calc/environments/acceptance/options/", new__name__1="MODE", new__value__1="x")
    assert answer.status_code == 302


def test_constants_of_another_version_are_listed_until_they_are_removed(
    alice: Client, cast: Cast, runtime: FakeRuntime
) -> None:
    carry_out(cast, runtime, JobKind.TRANSPORT, make_package(cast.app, cast.alice, "2.0.0"))
    page = text(alice.get(OPTIONS))
    assert "has no use for" in page
    assert SECRET not in page
    save(alice, forget__KEY="on")
    assert stored(cast.test).options.constants == {}


def test_keys_are_rotated_in_options_too(alice: Client, settings: Any) -> None:
    from cryptography.fernet import Fernet

    from accounts import keys

    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]
    keys.rotate()
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    for model in (EnvironmentOptions, JobOptions):
        column = next(column for column in keys.columns() if column.model is model)
        assert column.fits()
    assert alice.get(OPTIONS).status_code == 200


def test_the_health_check_follows_path_and_patience(
    alice: Client, cast: Cast, runtime: FakeRuntime, settings: Any
) -> None:
    settings.HEALTH_PATIENCE = 0
    save(alice, health_path="/up")
    carry_out(cast, runtime, JobKind.RESTART)
    assert "check /up" in runtime.calls
    assert Live.objects.get().instance == 2


def test_what_no_key_of_the_portal_fits_is_said_in_words(alice: Client, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]
    for address in ("/apps/calc/environments/test/", OPTIONS):
        answer = alice.get(address)
        assert answer.status_code == 503
        assert "The portal can’t read this now" in answer.content.decode()
