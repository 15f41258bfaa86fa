"""Making apps, the start page, the team, the activity."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, AppendOnly
from environments import flows
from environments.models import App, Role
from tests.cast import Cast, make_person, signed_in


def test_whoever_creates_an_app_becomes_scrum_master_and_technical_contact(cast: Cast) -> None:
    answer = signed_in(cast.charlie).post("/apps/new/", {"name": "My shop", "slug": "my-shop"})
    assert answer.headers["Location"] == "/apps/my-shop/"
    app = App.objects.get(slug="my-shop")
    assert app.technical_contact == cast.charlie
    assert app.memberships.get().role.name == "SCRUM Master"
    kinds = [(e.slug, e.is_production, e.host) for e in app.environments.all()]
    assert kinds == [
        ("test", False, "test--my-shop"),
        ("acceptance", False, "acceptance--my-shop"),
        ("production", True, "production--my-shop"),
    ]


@pytest.mark.parametrize("slug", ["", "a", "new", "Calc", "a--b", "-ab", "ab-", "a b", "a_b", "ä1", "x" * 41, "calc"])
def test_a_bad_short_name_is_refused_with_a_sentence_and_what_was_typed_is_kept(cast: Cast, slug: str) -> None:
    answer = signed_in(cast.charlie).post("/apps/new/", {"name": "My <shop>", "slug": slug})
    assert answer.status_code == 200
    page = answer.content.decode()
    assert 'aria-invalid="true"' in page
    assert 'value="My &lt;shop&gt;"' in page
    assert App.objects.count() == 1


def test_creating_apps_can_be_left_to_staff(cast: Cast, settings: object) -> None:
    settings.APP_CREATION = "staff"  # type: ignore[attr-defined]
    assert signed_in(cast.charlie).get("/apps/new/").status_code == 404
    assert signed_in(cast.sam).get("/apps/new/").status_code == 200


def test_the_start_page_shows_the_persons_apps_and_no_others(cast: Cast) -> None:
    assert "Calc" in signed_in(cast.bob).get("/").content.decode()
    page = signed_in(cast.charlie).get("/").content.decode()
    assert "Calc" not in page
    assert "No apps yet" in page


def test_the_start_page_asks_the_same_number_of_queries_for_any_number_of_apps(cast: Cast) -> None:
    alice, counts = signed_in(cast.alice), []
    for batch in range(2):
        for n in range(5):
            flows.create_app(Actor(cast.alice), f"App {batch} {n}", f"app-{batch}-{n}")
        with CaptureQueriesContext(connection) as queries:
            alice.get("/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_activity_is_paged_and_newest_first(cast: Cast) -> None:
    for n in range(60):
        record(Act.APP_CREATED, Actor(cast.alice), f"entry {n:02}", app=cast.app)
    bob = signed_in(cast.bob)
    first = bob.get("/apps/calc/activity/").content.decode()
    assert "entry 59" in first
    assert "entry 05" not in first
    older = first.partition('href="?before=')[2].partition('"')[0]
    assert "entry 05" in bob.get(f"/apps/calc/activity/?before={older}").content.decode()
    assert bob.get("/apps/calc/activity/?before=x").status_code == 200


def test_activity_is_written_once_and_never_changed(cast: Cast) -> None:
    entry = Activity.objects.first()
    assert entry
    entry.target = "else"
    for change in (entry.save, entry.delete, Activity.objects.all().delete):
        with pytest.raises(AppendOnly):
            change()
    with pytest.raises(AppendOnly):
        Activity.objects.update(target="else")


def test_entries_outlive_what_they_speak_of_with_names_and_ids(cast: Cast) -> None:
    pk = cast.bob.pk
    flows.create_app(Actor(cast.bob), "Bobs", "bobs")
    app = App.objects.get(slug="bobs")
    entry = Activity.objects.filter(app_id=app.pk).latest("pk")
    App.objects.filter(pk=app.pk).delete()
    cast.membership(cast.bob).delete()
    cast.bob.delete()
    stays = Activity.objects.get(pk=entry.pk)
    assert (stays.actor_id, stays.actor_name, stays.app_id, stays.app_name) == (pk, "Bob", app.pk, "Bobs")


def test_names_with_markup_and_control_characters_are_shown_inert(cast: Cast) -> None:
    mallory = make_person("mallory")
    mallory.name = "<script>alert(1)</script>\x1b[31m\u202e"
    mallory.save()
    flows.add_member(cast.app, Actor(cast.alice), mallory, cast.membership(cast.bob).role)
    for path in ("team/", "activity/", "permissions/test/"):
        page = signed_in(cast.alice).get(f"/apps/calc/{path}").content.decode()
        assert "<script>alert(1)" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page


def test_the_database_refuses_to_change_activity_where_it_can(cast: Cast) -> None:
    """On PostgreSQL a trigger holds it against plain SQL; SQLite has no second user to hold it against."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for change in ("UPDATE accounts_activity SET target = 'else'", "DELETE FROM accounts_activity"):
                with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                    cursor.execute(change)
        cursor.execute("SELECT count(*) FROM accounts_activity WHERE target = 'else'")
        assert cursor.fetchone() == (0,)


def test_who_neither_deploys_nor_manages_the_team_does_not_see_it(cast: Cast) -> None:
    """Other members see the app's overview only."""
    erin, mia = make_person("erin"), make_person("mia")
    flows.add_member(cast.app, Actor(cast.alice), erin, Role.objects.get(name="End-user"))
    manager = Role.objects.create(name="Team lead", manages_team=True)
    flows.add_member(cast.app, Actor(cast.alice), mia, manager)
    client = signed_in(erin)
    assert client.get("/apps/calc/team/").status_code == 403
    assert 'href="/apps/calc/team/"' not in client.get("/apps/calc/").content.decode()
    assert cast.bob.email in signed_in(mia).get("/apps/calc/team/").content.decode()
