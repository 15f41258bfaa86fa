"""The Permissions page: who sees it, who changes what, and two people saving at once."""

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import Activity
from environments import flows, grants
from environments.access import may
from environments.authority import NotPermitted
from environments.models import Role
from environments.permissions import Permission
from tests.cast import Cast, make_person, signed_in, unlocked

TEST = "/apps/calc/permissions/test/"
PRODUCTION = "/apps/calc/permissions/production/"


def save(client: Client, url: str, cast: Cast, who: str, changes: dict[str, tuple[bool, bool]]) -> int:
    """Send the form: permission → (what the page had shown, what is wanted)."""
    member = cast.membership(getattr(cast, who)).pk
    data = {}
    for permission, (seen, wanted) in changes.items():
        data[f"seen-{member}-{permission}"] = "1" if seen else "0"
        if wanted:
            data[f"{member}-{permission}"] = "on"
    return client.post(url, data).status_code


def test_the_technical_contact_grants_and_revokes_per_environment(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert save(alice, TEST, cast, "bob", {"transport": (False, True)}) == 302
    assert may(cast.bob, cast.test, Permission.TRANSPORT)
    assert not may(cast.bob, cast.acceptance, Permission.TRANSPORT)
    assert not may(cast.bob, cast.production, Permission.TRANSPORT)
    assert save(alice, TEST, cast, "bob", {"transport": (True, False)}) == 302
    assert not may(cast.bob, cast.test, Permission.TRANSPORT)
    entry = Activity.objects.filter(act="permissions.changed").first()
    assert entry
    assert (entry.before, entry.after) == ({"Transport Rights": True}, {"Transport Rights": False})
    assert (entry.actor_name, entry.target, entry.environment_name) == ("Alice", "Bob", "Test")


def test_production_needs_the_window_to_look_and_to_change(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    assert alice.get(PRODUCTION).status_code == 302
    save(alice, PRODUCTION, cast, "bob", {"transport": (False, True)})
    assert not may(cast.bob, cast.production, Permission.TRANSPORT)
    assert save(unlocked(cast.alice), PRODUCTION, cast, "bob", {"transport": (False, True)}) == 302
    assert may(cast.bob, cast.production, Permission.TRANSPORT)


def test_others_with_the_deploy_permission_see_it_read_only(cast: Cast) -> None:
    page = signed_in(cast.bob).get(TEST).content.decode()
    assert "ask Alice to change the rest" in page
    assert page.count('type="checkbox"') == 1, "their own Receive Alerts"


def test_members_without_the_deploy_permission_are_told_whom_to_ask(cast: Cast) -> None:
    dora = make_person("dora")
    flows.add_member(cast.app, Actor(cast.alice), dora, Role.objects.get(name="Product Owner"))
    answer = signed_in(dora).get(TEST)
    assert answer.status_code == 403
    assert "App Team – Deploy Permissions" in answer.content.decode()
    assert "alice@example.org" in answer.content.decode()
    assert "Dora" not in signed_in(cast.alice).get(TEST).content.decode(), "only who can hold them is listed"


@pytest.mark.parametrize("permission", ["manage", "transport", "backups", "monitoring", "api"])
def test_nobody_grants_themselves(cast: Cast, permission: str) -> None:
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    before = grants.effective(cast.membership(cast.bob), cast.test)
    save(signed_in(cast.bob), TEST, cast, "bob", {permission: (before[Permission(permission)], True)})
    save(signed_in(cast.bob), TEST, cast, "bob", {permission: (before[Permission(permission)], False)})
    assert grants.effective(cast.membership(cast.bob), cast.test) == before


def test_receive_alerts_is_switched_by_each_member_for_themselves(cast: Cast) -> None:
    assert save(signed_in(cast.bob), TEST, cast, "bob", {"alerts": (False, True)}) == 302
    assert may(cast.bob, cast.test, Permission.ALERTS)


def test_manage_permissions_reaches_neither_itself_nor_the_technical_contact_nor_another_environment(
    cast: Cast,
) -> None:
    erin = make_person("erin")
    flows.add_member(cast.app, Actor(cast.alice), erin, Role.objects.get(name="Business Engineer"))
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    alices, erins = cast.membership(cast.alice).pk, cast.membership(erin).pk
    for environment, wanted in (
        (cast.test, {erins: {Permission.MANAGE: True}}),
        (cast.test, {alices: {Permission.API: False}}),
        (cast.acceptance, {erins: {Permission.TRANSPORT: True}}),
    ):
        with pytest.raises(NotPermitted):
            grants.set_permissions(environment, Actor(cast.bob), wanted, {})
    grants.set_permissions(cast.test, Actor(cast.bob), {erins: {Permission.TRANSPORT: True}}, {})
    assert may(erin, cast.test, Permission.TRANSPORT)


def test_api_rights_on_production_are_the_technical_contacts_alone_to_give(cast: Cast) -> None:
    assert not may(cast.alice, cast.production, Permission.API)
    cast.grant(cast.alice, cast.production, Permission.API)
    assert may(cast.alice, cast.production, Permission.API)
    cast.grant(cast.bob, cast.production, Permission.MANAGE)
    alices = cast.membership(cast.alice).pk
    with pytest.raises(NotPermitted):
        grants.set_permissions(cast.production, Actor(cast.bob), {alices: {Permission.API: False}}, {})


def test_two_people_saving_at_once_do_not_overwrite_each_other(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    alice = signed_in(cast.alice)
    member = cast.membership(cast.bob).pk
    stale = {f"seen-{member}-transport": "0", f"seen-{member}-backups": "0", f"{member}-backups": "on"}
    answer = alice.post(TEST, stale)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Somebody else changed the permissions of Bob" in page
    assert f'name="{member}-backups" aria-label="Access to Backups for Bob" checked' in page, "input is kept"
    assert not may(cast.bob, cast.test, Permission.BACKUPS)


def test_ids_of_other_apps_and_unlisted_fields_are_not_read(cast: Cast) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    theirs = other.memberships.get().pk
    member = cast.membership(cast.bob).pk
    data = {f"seen-{theirs}-manage": "0", f"{theirs}-manage": "on", "is_production": "on", "role": "1"}
    data |= {f"seen-{member}-owner": "0", f"{member}-owner": "on"}
    assert signed_in(cast.alice).post(TEST, data).status_code == 302
    assert not Activity.objects.filter(act="permissions.changed").exists()


def test_the_number_of_queries_does_not_grow_with_the_members(cast: Cast, django_assert_num_queries: object) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    alice = signed_in(cast.alice)
    counts = []
    for batch in range(2):
        for n in range(12):
            person = make_person(f"member{batch}-{n}")
            flows.add_member(cast.app, Actor(cast.alice), person, Role.objects.get(name="Business Engineer"))
            cast.grant(person, cast.test, Permission.TRANSPORT)
        with CaptureQueriesContext(connection) as queries:
            assert alice.get(TEST).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
