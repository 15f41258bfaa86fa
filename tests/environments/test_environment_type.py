"""Support makes an environment production, or an ordinary one; nobody in the app can."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission as Right
from django.core import mail
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments import flows, settings_flows
from environments.access import may
from environments.authority import NotPermitted
from environments.models import App, Environment, NodePermission, Role
from environments.permissions import Permission
from environments.settings_flows import NotPossible
from tests.cast import Cast, signed_in, unlock, unlocked
from tests.deployments.fakes import actor_with_window

REASON = "The team asked for it in ticket 4711."


def page_of(environment: Environment) -> str:
    return f"/admin/environments/environment/{environment.pk}/type/"


def change(client: Client, environment: Environment, becomes: str, reason: str = REASON) -> int:
    return client.post(page_of(environment), {"becomes": becomes, "reason": reason}).status_code


def is_production(environment: Environment) -> bool:
    return Environment.objects.get(pk=environment.pk).is_production


def test_support_makes_an_environment_production_with_a_reason(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    sam = unlocked(cast.sam)
    assert change(sam, cast.acceptance, "production", "  ") == 200
    assert not is_production(cast.acceptance)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        assert change(sam, cast.acceptance, "production") == 302
    assert is_production(cast.acceptance)
    entry = Activity.objects.get(act=Act.ENVIRONMENT_TYPE_CHANGED)
    assert (entry.actor_name, entry.target, entry.app_name, entry.via) == ("Sam", "Acceptance", "Calc", "admin")
    assert entry.before
    assert entry.after
    assert (entry.before["type"], entry.after["type"], entry.reason) == ("ordinary", "production", REASON)
    assert [message.to for message in mail.outbox] == [[cast.alice.email]]
    assert "Acceptance of Calc is a production environment now" in mail.outbox[0].subject
    assert REASON in mail.outbox[0].body


def test_it_asks_for_a_code_at_once(cast: Cast) -> None:
    bob = signed_in(cast.bob)
    assert bob.get("/apps/calc/environments/acceptance/").status_code == 200
    change(unlocked(cast.sam), cast.acceptance, "production")
    assert bob.get("/apps/calc/environments/acceptance/").headers["Location"].startswith("/authenticator/?")


def test_api_rights_are_as_by_default_again_and_that_is_recorded(cast: Cast) -> None:
    cast.grant(cast.bob, cast.acceptance, Permission.TRANSPORT)
    member = cast.membership(cast.bob)
    NodePermission.objects.create(
        environment=cast.acceptance, membership=member, permission=Permission.API, granted=True, set_by="Alice"
    )
    assert may(cast.bob, cast.acceptance, Permission.API)
    sam = unlocked(cast.sam)
    change(sam, cast.acceptance, "production")
    cast.acceptance.refresh_from_db()
    assert not may(cast.bob, cast.acceptance, Permission.API)
    assert not may(cast.alice, cast.acceptance, Permission.API)
    assert may(cast.bob, cast.acceptance, Permission.TRANSPORT)
    entry = Activity.objects.get(act=Act.ENVIRONMENT_TYPE_CHANGED)
    assert entry.before
    assert entry.after
    assert entry.before["API Rights that were set"] == ["Bob: on"]
    assert entry.after["API Rights"] == "off for everybody"
    change(sam, cast.acceptance, "ordinary")
    cast.acceptance.refresh_from_db()
    assert may(cast.bob, cast.acceptance, Permission.API)


def test_nobody_without_the_right_changes_it(cast: Cast) -> None:
    sam = unlocked(cast.sam)
    cast.sam.groups.clear()
    assert change(sam, cast.acceptance, "production") == 403
    cast.sam.user_permissions.add(Right.objects.get(codename="view_environment"))
    assert change(sam, cast.acceptance, "production") == 403
    assert "type/" not in sam.get(f"/admin/environments/environment/{cast.acceptance.pk}/change/").content.decode()
    assert change(unlocked(cast.alice), cast.acceptance, "production") == 404
    assert not is_production(cast.acceptance)


def test_the_admin_asks_for_a_code_first(cast: Cast) -> None:
    sam = signed_in(cast.sam)
    assert change(sam, cast.production, "ordinary") == 302
    assert is_production(cast.production)
    unlock(sam, cast.sam)
    assert change(sam, cast.production, "ordinary") == 302
    assert not is_production(cast.production)


def test_support_staff_who_belong_to_the_app_leave_it_to_a_colleague(cast: Cast) -> None:
    flows.add_member(cast.app, Actor(cast.alice), cast.sam, Role.objects.get(name="End-user"))
    sam = unlocked(cast.sam)
    assert "Ask a colleague in support" in sam.get(page_of(cast.production)).content.decode()
    assert change(sam, cast.production, "ordinary") == 403
    assert is_production(cast.production)


def test_a_second_click_or_an_old_page_does_not_change_it_back(cast: Cast) -> None:
    sam = unlocked(cast.sam)
    for _ in range(2):
        assert change(sam, cast.acceptance, "production") == 302
    assert is_production(cast.acceptance)
    assert Activity.objects.filter(act=Act.ENVIRONMENT_TYPE_CHANGED).count() == 1


@pytest.mark.parametrize("gone", ["app", "test"])
def test_one_that_is_deleted_at_this_moment_is_not_found(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    sam, set_type = unlocked(cast.sam), settings_flows.set_type

    def too_late(*args: Any) -> None:
        Environment.objects.filter(app=cast.app).delete()
        if gone == "app":
            App.objects.filter(pk=cast.app.pk).delete()
        set_type(*args)

    monkeypatch.setattr(settings_flows, "set_type", too_late)
    assert change(sam, cast.test, "production") == 404


@pytest.mark.parametrize("becomes", ["", "test", "1"])
def test_it_becomes_nothing_else(cast: Cast, becomes: str) -> None:
    assert change(unlocked(cast.sam), cast.production, becomes) == 200
    assert is_production(cast.production)


def test_the_flow_checks_once_more(cast: Cast) -> None:
    operator = User.objects.create_superuser("root@example.org", "Root", "correct horse battery")
    for by in (Actor(cast.sam), actor_with_window(cast.alice), actor_with_window(cast.charlie), Actor(operator)):
        with pytest.raises(NotPermitted):
            settings_flows.set_type(cast.production, by, False, REASON)
    with pytest.raises(NotPossible, match="already"):
        settings_flows.set_type(cast.production, actor_with_window(cast.sam), True, REASON)
    with pytest.raises(NotPossible, match="Say why"):
        settings_flows.set_type(cast.production, actor_with_window(cast.sam), False, " ")
    assert is_production(cast.production)


def test_the_page_says_what_will_happen_and_the_environment_leads_to_it(cast: Cast) -> None:
    sam = unlocked(cast.sam)
    assert page_of(cast.test) in sam.get(f"/admin/environments/environment/{cast.test.pk}/change/").content.decode()
    page = sam.get(page_of(cast.test)).content.decode()
    assert "asks for a code at once" in page
    assert "Make it a production environment" in page
    assert "a password alone is enough" in sam.get(page_of(cast.production)).content.decode()
    assert sam.get("/admin/environments/environment/999/type/").status_code == 404
