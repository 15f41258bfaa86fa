"""API keys on the account pages: made with the password, shown once, hashed, listed, revoked, told of by mail."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import window
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, Interrupted, ProductionWindow, User
from environments import api_keys, flows, roles, team
from environments.access import may
from environments.api_keys import KeyRefused, fingerprint
from environments.authority import NotPermitted
from environments.models import ApiKey, Membership, NodePermission, Role
from environments.permissions import Permission
from tests.cast import PASSWORD, Cast, signed_in, unlock, unlocked
from tests.deployments.fakes import actor_with_window

KEYS, NEW, NEW_PRODUCTION = "/account/keys/", "/account/keys/new/", "/account/keys/new/production/"
TEXT = re.compile(r"dp_[0-9a-f]{8}_[0-9a-f]{48}")


def typed(cast: Cast, **changed: Any) -> dict[str, Any]:
    return {"name": "CI", "days": "90", "scope": "changes", "apps": [cast.app.pk], "password": PASSWORD} | changed


def made(client: Client, address: str, fields: dict[str, Any]) -> str:
    answer = client.post(address, fields)
    assert answer.status_code == 200, answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    return str(TEXT.findall(answer.content.decode())[0])


def make(cast: Cast, **options: Any) -> tuple[ApiKey, str]:
    defaults: dict[str, Any] = {"by": Actor(cast.alice), "name": "CI", "apps": [cast.app], "production": []}
    return api_keys.make(**(defaults | {"read_only": False, "lasts": timedelta(days=90)} | options))


def test_a_key_is_made_with_the_password_shown_once_and_kept_as_a_hash(cast: Cast) -> None:
    client = signed_in(cast.bob)
    assert "90" in client.get(NEW).content.decode()
    text = made(client, NEW, typed(cast))
    key = ApiKey.objects.get()
    assert (key.user, key.name, key.digest) == (cast.bob, "CI", fingerprint(text))
    assert text.startswith(key.prefix)
    assert text not in str(ApiKey.objects.values().get())
    assert timedelta(days=89) < key.expires_at - timezone.now() <= timedelta(days=90)
    page = client.get(KEYS).content.decode()
    assert key.prefix in page
    assert text not in page
    assert "Never" in page
    assert api_keys.authenticate(cast.bob.email, text) == key


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"password": "wrong"}, "This is not your password"),
        ({"days": "366"}, "365"),
        ({"days": "0"}, "1"),
        ({"name": ""}, "Enter a name"),
        ({"name": "a\u202eb"}, "ordinary signs"),
        ({"apps": []}, "Choose an app"),
        ({"scope": "everything"}, "not one of the available choices"),
    ],
)
def test_what_is_wrong_is_said_and_no_key_is_made(cast: Cast, changed: dict[str, Any], says: str) -> None:
    answer = signed_in(cast.bob).post(NEW, typed(cast, **changed))
    assert answer.status_code == 400
    assert says in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_is_for_ones_own_apps_only(cast: Cast) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    assert signed_in(cast.bob).post(NEW, typed(cast, apps=[other.pk])).status_code == 400
    with pytest.raises(NotPermitted):
        make(cast, apps=[other])
    assert not ApiKey.objects.exists()


def test_sent_twice_the_form_makes_one_key(cast: Cast) -> None:
    client = signed_in(cast.bob)
    made(client, NEW, typed(cast))
    answer = client.post(NEW, typed(cast, name="ci"))
    assert answer.status_code == 400
    assert "You have a key named ci already" in answer.content.decode()


def test_a_year_at_most_and_fifty_keys(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyRefused, match="one year"):
        make(cast, lasts=timedelta(days=366))
    monkeypatch.setattr(api_keys, "MOST", 1)
    make(cast)
    with pytest.raises(KeyRefused, match="Revoke one"):
        make(cast, name="Another")


def test_one_that_reaches_production_needs_the_window_and_api_rights_there(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, Permission.API)
    client = signed_in(cast.bob)
    for answer in (client.get(NEW_PRODUCTION), client.post(NEW_PRODUCTION, typed(cast))):
        assert answer.headers["Location"].startswith("/authenticator/?")
    unlock(client, cast.bob)
    text = made(client, NEW_PRODUCTION, typed(cast, production=[cast.production.pk]))
    key = api_keys.authenticate(cast.bob.email, text)
    assert key
    assert list(key.production.all()) == [cast.production]
    assert list(key.apps.all()) == [cast.app]
    assert api_keys.reaches(key, cast.production)


def test_no_way_around_the_window_or_the_right(cast: Cast) -> None:
    """A forged field on the ordinary page, production without API Rights, a flow without the window."""
    client = signed_in(cast.bob)
    made(client, NEW, typed(cast, production=[cast.production.pk]))
    assert not ApiKey.objects.get().production.exists()
    unlock(client, cast.bob)
    assert client.post(NEW_PRODUCTION, typed(cast, name="2", production=[cast.production.pk])).status_code == 400
    for production, by in (([cast.production], actor_with_window(cast.alice)), ([cast.test], Actor(cast.alice))):
        with pytest.raises(NotPermitted):
            make(cast, name="3", production=production, by=by)
    cast.grant(cast.alice, cast.production, Permission.API)
    with pytest.raises(NotPermitted, match="Enter a code"):
        make(cast, name="3", production=[cast.production])
    assert ApiKey.objects.count() == 1


def test_the_form_is_kept_while_the_code_is_asked_for_but_never_its_password(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, Permission.API)
    client = signed_in(cast.bob)
    client.post(NEW_PRODUCTION, typed(cast, production=[cast.production.pk]))
    from accounts import pending

    kept = dict(pending.fields_of(Interrupted.objects.get()) or [])
    assert kept["name"] == "CI"
    assert "password" not in kept


def test_its_person_and_the_technical_contact_are_told(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    cast.grant(cast.bob, cast.production, Permission.API)
    by = actor_with_window(cast.bob)
    with django_capture_on_commit_callbacks(execute=True):
        key, text = make(cast, by=by, production=[cast.production], name="Deploy")
        make(cast, by=by, name="Look", read_only=True)
    assert [(m.to[0], m.subject) for m in mail.outbox] == [
        ("bob@example.org", "An API key was made for your account"),
        ("alice@example.org", "Bob made an API key that reaches production"),
        ("bob@example.org", "An API key was made for your account"),
    ]
    bodies = "".join(str(m.message()) for m in mail.outbox)
    assert "Production of Calc" in bodies
    assert key.prefix in bodies
    assert text not in bodies
    assert "only reads" in bodies


def test_revoking_ends_it_at_once_and_the_record_keeps_both(cast: Cast) -> None:
    client = signed_in(cast.alice)
    key, text = make(cast)
    page = client.get(f"{KEYS}{key.pk}/revoke/").content.decode()
    assert "Revoke CI" in page
    assert client.post(f"{KEYS}{key.pk}/revoke/").headers["Location"] == KEYS
    assert api_keys.authenticate(cast.alice.email, text) is None
    entries = Activity.objects.filter(act__in=(Act.KEY_MADE, Act.KEY_REVOKED)).order_by("pk")
    assert [(e.act, e.app_id, e.target) for e in entries] == [
        ("key.made", cast.app.pk, f"CI ({key.prefix}…)"),
        ("key.revoked", cast.app.pk, f"CI ({key.prefix}…)"),
    ]
    assert text not in str(list(Activity.objects.values()))


def test_the_key_of_somebody_else_is_as_if_it_did_not_exist(cast: Cast) -> None:
    key, _ = make(cast)
    bob = signed_in(cast.bob)
    for answer in (bob.get(f"{KEYS}{key.pk}/revoke/"), bob.post(f"{KEYS}{key.pk}/revoke/")):
        assert answer.status_code == 404
    assert key.prefix not in bob.get(KEYS).content.decode()
    api_keys.revoke(key, Actor(cast.bob))
    assert ApiKey.objects.exists()


def test_who_can_reach_production_lists_the_keys_that_do(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, Permission.API, Permission.TRANSPORT)
    key, _ = make(cast, by=actor_with_window(cast.bob), production=[cast.production], name="Deploy")
    make(cast, by=Actor(cast.bob), name="Elsewhere")
    client = unlocked(cast.alice)
    member = cast.membership(cast.bob).pk
    for address in ("/apps/calc/production-access/", f"/apps/calc/team/{member}/"):
        page = client.get(address).content.decode()
        assert "Deploy" in page
        assert key.prefix in page
        assert "never used" in page
        assert "Elsewhere" not in page
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    assert key.prefix not in client.get("/apps/calc/production-access/").content.decode()


@pytest.mark.parametrize("way", ["password", "permission"])
def test_the_page_says_which_keys_reach_production_no_more(cast: Cast, way: str) -> None:
    cast.grant(cast.bob, cast.production, Permission.API)
    key, _ = make(cast, by=actor_with_window(cast.bob), production=[cast.production])
    client = signed_in(cast.bob)
    assert "Calc: not any more" not in client.get(KEYS).content.decode()
    assert "may reach production no more" in client.get("/account/password/").content.decode()
    if way == "password":
        window.end_all(cast.bob, ProductionWindow.End.PASSWORD)
    else:
        NodePermission.objects.filter(membership__user=cast.bob).delete()
    assert not api_keys.reaches(key, cast.production)
    assert "Production of Calc: not any more." in client.get(KEYS).content.decode()


def test_who_changes_the_address_hears_that_programs_name_it(cast: Cast) -> None:
    client = signed_in(cast.bob)
    assert "Programs that use" not in client.get("/account/e-mail/").content.decode()
    make(cast, by=Actor(cast.bob))
    assert "Programs that use your API keys" in client.get("/account/e-mail/").content.decode()


def test_what_a_page_of_keys_costs_does_not_grow(cast: Cast, django_assert_max_num_queries: Any) -> None:
    client = signed_in(cast.alice)
    for number in range(8):
        make(cast, name=f"CI {number}")
    with django_assert_max_num_queries(6):
        client.get(KEYS)


@pytest.mark.parametrize("way", ["removed", "another role", "the role itself"])
def test_a_key_dies_with_membership_and_role_and_does_not_come_back_with_them(cast: Cast, way: str) -> None:
    _, text = make(cast, by=Actor(cast.bob))
    alice, bob = actor_with_window(cast.alice), Membership.objects.get(app=cast.app, user=cast.bob)
    before, owner = bob.role, Actor(User.objects.create_superuser("root@example.org", name="Root"))
    if way == "removed":
        team.remove(bob, alice)
        flows.add_member(cast.app, alice, cast.bob, before)
    elif way == "another role":
        team.change_role(bob, alice, Role.objects.get(name="End-user"))
        team.change_role(Membership.objects.get(pk=bob.pk), alice, before)
    else:
        for deploys in (False, True):
            role = Role.objects.get(pk=before.pk)
            role.deploys = deploys
            roles.save_role(owner, role)
    assert may(cast.bob, cast.test, Permission.API)
    key = api_keys.authenticate(cast.bob.email, text)
    assert key is not None
    assert not key.apps.exists()
    assert not api_keys.still_carries(key.pk, cast.test)
