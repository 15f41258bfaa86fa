"""The pieces that pages are composed of: what they say, and that nothing in them depends on a page."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import html5lib
import pytest
import time_machine
from django import forms
from django.template import Context, Template
from django.template.loader import render_to_string
from django.utils import timezone

from portal.env import BASE_DIR
from portal.icons import PATHS
from portal.looks import look, step_look
from portal.templatetags.portal import duration, filesize, grouped, inert, lasting, left, moment, relative

NOW = datetime(2026, 3, 4, 20, 41, 5, tzinfo=UTC)
STATIC = BASE_DIR / "static"


def part(name: str, **context: Any) -> str:
    """Render a partial and refuse markup that a browser would have to repair."""
    text = render_to_string(f"parts/{name}.html", context)
    html5lib.HTMLParser(strict=True).parseFragment(text)
    return text


class EveryField(forms.Form):
    name = forms.CharField(help_text="As your colleagues know it.")
    note = forms.CharField(required=False, widget=forms.Textarea)
    kind = forms.ChoiceField(choices=[("a", "One"), ("b", "Other")], widget=forms.RadioSelect)
    alerts = forms.BooleanField(help_text="One mail per change.")

    def clean(self) -> None:
        raise forms.ValidationError("These don't fit together.")


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (timedelta(seconds=-20), "just now"),
        (timedelta(seconds=20), "in a moment"),
        (timedelta(minutes=-1), "1 minute ago"),
        (timedelta(minutes=-59, seconds=-59), "59 minutes ago"),
        (timedelta(hours=3), "in 3 hours"),
        (timedelta(days=-7), "7 days ago"),
        (timedelta(days=-8), "24 Feb 2026"),
    ],
)
def test_relative_time_is_said_in_words(gap: timedelta, words: str) -> None:
    assert relative(NOW + gap, NOW) == words


@time_machine.travel(NOW, tick=False)
def test_a_moment_carries_the_exact_time_in_the_persons_zone() -> None:
    with timezone.override("Europe/Zurich"):
        text = moment(NOW - timedelta(minutes=5))
    assert "5 minutes ago" in text
    assert text.count("Wed 4 Mar 2026, 21:36:05 CET") == 2


@time_machine.travel(NOW, tick=False)
def test_a_clock_says_the_day_when_it_is_not_today() -> None:
    with timezone.override("Europe/Zurich"):
        assert ">23:41<" in moment(NOW + timedelta(hours=2), "clock")
        assert ">04:41 tomorrow<" in moment(NOW + timedelta(hours=7), "clock")
        assert ">21:41 on 9 Mar 2026<" in moment(NOW + timedelta(days=5), "clock")


def test_no_time_is_a_dash() -> None:
    assert moment(None) == "–"


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, "–"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1.0 KB"), (150 * 1024**2, "150 MB"), (2**31, "2.0 GB")],
)
def test_filesize(size: int | None, words: str) -> None:
    assert filesize(size) == words


@pytest.mark.parametrize(
    ("length", "words"),
    [(0.42, "0.4 s"), (timedelta(seconds=12), "12 s"), (119.6, "2 min 0 s"), (timedelta(hours=25), "25 h 0 min")],
)
def test_duration(length: timedelta | float, words: str) -> None:
    assert duration(length) == words


@time_machine.travel(NOW, tick=False)
def test_what_has_not_ended_lasts_until_now() -> None:
    assert lasting(NOW - timedelta(seconds=75), None) == "1 min 15 s"
    assert lasting(None, None) == ""


@time_machine.travel(NOW, tick=False)
def test_a_wait_is_never_said_to_be_shorter_than_it_is() -> None:
    assert left(NOW + timedelta(seconds=30, microseconds=1)) == "31 s"
    assert left(NOW - timedelta(seconds=1)) == "0 s"


def test_control_and_direction_characters_become_visible() -> None:
    assert inert("a\x1b[31mb\x00\x7f") == "a^[[31mb^@^?"
    assert inert("exe.\u202egpj\x9b") == "exe.‹U+202E›gpj‹U+009B›"
    assert inert("one\u2028two\u2029three") == "one‹U+2028›two‹U+2029›three"
    assert inert("line\n\tnext") == "line\n\tnext"
    assert inert("typed\r\nover\rtyped") == "typed\nover^Mtyped"


def test_a_secret_is_read_in_groups() -> None:
    assert grouped("ABCDEFGHIJ") == "ABCD EFGH IJ"


def test_running_means_something_else_for_a_step() -> None:
    assert look("running").icon == "running"
    assert step_look("running").icon == "working"


def test_a_state_that_nobody_drew_says_its_name() -> None:
    assert look("under_water").word == "Under water"


def test_every_look_has_an_icon_that_exists() -> None:
    from portal.looks import _STATES

    assert {state.icon for state in _STATES.values()} <= PATHS.keys()


def test_an_icon_is_silent_unless_it_is_named() -> None:
    template = Template('{% icon "stop" %}|{% icon "stop" label %}')
    silent, named = template.render(Context({"label": "Stop <it>"})).split("|")
    assert 'aria-hidden="true"' in silent
    assert 'role="img" aria-label="Stop &lt;it&gt;"' in named


@pytest.mark.parametrize("name", sorted(PATHS))
def test_an_icon_is_well_formed(name: str) -> None:
    html5lib.HTMLParser(strict=True).parseFragment(Template(f'{{% icon "{name}" %}}').render(Context()))


def test_the_padlock_says_in_words_what_it_shows() -> None:
    assert "Needs a code" in part("_padlock")
    assert "Unlocked until" in part("_padlock", window=SimpleNamespace(ends_at=timezone.now()))


def test_production_is_marked() -> None:
    production = SimpleNamespace(name="Production", is_production=True)
    assert "environment production" in part("_environment", environment=production)
    assert "environment production" not in part("_environment", environment=SimpleNamespace(name="Test"))


def test_steps_open_what_is_worked_on_and_keep_markup_inert() -> None:
    times = {"started_at": None, "ended_at": None}
    steps = [
        times | {"title": "Unpack", "state": "running", "output": "<b>\x1b[1m", "started_at": timezone.now()},
        times | {"title": "Switch", "state": "waiting"},
    ]
    text = part("_steps", steps=steps)
    assert "<details open>" in text
    assert "&lt;b&gt;^[[1m" in text


def test_confirming_says_what_will_happen() -> None:
    text = part("_confirm", what=["Data is removed."], label="Clear Test", tone="strong danger", back_url="/")
    assert "<li>Data is removed.</li>" in text
    assert '<button class="strong danger">Clear Test</button>' in text


def test_an_empty_list_says_how_to_begin() -> None:
    text = part("_empty", title="No packages yet", text="Upload one.", picture="package", url="/x", label="Upload")
    assert '<a class="button strong" href="/x">Upload</a>' in text
    assert "href" not in part("_empty", title="Nothing", text="Nothing.")


def test_progress_tells_real_numbers() -> None:
    assert '<progress max="10" value="4"' in part("_progress", done=4, total=10, text="4 of 10 MB")


def test_a_wait_names_its_end_for_the_countdown() -> None:
    assert f'data-until="{NOW.isoformat()}"' in part("_wait", until=NOW)


def test_a_field_is_wired_to_its_label_hint_and_error() -> None:
    text = str(EveryField({"name": "", "kind": "a", "alerts": "on"}))
    assert '<label for="id_name">Name</label>' in text
    assert 'aria-describedby="id_name_helptext id_name_error"' in text
    assert 'id="id_name_helptext"' in text
    assert 'id="id_name_error"' in text
    assert 'Note <span class="optional">optional</span>' in text


def test_what_is_wrong_with_a_form_stands_above_it() -> None:
    text = str(EveryField({"name": "x", "kind": "a", "alerts": "on"}))
    assert text.index('role="alert"') < text.index("These don&#x27;t fit together.") < text.index("<label")


def test_forms_are_valid_markup() -> None:
    html5lib.HTMLParser(strict=True).parseFragment(str(EveryField({"name": ""})))


def test_the_code_field_is_offered_by_phones() -> None:
    form = EveryField({"name": ""})
    text = part("_code_input", field=form["name"])
    assert 'inputmode="numeric" autocomplete="one-time-code"' in text
    assert 'aria-describedby="id_name_helptext id_name_error"' in text


def test_the_page_for_a_broken_portal_needs_nothing() -> None:
    text = render_to_string("500.html")
    html5lib.HTMLParser(strict=True).parse(text)
    for line in text.split('="/static/')[1:]:
        assert (STATIC / line.split('"')[0]).exists()


@pytest.mark.parametrize("page", ["400", "403", "403_csrf", "404", "413", "429"])
def test_a_page_for_what_went_wrong_needs_no_request(page: str) -> None:
    text = render_to_string(f"{page}.html")
    html5lib.HTMLParser(strict=True).parse(text)
    assert text.count("<h1>") == 1
    assert "button strong" in text


def test_a_refusal_names_who_can_help() -> None:
    refusal = {"title": "No", "text": "Missing.", "contact_name": "Alice", "contact_email": "a@example.org"}
    text = render_to_string("403.html", {"refusal": refusal})
    assert '<a href="mailto:a@example.org">' in text


def test_styles_and_script_stay_small() -> None:
    linked = re.findall(r"static '(css/[a-z]+\.css)'", (BASE_DIR / "templates/base.html").read_text())
    assert len(linked) == 3
    assert sum((STATIC / name).stat().st_size for name in linked) < 28_000
    assert sum(path.stat().st_size for path in STATIC.glob("js/*.js")) < 10_000


def test_no_template_holds_inline_script_or_style() -> None:
    for path in (BASE_DIR / "templates").rglob("*.html"):
        if path.parent.name == "emails":  # a mail has no style sheet to link to
            continue
        text = path.read_text().lower()
        assert not any(mark in text for mark in ("<style", " style=", " onclick=", "javascript:", "hx-on")), path
        assert "<script" not in text.replace("<script src=", ""), path
