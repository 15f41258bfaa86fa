"""Settings: who changes an app and its environments, what names are good, and two people saving at once."""

import pytest

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity
from environments import flows, settings_flows
from environments.authority import NotPermitted
from environments.models import App, Colour, Environment, Role
from environments.settings_flows import NotPossible, fingerprint
from tests.cast import Cast, make_person, signed_in, unlocked
from tests.deployments.fakes import actor_with_window

PAGE = "/apps/calc/settings/"
ADD, ORDER = PAGE + "add-environment/", PAGE + "order/"
RENAME_TEST, RENAME_PRODUCTION = PAGE + "environments/test/", PAGE + "environments/production/"


def form(app: App, **changes: str) -> dict[str, str]:
    """What the Settings page sends when only this was typed."""
    shown = {"name": app.name, "description": app.description, "colour": app.colour, "seen": fingerprint(app)}
    return shown | changes


def names(cast: Cast) -> list[str]:
    return [environment.name for environment in cast.app.environments.all()]


def last(act: Act) -> Activity:
    return Activity.objects.filter(act=act).latest("pk")


def test_who_manages_the_team_changes_name_description_and_colour_without_a_code(cast: Cast) -> None:
    mia = make_person("mia")
    flows.add_member(cast.app, Actor(cast.alice), mia, Role.objects.create(name="Team lead", manages_team=True))
    typed = form(cast.app, name="Calculator", description="Adds up.", colour="teal")
    assert signed_in(mia).post(PAGE, typed).status_code == 302
    cast.app.refresh_from_db()
    assert (cast.app.name, cast.app.description, cast.app.colour) == ("Calculator", "Adds up.", "teal")
    entry = last(Act.APP_CHANGED)
    assert (entry.actor_name, entry.target) == ("Mia", "Calc")
    assert entry.before == {"name": "Calc", "description": "", "colour": "blue"}
    assert entry.after == {"name": "Calculator", "description": "Adds up.", "colour": "teal"}


def test_others_change_nothing_of_the_app(cast: Cast) -> None:
    assert signed_in(cast.bob).post(PAGE, form(cast.app, name="Mine")).status_code == 403
    assert signed_in(cast.charlie).post(PAGE, form(cast.app, name="Mine")).status_code == 404
    with pytest.raises(NotPermitted):
        settings_flows.change_app(cast.app, Actor(cast.bob), form(cast.app, name="Mine"), fingerprint(cast.app))
    cast.app.refresh_from_db()
    assert cast.app.name == "Calc"


def test_the_second_of_two_who_save_sees_what_the_first_one_saved_and_decides(cast: Cast) -> None:
    first, second = signed_in(cast.alice), signed_in(cast.alice)
    old = form(cast.app, description="Second.")
    assert first.post(PAGE, form(cast.app, description="First.", colour="red")).status_code == 302
    answer = second.post(PAGE, old)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "“First.”" in page
    assert "the colour Red" in page
    assert 'value="Second."' in page
    cast.app.refresh_from_db()
    assert cast.app.description == "First."
    again = page.partition('name="seen" value="')[2].partition('"')[0]
    assert second.post(PAGE, old | {"seen": again}).status_code == 302
    cast.app.refresh_from_db()
    assert cast.app.description == "Second."


@pytest.mark.parametrize("colour", ["", "pink", "blue production"])
def test_a_colour_that_is_not_offered_is_refused(cast: Cast, colour: str) -> None:
    assert signed_in(cast.alice).post(PAGE, form(cast.app, colour=colour)).status_code == 400
    cast.app.refresh_from_db()
    assert cast.app.colour == Colour.BLUE


def test_forms_change_only_what_they_ask_for(cast: Cast) -> None:
    """Mass assignment: fields of the models that no form has are not read."""
    more = {"slug": "mine", "technical_contact": str(cast.bob.pk), "project_id": "0" * 32, "app": "99"}
    alice = unlocked(cast.alice)
    alice.post(PAGE, form(cast.app, name="Calculator") | more)
    cast.app.refresh_from_db()
    assert (cast.app.name, cast.app.slug, cast.app.technical_contact) == ("Calculator", "calc", cast.alice)

    more = {"is_production": "on", "slug": "x1", "host": "test--other", "order": "0", "app": "99"}
    alice.post(ADD, {"name": "Demo"} | more)
    added = Environment.objects.get(name="Demo")
    assert (added.app, added.slug, added.host, added.is_production) == (cast.app, "demo", "demo--calc", False)
    assert names(cast)[-1] == "Demo"
    alice.post(RENAME_TEST, {"name": "Trial", "seen": "Test"} | more)
    alice.post(RENAME_PRODUCTION, {"name": "Live", "seen": "Production", "is_production": ""})
    kinds = {e.name: (e.slug, e.is_production) for e in cast.app.environments.all()}
    assert kinds["Trial"] == ("test", False)
    assert kinds["Live"] == ("production", True)


def test_the_technical_contact_adds_an_ordinary_environment(cast: Cast) -> None:
    answer = unlocked(cast.alice).post(ADD, {"name": "Demo-2"})
    assert answer.headers["Location"] == PAGE + "#environment-demo-2"
    entry = last(Act.ENVIRONMENT_ADDED)
    assert (entry.target, entry.environment_name) == ("Demo-2", "Demo-2")
    assert entry.after == {"host": "demo-2--calc", "type": "ordinary"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "Enter the name"),
        ("a", "two or more"),
        ("a b", "two or more"),
        ("a--b", "single hyphens"),
        ("-ab", "single hyphens"),
        ("ab-", "single hyphens"),
        ("ab\u00e4", "letters and digits"),
        ("ab\u0661", "letters and digits"),
        ("a_b", "letters and digits"),
        ("../ab", "letters and digits"),
        ("x" * 41, "at most 40 characters"),
        ("TEST", "an environment of this name"),
        ("Production2x" + "x" * 28, ""),
        ("PRODUCTION", "an environment of this name"),
    ],
)
def test_a_bad_name_is_refused_with_a_sentence_and_kept(cast: Cast, name: str, sentence: str) -> None:
    answer = unlocked(cast.alice).post(ADD, {"name": name})
    page = answer.content.decode()
    if not sentence:
        assert answer.status_code == 302
        return
    assert answer.status_code == 400
    assert sentence in page
    assert f'value="{name}"' in page or not name
    assert cast.app.environments.count() == 3


def test_a_host_name_that_would_be_too_long_is_said_to_be(cast: Cast) -> None:
    long = flows.create_app(Actor(cast.alice), "Long", "x" * 40)
    answer = unlocked(cast.alice).post(f"/apps/{long.slug}/settings/add-environment/", {"name": "y" * 22})
    assert "it may have 21 characters" in answer.content.decode()
    assert long.environments.count() == 3


def test_a_name_whose_address_is_taken_says_by_which(cast: Cast) -> None:
    alice = unlocked(cast.alice)
    alice.post(RENAME_TEST, {"name": "Trial", "seen": "Test"})
    assert "Trial has the address test." in alice.post(ADD, {"name": "Test"}).content.decode()


def test_no_ordinary_environment_is_called_production(cast: Cast) -> None:
    """Who sees the name would think that it asks for a code."""
    alice = unlocked(cast.alice)
    alice.post(RENAME_PRODUCTION, {"name": "Live", "seen": "Production"})
    assert "Only support makes an environment production" in alice.post(ADD, {"name": "Production"}).content.decode()
    answer = alice.post(RENAME_TEST, {"name": "production", "seen": "Test"})
    assert "Only support makes an environment production" in answer.content.decode()
    assert alice.post(RENAME_PRODUCTION, {"name": "Production", "seen": "Live"}).status_code == 302


def test_two_who_add_the_same_name_at_once_get_one_and_an_error_at_the_field(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = unlocked(cast.alice)
    add = settings_flows.add_environment

    def somebody_is_quicker(app: App, by: Actor, name: str) -> Environment:
        Environment.objects.create(app=app, slug="demo", name="Demo")
        return add(app, by, name)

    monkeypatch.setattr(settings_flows, "add_environment", somebody_is_quicker)
    answer = alice.post(ADD, {"name": "demo"})
    assert answer.status_code == 400
    assert "an environment of this name" in answer.content.decode()


def test_there_are_only_so_many_environments(cast: Cast) -> None:
    by = actor_with_window(cast.alice)
    for number in range(settings_flows.MOST_ENVIRONMENTS - 3):
        settings_flows.add_environment(cast.app, by, f"E{number}")
    with pytest.raises(NotPossible, match="at most 30"):
        settings_flows.add_environment(cast.app, by, "One-more")


def test_renaming_keeps_address_and_host_and_everything_on_it(cast: Cast) -> None:
    answer = unlocked(cast.alice).post(RENAME_TEST, {"name": "Trial", "seen": "Test"})
    assert answer.status_code == 302
    environment = cast.app.environments.get(pk=cast.test.pk)
    assert (environment.name, environment.slug, environment.host) == ("Trial", "test", "test--calc")
    entry = last(Act.ENVIRONMENT_RENAMED)
    assert (entry.before, entry.after) == ({"name": "Test"}, {"name": "Trial"})


def test_the_second_of_two_who_rename_is_told(cast: Cast) -> None:
    alice = unlocked(cast.alice)
    alice.post(RENAME_TEST, {"name": "Trial", "seen": "Test"})
    page = alice.post(RENAME_TEST, {"name": "Lab", "seen": "Test"}).content.decode()
    assert "Somebody else named it Trial" in page
    assert 'name="seen" value="Trial"' in page
    assert names(cast)[0] == "Trial"
    assert "an environment of this name" in alice.post(RENAME_TEST, {"name": "ACCEPTANCE"}).content.decode()


def test_environments_are_moved_one_place_at_a_time(cast: Cast) -> None:
    alice = unlocked(cast.alice)
    order = "test acceptance production"
    answer = alice.post(ORDER, {"move": "down test", "order": order})
    assert answer.headers["Location"].endswith("#environment-test")
    assert names(cast) == ["Acceptance", "Test", "Production"]
    entry = last(Act.ENVIRONMENTS_ORDERED)
    assert entry.before == {"order": ["Test", "Acceptance", "Production"]}
    assert entry.after == {"order": ["Acceptance", "Test", "Production"]}
    alice.post(ORDER, {"move": "up test", "order": order})  # an old page
    assert names(cast) == ["Acceptance", "Test", "Production"]
    alice.post(ORDER, {"move": "up acceptance", "order": "acceptance test production"})
    assert names(cast) == ["Acceptance", "Test", "Production"]


@pytest.mark.parametrize("move", ["", "up", "up nowhere", "sideways test", "up test extra"])
def test_a_move_that_makes_no_sense_moves_nothing(cast: Cast, move: str) -> None:
    answer = unlocked(cast.alice).post(ORDER, {"move": move, "order": "test acceptance production"})
    assert answer.status_code == 302
    assert names(cast) == ["Test", "Acceptance", "Production"]


ENVIRONMENT_CHANGES = (
    (ADD, {"name": "Demo"}),
    (RENAME_TEST, {"name": "Trial", "seen": "Test"}),
    (ORDER, {"move": "down test", "order": "test acceptance production"}),
)


@pytest.mark.parametrize(("address", "typed"), ENVIRONMENT_CHANGES)
def test_changing_environments_needs_a_code_and_the_technical_contact(
    cast: Cast, address: str, typed: dict[str, str]
) -> None:
    before = names(cast)
    assert signed_in(cast.alice).post(address, typed).headers["Location"].startswith("/authenticator/?")
    assert unlocked(cast.bob).post(address, typed).status_code == 403
    assert names(cast) == before
    assert unlocked(cast.alice).post(address, typed).status_code == 302
    assert names(cast) != before


def test_an_app_without_production_is_changed_with_a_password_alone(cast: Cast) -> None:
    Environment.objects.filter(pk=cast.production.pk).update(is_production=False)
    assert signed_in(cast.alice).post(ADD, {"name": "Demo"}).status_code == 302


def test_flows_check_once_more_who_acts_and_under_which_window(cast: Cast) -> None:
    order = ["test", "acceptance", "production"]
    for by in (Actor(cast.alice), actor_with_window(cast.bob)):
        with pytest.raises(NotPermitted):
            settings_flows.add_environment(cast.app, by, "Demo")
        with pytest.raises(NotPermitted):
            settings_flows.rename_environment(cast.test, by, "Trial", "Test")
        with pytest.raises(NotPermitted):
            settings_flows.move_environment(cast.app, by, "test", False, order)


def test_environments_of_other_apps_are_as_if_they_did_not_exist(cast: Cast) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    settings_flows.add_environment(other, actor_with_window(cast.charlie), "Demo")
    alice = unlocked(cast.alice)
    assert alice.post(PAGE + "environments/demo/", {"name": "Mine", "seen": "Demo"}).status_code == 404
    assert alice.post(ORDER, {"move": "up demo", "order": "test acceptance production"}).status_code == 302
    assert alice.get("/apps/other/settings/").status_code == 404
    assert Environment.objects.get(slug="demo").name == "Demo"


def test_settings_are_shown_to_those_who_may_change_them(cast: Cast) -> None:
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    assert f'href="{PAGE}"' in alice.get("/apps/calc/").content.decode()
    assert f'href="{PAGE}"' not in bob.get("/apps/calc/").content.decode()
    mia = make_person("mia")
    flows.add_member(cast.app, Actor(cast.alice), mia, Role.objects.create(name="Team lead", manages_team=True))
    page = signed_in(mia).get(PAGE).content.decode()
    assert "Save" in page
    assert ADD not in page
    assert "Alice, the Technical Contact, adds" in page


def test_typed_names_are_shown_inert(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert alice.post(PAGE, form(cast.app, name="<b>Calc\x1b[31m", description="\u202e<i>")).status_code == 302
    assert "<b>Calc" not in alice.get(PAGE).content.decode()
    for address in ("/", "/apps/calc/", "/apps/calc/activity/"):
        page = alice.get(address).content.decode()
        assert "<b>Calc" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page


def test_what_was_deleted_while_somebody_acts_is_not_there(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = unlocked(cast.alice)
    rename = settings_flows.rename_environment

    def gone_meanwhile(environment: Environment, *rest: object) -> bool:
        Environment.objects.filter(pk=environment.pk).delete()
        return rename(environment, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(settings_flows, "rename_environment", gone_meanwhile)
    assert alice.post(RENAME_TEST, {"name": "Trial", "seen": "Test"}).status_code == 404
