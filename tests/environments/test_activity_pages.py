"""The activity of an app and of an environment: filters, pages, what needs a code, CSV, what a page costs."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments import flows
from environments.kinds import ABOUT_NO_APP, Kind, acts_of, kinds_of
from environments.models import Environment
from environments.timeline import PAGE, Wanted, day_in_words, entries_of, every, page_of
from tests.cast import Cast, make_person, signed_in, unlock, unlocked

APP = "/apps/calc/activity/"
CSV = "/apps/calc/activity.csv"
TEST, PRODUCTION = "/apps/calc/environments/test/activity/", "/apps/calc/environments/production/activity/"
LOCKED = "What changed on production needs a code."


def page(client: Client, address: str, **query: str | int) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def entries(html: str) -> list[str]:
    """The sentences of the page's entries, in their order."""
    return [" ".join(part.partition("</li>")[0].split()) for part in html.split('<li class="entry">')[1:]]


def rows(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture
def told(cast: Cast) -> Cast:
    """A few things happened, each in its own minute."""
    record(Act.PACKAGE_UPLOADED, Actor(cast.bob), "calc 1.0.0", app=cast.app)
    record(Act.TRANSPORT_ASKED, Actor(cast.bob), "calc 1.0.0", app=cast.app, environment=cast.test)
    record(Act.OPTIONS_CHANGED, Actor(cast.alice), app=cast.app, environment=cast.test, after={"MODE": "slow"})
    record(
        Act.STOP_ASKED,
        Actor(cast.alice, address="192.0.2.7"),
        "x",
        app=cast.app,
        environment=cast.production,
        reason="Night shift.",
    )
    record(Act.REFUSED, Actor(cast.bob), "Transport Rights is missing", app=cast.app, environment=cast.production)
    return cast


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "sentences"),
        [
            ({"kind": "packages"}, ["uploaded calc 1.0.0"]),
            ({"kind": "refusals"}, ["was refused: Transport Rights is missing"]),
            ({"person": "bob", "kind": "deployments"}, ["asked to transport calc 1.0.0"]),
            ({"person": "BOB@example.org", "kind": "team"}, []),
            ({"person": "nobody"}, []),
        ],
    )
    def test_by_person_and_kind(self, told: Cast, query: dict[str, str], sentences: list[str]) -> None:
        found = entries(page(signed_in(told.bob), APP, **query))
        assert len(found) == len(sentences)
        assert all(sentence in entry for sentence, entry in zip(sentences, found, strict=True))

    def test_by_environment(self, told: Cast) -> None:
        found = entries(page(signed_in(told.bob), APP, environment=told.test.pk))
        assert len(found) == 2
        assert entries(page(signed_in(told.bob), TEST)) == found

    def test_by_day_in_the_persons_time_zone(self, cast: Cast) -> None:
        cast.bob.time_zone = "Europe/Amsterdam"
        cast.bob.save()
        with time_machine.travel(datetime(2030, 3, 4, 23, 30, tzinfo=UTC), tick=False):  # the 5th in Amsterdam
            record(Act.PACKAGE_UPLOADED, Actor(cast.bob), "calc 1.0.0", app=cast.app)
            bob = signed_in(cast.bob)
            for query, count in (
                ({"since": "2030-03-05", "until": "2030-03-05"}, 1),
                ({"since": "2030-03-06"}, 0),
                ({"since": "2030-03-01", "until": "2030-03-04"}, 0),
            ):
                assert len(entries(page(bob, APP, **query))) == count, query

    @pytest.mark.parametrize(
        ("query", "sentence"),
        [
            ({"since": "yesterday"}, "Enter a day"),
            ({"since": "2026-03-04", "until": "2026-03-01"}, "before the other one"),
            ({"until": "9999-12-31"}, "less than or equal"),
            ({"since": "0001-01-01"}, "greater than or equal"),
            ({"kind": "secrets"}, "not one of the available choices"),
            ({"environment": "x"}, "not one of the available choices"),
            ({"environment": "1' OR 1=1"}, "not one of the available choices"),
        ],
    )
    def test_a_filter_that_can_not_be_says_so_and_shows_nothing(
        self, told: Cast, query: dict[str, str], sentence: str
    ) -> None:
        html = page(signed_in(told.bob), APP, **query)
        assert sentence in html
        assert entries(html) == []
        if "since" not in query or query["since"] != "yesterday":
            assert unlocked(told.bob).get(CSV, query).status_code == 302

    def test_it_tells_nobody_who_has_an_account(self, told: Cast) -> None:
        """Somebody who never did anything here is as somebody who does not exist."""
        bob = signed_in(told.bob)
        for typed in ("Charlie", "charlie@example.org", "Sam", "nobody@example.org"):
            html = page(bob, APP, person=typed)
            assert "Nobody has this name" in html, typed
            assert "Nothing fits" not in html, typed

    def test_of_many_who_share_a_name_those_of_the_app_are_found(self, told: Cast) -> None:
        User.objects.bulk_create(User(email=f"other{n}@example.org", name="Erin") for n in range(9))
        erin = make_person("erin")
        record(Act.PACKAGE_UPLOADED, Actor(erin), "calc 9.9.9", app=told.app)
        assert "calc 9.9.9" in page(signed_in(told.bob), APP, person="Erin")

    def test_an_environment_of_another_app_is_no_choice(self, told: Cast) -> None:
        other = flows.create_app(Actor(told.charlie), "Other", "other")
        theirs = other.environments.all()[0]
        record(Act.STOP_ASKED, Actor(told.charlie), "secret", app=other, environment=theirs)
        html = page(signed_in(told.bob), APP, environment=theirs.pk)
        assert entries(html) == []
        assert "secret" not in html

    def test_of_two_people_of_one_name_both_are_shown(self, told: Cast) -> None:
        second = make_person("second")
        second.name = "Bob"
        second.save()
        record(Act.PACKAGE_UPLOADED, Actor(second), "other 1.0.0", app=told.app)
        found = entries(page(signed_in(told.alice), APP, person="Bob", kind="packages"))
        assert ["other 1.0.0" in entry for entry in found] == [True, False]

    def test_somebody_who_left_is_found_still(self, told: Cast) -> None:
        told.membership(told.bob).delete()
        assert len(entries(page(signed_in(told.alice), APP, person="bob", kind="packages"))) == 1

    def test_every_act_about_an_app_belongs_to_a_kind(self) -> None:
        without = [act for act in Act if not kinds_of(act) and act.value.partition(".")[0] not in ABOUT_NO_APP]
        assert without == []
        assert Act.REFUSED in acts_of(Kind.REFUSALS)
        assert Act.PACKAGE_REFUSED in acts_of(Kind.REFUSALS)
        assert Act.PACKAGE_REFUSED in acts_of(Kind.PACKAGES)


class TestPages:
    @pytest.fixture
    def many(self, cast: Cast) -> Cast:
        fill(cast, 3 * PAGE + 7)
        return cast

    def test_pages_lead_on_and_back_without_a_gap_and_keep_the_filter(self, many: Cast) -> None:
        bob = signed_in(many.bob)
        seen: list[list[str]] = []
        address = f"{APP}?kind=packages&person=Alice"
        while address:
            html = bob.get(address).content.decode()
            seen.append([entry.partition("uploaded ")[2].partition("<")[0] for entry in entries(html)])
            address = link(html, "Older")
        assert [len(each) for each in seen] == [PAGE, PAGE, PAGE, 7]
        flat = [name for each in seen for name in each]
        assert flat == sorted(flat, reverse=True)
        assert len(set(flat)) == 3 * PAGE + 7

        back = [seen[-1]]
        while address := link(html, "Newer"):
            assert "kind=packages" in address
            html = bob.get(address).content.decode()
            back.insert(0, [entry.partition("uploaded ")[2].partition("<")[0] for entry in entries(html)])
        assert back[0] == seen[0]
        assert back[-1] == seen[-1]

    @pytest.mark.parametrize("name", ["before", "after"])
    @pytest.mark.parametrize("value", ["x", "-1", "0", "9" * 18, "9" * 40, "1' --", ""])
    def test_an_odd_place_to_begin_is_the_first_page(self, many: Cast, name: str, value: str) -> None:
        found = entries(page(signed_in(many.bob), APP, **{name: value}))
        assert len(found) == PAGE

    def test_an_entry_of_another_app_is_no_place_to_begin(self, many: Cast) -> None:
        other = flows.create_app(Actor(many.charlie), "Other", "other")
        theirs = Activity.objects.filter(app_id=other.pk).latest("pk")
        assert page_of(Wanted(app=many.app), before=theirs.pk) == page_of(Wanted(app=many.app))

    def test_entries_of_the_same_moment_are_shown_once_each(self, cast: Cast) -> None:
        at = datetime(2030, 1, 1, tzinfo=UTC)
        Activity.objects.bulk_create(entry(cast, number, at) for number in range(2 * PAGE + 3))
        wanted = Wanted(app=cast.app, acts=(Act.PACKAGE_UPLOADED,))
        first = page_of(wanted)
        second = page_of(wanted, before=first.older)
        third = page_of(wanted, before=second.older)
        shown = [each.pk for found in (first, second, third) for each in found.entries]
        assert len(shown) == len(set(shown)) == 2 * PAGE + 3
        assert third.older is None
        assert page_of(wanted, after=third.newer).entries == second.entries

    def test_a_clock_that_was_set_back_hides_nothing(self, cast: Cast) -> None:
        """Entries are in the order of their times, whatever the order in which they were written."""
        now = datetime(2030, 1, 1, tzinfo=UTC)
        Activity.objects.bulk_create(entry(cast, n, now - timedelta(days=(n * 37) % 101)) for n in range(101))
        wanted = Wanted(app=cast.app, acts=(Act.PACKAGE_UPLOADED,), since=now - timedelta(days=60))
        times = [each.at for each in every(wanted)]
        assert times == sorted(times, reverse=True)
        assert len(times) == 61

    def test_days_have_headings(self, cast: Cast) -> None:
        today = datetime(2030, 3, 4, tzinfo=UTC).date()
        assert day_in_words(today, today) == "Today"
        assert day_in_words(today - timedelta(days=1), today) == "Yesterday"
        assert day_in_words(today - timedelta(days=2), today) == "Saturday 2 March 2030"
        html = page(signed_in(cast.bob), APP)
        assert ">Today</h2>" in html

    def test_nothing_yet_and_nothing_fitting_say_so(self, cast: Cast) -> None:
        bob = signed_in(cast.bob)
        assert "Nothing fits" in page(bob, APP, kind="packages")
        assert "Nobody has this name" in page(bob, APP, person="Zoe")
        assert "Nothing happened yet" in page(bob, TEST)


def link(html: str, words: str) -> str:
    before = html.partition(f">{words}</a>")[0]
    return APP + before.rpartition('href="')[2].rstrip('"').replace("&amp;", "&") if before != html else ""


def entry(cast: Cast, number: int, at: datetime) -> Activity:
    alice = cast.alice
    named = {"actor_id": alice.pk, "actor_name": alice.name, "app_id": cast.app.pk, "app_name": "Calc"}
    return Activity(act=Act.PACKAGE_UPLOADED, target=f"p{number:04}", at=at, via="browser", **named)


def fill(cast: Cast, count: int) -> None:
    begin = datetime(2029, 1, 1, tzinfo=UTC)
    Activity.objects.bulk_create(entry(cast, n, begin + timedelta(hours=n)) for n in range(count))


class TestProduction:
    def test_what_changed_there_is_kept_back_until_a_code_was_entered(self, told: Cast) -> None:
        bob = signed_in(told.bob)
        for address in (APP, "/apps/calc/"):
            html = page(bob, address)
            assert "asked to stop x" in html
            assert "Night shift." not in html
            assert "192.0.2.7" not in html
            assert "MODE" in html.replace("Mode", "MODE")
            assert "Needs a code" in html
        assert LOCKED in page(bob, APP)
        unlock(bob, told.bob)
        html = page(bob, APP)
        assert "Night shift." in html
        assert "192.0.2.7" in html
        assert LOCKED not in html

    def test_of_an_environment_that_is_gone_it_is_kept_back_too(self, told: Cast) -> None:
        """It may have been production."""
        Environment.objects.filter(pk__in=(told.test.pk, told.production.pk)).delete()
        html = page(signed_in(told.bob), APP)
        assert "Night shift." not in html
        assert "slow" not in html

    @pytest.mark.parametrize(
        "facts",
        [
            {"role": "Business Engineer", "permissions on Production": ["Access to Backups"]},
            {"Technical Contact": "Bob", "permissions on Production of Alice": ["Access to Backups"]},
            {"scope": "read only", "reaches production": ["Access to Backups"]},
        ],
    )
    def test_what_somebody_could_do_there_is_kept_back_whatever_it_is_told_with(
        self, cast: Cast, facts: dict[str, Any]
    ) -> None:
        record(Act.MEMBER_CHANGED, Actor(cast.alice), "Charlie", app=cast.app, before=facts)
        bob = signed_in(cast.bob)
        for address in (APP, "/apps/calc/"):
            assert "Charlie" in page(bob, address)
            assert "Access to Backups" not in page(bob, address)
        Environment.objects.filter(pk=cast.production.pk).update(is_production=False)
        assert "Access to Backups" in page(bob, APP)
        Environment.objects.filter(pk=cast.production.pk).update(is_production=True)
        unlock(bob, cast.bob)
        assert "Access to Backups" in page(bob, APP)

    def test_its_own_page_asks_for_a_code(self, told: Cast) -> None:
        bob = signed_in(told.bob)
        assert bob.get(PRODUCTION).headers["Location"].startswith("/authenticator/?")
        unlock(bob, told.bob)
        assert "Night shift." in page(bob, PRODUCTION)

    def test_the_csv_asks_for_a_code_for_an_app_with_production(self, told: Cast) -> None:
        bob = signed_in(told.bob)
        assert bob.get(CSV).headers["Location"].startswith("/authenticator/?")
        Environment.objects.filter(pk=told.production.pk).update(is_production=False)
        assert bob.get(CSV).status_code == 200


class TestNames:
    def test_they_outlive_what_they_name(self, told: Cast) -> None:
        key = told.test.pk
        bob = signed_in(told.bob)
        html = page(bob, APP, environment=key)
        assert 'on <a href="/apps/calc/environments/test/">Test</a>' in html
        record(Act.ENVIRONMENT_DELETED, Actor(told.alice), "Test", app=told.app, environment=told.test)
        told.test.delete()
        html = page(bob, APP, environment=key)
        assert "Test (deleted)" in html
        assert "on Test" in html
        assert '<a href="/apps/calc/environments/test/">' not in html

    def test_members_are_offered_but_no_others(self, told: Cast) -> None:
        html = page(signed_in(told.bob), APP)
        assert '<option value="Alice">' in html
        assert '<option value="Charlie">' not in html


class TestCsv:
    def test_it_has_all_that_the_filters_let_through(self, told: Cast) -> None:
        alice = unlocked(told.alice)
        answer = alice.get(CSV, {"kind": "deployments"})
        assert answer.headers["Content-Disposition"] == 'attachment; filename="calc-activity.csv"'
        found = rows(answer)
        assert [row["What"] for row in found] == ["asked to stop", "asked to transport"]
        assert found[0]["Reason"] == "Night shift."
        assert found[0]["Address"] == "192.0.2.7"
        assert [row["Environment"] for row in found] == ["Production", "Test"]
        options = rows(alice.get(CSV, {"kind": "options"}))[0]
        assert json.loads(options["After"]) == {"MODE": "slow"}

    def test_who_downloaded_it_is_recorded_where_it_was_handed_out(self, told: Cast) -> None:
        taken = Activity.objects.filter(act=Act.ACTIVITY_EXPORTED)
        signed_in(told.alice).get(CSV)  # is sent to enter a code
        alice = unlocked(told.alice)
        alice.head(CSV)
        alice.get(CSV, {"since": "nonsense"})
        assert not taken.exists()
        alice.get(CSV, {"kind": "deployments"})
        entry = taken.get()
        assert (entry.actor_name, entry.target, entry.app_name) == ("Alice", "Calc", "Calc")
        assert "downloaded the activity of Calc" in page(alice, APP, kind="logs")

    def test_quotes_line_breaks_and_formulas_come_back_harmless(self, cast: Cast) -> None:
        cast.alice.name = "=cmd|'/c calc'!A0"
        cast.alice.save()
        record(Act.PACKAGE_UPLOADED, Actor(cast.alice), '+1 "x",\r\ny;=2', app=cast.app, reason="-3\n@4")
        found = rows(unlocked(cast.bob).get(CSV, {"kind": "packages"}))[0]
        assert found["Person"].startswith("'=cmd")
        assert found["Of"].startswith('\'+1 "x"')
        assert found["Reason"].startswith("'-3")

    def test_it_goes_on_beyond_what_is_read_at_once(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("environments.timeline.EXPORTED_AT_ONCE", 10)
        fill(cast, 35)
        found = rows(unlocked(cast.bob).get(CSV, {"kind": "packages"}))
        assert [row["Of"] for row in found] == [f"p{number:04}" for number in reversed(range(35))]


BAD = {"postgresql": ("Sort  (", "Seq Scan"), "sqlite": ("TEMP B-TREE", "SCAN")}


def plans(queryset: Any) -> Iterator[str]:
    sql, parameters = queryset.query.sql_with_params()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off"
            )
        prefix = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
        cursor.execute(prefix + sql, parameters)
        yield from (" ".join(map(str, row)) for row in cursor.fetchall())


CHOICES = list(product((False, True), repeat=4))


@pytest.mark.parametrize("turn", ["first", "before", "after"])
def test_no_page_sorts_or_scans_whatever_is_filtered(cast: Cast, turn: str) -> None:
    """The database follows the index made for these filters, and stops when the page is full."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    beside = Activity(pk=5, at=now + timedelta(hours=1))
    places: dict[str, dict[str, Activity]] = {"first": {}, "before": {"before": beside}, "after": {"after": beside}}
    for environment, person, kind, time in CHOICES:
        wanted = Wanted(
            app=cast.app,
            environment=cast.test.pk if environment else None,
            people=(cast.alice.pk,) if person else None,
            acts=acts_of(Kind.DEPLOYMENTS) if kind else None,
            since=now if time else None,
            until=now + timedelta(days=1) if time else None,
        )
        plan = list(plans(entries_of(wanted, PAGE + 1, **places[turn])))
        used = [line for line in plan if "activity_of_app" in line]
        assert used, plan
        assert [line for line in plan if any(word in line for word in BAD[connection.vendor])] == [], plan
        fixed = ["environment_id"] * environment + ["actor_id"] * person + ["act"] * kind
        if connection.vendor == "sqlite":
            known = [sum(f"{column}=?" in line for column in fixed) for line in used]
            assert min(known) >= min(len(fixed), 2), plan


def test_a_filter_that_ends_before_the_page_begins_there(cast: Cast) -> None:
    """`before` and `after` may come from a page that was filtered otherwise."""
    begin = datetime(2029, 1, 1, tzinfo=UTC)
    Activity.objects.bulk_create(entry(cast, n, begin + timedelta(hours=n)) for n in range(10))
    written = list(Activity.objects.filter(act=Act.PACKAGE_UPLOADED).order_by("at"))
    since, until = written[3].at, written[6].at
    wanted = Wanted(app=cast.app, acts=(Act.PACKAGE_UPLOADED,), since=since, until=until)
    for before in written:
        meant = [each for each in written[3:6] if each.at < before.at]
        assert list(entries_of(wanted, 20, before=before)) == meant[::-1]
        assert list(entries_of(wanted, 20, after=before)) == [each for each in written[3:6] if each.at > before.at]
