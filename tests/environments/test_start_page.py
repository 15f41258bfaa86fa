"""The start page: the person's apps, how their environments are, and finding one among two hundred."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import User
from deployments.models import Job, Live
from deployments.states import ACTIVE, EnvironmentState, JobKind, JobState
from environments import flows, start_page
from environments.models import App, Environment, Membership, Role
from portal.templatetags.portal import initials
from tests.cast import Cast, signed_in
from tests.deployments.fakes import make_package


def page(client: Client, address: str = "/") -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def shown(html: str) -> list[str]:
    """The names on the tiles, in their order."""
    return [part.partition("</a></h2>")[0].rpartition(">")[2] for part in html.split('<li class="panel tile">')[1:]]


def make_apps(person: User, count: int) -> None:
    """Many apps of a person, each with its three environments, straight into the database."""
    role = Role.objects.get(name="Business Engineer")
    numbers = range(count)
    apps = App.objects.bulk_create(App(slug=f"a-{n}", name=f"App {n:03}", technical_contact=person) for n in numbers)
    Membership.objects.bulk_create(Membership(app=app, user=person, role=role) for app in apps)
    Environment.objects.bulk_create(
        Environment(app=app, slug=slug, name=name, is_production=production, host=f"{slug}--{app.slug}")
        for app in apps
        for slug, name, production in flows.FIRST_ENVIRONMENTS
    )


def test_each_app_shows_how_its_environments_are_in_words(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    running = {"state": EnvironmentState.RUNNING, "package": package, "instance": 1}
    Live.objects.create(environment=cast.test, **running)
    Live.objects.create(environment=cast.acceptance, **running, trouble="It ended by itself: exit code 3.")
    Job.objects.create(
        environment=cast.production, number=1, kind=JobKind.TRANSPORT, package_name="calc 1.0.0", asker_name="Bob"
    )
    html = page(signed_in(cast.bob))
    names = ("Test", "Acceptance", "Production")
    test, acceptance, production = (html.partition(f">{name}</span>")[2].partition("</dd>")[0] for name in names)
    assert "Running" in test
    assert "1.0.0" in test
    assert "Offline" in acceptance
    assert "exit code" not in html
    assert "Empty" in production
    assert "Queued" in production
    assert "Transport calc 1.0.0" in production


def test_what_is_under_way_or_in_trouble_stands_first(cast: Cast) -> None:
    make_apps(cast.bob, 60)
    assert shown(page(signed_in(cast.bob)))[:2] == ["App 000", "App 001"]
    troubled, busy = (Environment.objects.get(app__slug=f"a-{n}", slug="test") for n in (58, 57))
    state = EnvironmentState.RUNNING
    Live.objects.create(environment=troubled, state=state, instance=1, trouble="It ended by itself: signal 9.")
    Job.objects.create(environment=busy, number=1, kind=JobKind.STOP, state=JobState.RUNNING, asker_name="Bob")
    assert shown(page(signed_in(cast.bob)))[:3] == ["App 057", "App 058", "App 000"]


def test_what_ended_does_not_stand_first(cast: Cast) -> None:
    make_apps(cast.bob, 3)
    environment = Environment.objects.get(app__slug="a-2", slug="test")
    Live.objects.create(environment=environment, state=EnvironmentState.STOPPED, trouble="")
    Job.objects.create(environment=environment, number=1, kind=JobKind.STOP, state=JobState.FAILED, asker_name="Bob")
    assert shown(page(signed_in(cast.bob)))[0] == "App 000"
    assert set(start_page.ACTIVE) == set(ACTIVE)


def test_two_hundred_apps_cost_as_many_queries_as_one_and_come_in_pages(cast: Cast) -> None:
    bob = signed_in(cast.bob)
    with CaptureQueriesContext(connection) as few:
        page(bob)
    make_apps(cast.bob, 199)
    with CaptureQueriesContext(connection) as many:
        first = page(bob)
    assert len(many) == len(few)
    assert len(shown(first)) == start_page.PAGE
    assert "200 apps" in first
    assert "Page 1 of 4" in first
    names = [name for number in range(1, 5) for name in shown(page(bob, f"/?page={number}"))]
    assert len(set(names)) == 200
    with CaptureQueriesContext(connection) as elsewhere:
        page(bob, "/apps/calc/")
    assert not any("environments_app" in q["sql"] and "ORDER BY" in q["sql"] for q in elsewhere)


@pytest.mark.parametrize(
    ("words", "found"),
    [("app 01", 10), ("APP 012", 1), ("a-17", 1), ("calc", 1), ("100%", 0), ("_", 0), ("<b>", 0), ("App%20012", 1)],
)
def test_apps_are_searched_by_name_and_short_name(cast: Cast, words: str, found: int) -> None:
    make_apps(cast.bob, 30)
    html = page(signed_in(cast.bob), f"/?q={words}")
    assert len(shown(html)) == found
    assert "<b>" not in html.partition("No app of yours fits")[0].partition("<main")[2]
    if not found:
        assert "No app of yours fits" in html


def test_the_search_is_kept_from_page_to_page(cast: Cast) -> None:
    make_apps(cast.bob, 120)
    html = page(signed_in(cast.bob), "/?q=App")
    assert 'href="?q=App&amp;page=2"' in html


def test_apps_of_others_are_not_found(cast: Cast) -> None:
    flows.create_app(Actor(cast.charlie), "Secret", "secret")
    bob = signed_in(cast.bob)
    assert shown(page(bob, "/?q=secret")) == []
    assert bob.get("/?q=secret&go=").status_code == 200


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("calc", "/apps/calc/"),
        ("App 012", "/apps/a-12/"),
        ("a-1", "/apps/a-1/"),
        ("app", None),
        ("", None),
        ("x", None),
    ],
)
def test_the_field_in_the_top_bar_leads_to_the_app_that_is_meant(cast: Cast, words: str, address: str | None) -> None:
    make_apps(cast.bob, 30)
    answer = signed_in(cast.bob).get("/", {"q": words, "go": ""})
    assert answer.headers.get("Location") == address
    assert answer.status_code == (302 if address else 200)


def test_a_few_apps_have_no_search_in_their_way(cast: Cast) -> None:
    assert "Name or short name" not in page(signed_in(cast.bob))


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Calc", "CA"),
        ("My shop", "MS"),
        ("a", "A"),
        ("time sheets two", "TS"),
        ("<b>", "B"),
        ("\u202e!", "?"),
        ("ß", "SS"),
    ],
)
def test_a_picture_has_the_letters_of_the_name(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_the_picture_has_the_apps_colour(cast: Cast) -> None:
    App.objects.update(colour="purple")
    for address in ("/", "/apps/calc/"):
        html = page(signed_in(cast.bob), address)
        assert '<span class="picture purple" aria-hidden="true">CA</span>' in html
