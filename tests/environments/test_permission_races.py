"""Permissions at the same instant, with real threads on a real database: nothing overwritten, revived or half done."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import Activity, User
from environments import contact, flows, grants, team
from environments.authority import NotPermitted
from environments.models import App, Membership, NodePermission, Role
from environments.permissions import Permission
from environments.roles import save_role
from tests.accounts.test_races import at_once
from tests.cast import Cast, make_cast, make_person, signed_in

pytestmark = pytest.mark.django_db(transaction=True)
TEST = "/apps/calc/permissions/test/"
TRANSPORT, BACKUPS = Permission.TRANSPORT, Permission.BACKUPS


@pytest.fixture
def calc() -> Cast:
    """Bob may manage permissions on Test, and Erin is in the team."""
    cast = make_cast()
    flows.add_member(cast.app, Actor(cast.alice), make_person("erin"), Role.objects.get(name="Business Engineer"))
    cast.grant(cast.bob, cast.test, Permission.MANAGE)
    return cast


def erins(cast: Cast) -> Membership:
    return cast.membership(User.objects.get(name="Erin"))


def sends(client: Client, *wanted: str) -> Callable[[], int]:
    """Send a form of which the page had shown nothing ticked."""
    form = {f"seen-{name}": "0" for name in wanted} | dict.fromkeys(wanted, "on")
    return lambda: client.post(TEST, form).status_code


def tries(act: Callable[[], Any], *refusals: type[Exception]) -> Callable[[], str]:
    def run() -> str:
        try:
            act()
        except refusals as refusal:
            return type(refusal).__name__
        return "done"

    return run


def granting(cast: Cast) -> Callable[[], Any]:
    wanted = {erins(cast).pk: {TRANSPORT: True, BACKUPS: True}}
    return partial(grants.set_permissions, cast.test, Actor(cast.alice, via="shell"), wanted, {})


def test_of_two_who_save_the_same_page_at_once_one_is_told(calc: Cast) -> None:
    erin = erins(calc).pk
    alice, bob = signed_in(calc.alice), signed_in(calc.bob)
    both = (f"{erin}-transport", f"{erin}-backups")
    assert sorted(at_once([sends(alice, *both), sends(bob, *both)])) == [302, 409]
    assert Activity.objects.filter(act="permissions.changed", target="Erin").count() == 1
    assert NodePermission.objects.filter(membership=erin, granted=True).count() == 2


def test_a_double_click_changes_once(calc: Cast) -> None:
    browsers = [signed_in(calc.alice) for _ in range(5)]
    answers = at_once([sends(browser, f"{erins(calc).pk}-transport") for browser in browsers])
    assert sorted(answers) == [302, 409, 409, 409, 409]
    assert Activity.objects.filter(act="permissions.changed", target="Erin").count() == 1


@pytest.mark.parametrize("times", range(3))
def test_whoever_is_removed_at_this_moment_holds_nothing(calc: Cast, times: int) -> None:
    erin, by = erins(calc), Actor(calc.alice, via="shell")
    answers = at_once(
        [tries(granting(calc), grants.ChangedMeanwhile), tries(partial(team.remove, erin, by), team.TeamRefused)]
    )
    assert answers[0] in ("done", "ChangedMeanwhile")
    assert answers[1] == "done"
    assert not Membership.objects.filter(pk=erin.pk).exists()
    assert not NodePermission.objects.filter(membership_id=erin.pk).exists()


@pytest.mark.parametrize("times", range(3))
def test_whoever_loses_the_role_at_this_moment_holds_nothing_and_nothing_comes_back_with_it(
    calc: Cast, times: int
) -> None:
    erin, by, end_user = erins(calc), Actor(calc.alice, via="shell"), Role.objects.get(name="End-user")
    at_once([tries(granting(calc), grants.ChangedMeanwhile), tries(partial(team.change_role, erin, by, end_user))])
    assert not NodePermission.objects.filter(membership=erin).exists()


def test_a_role_that_loses_the_deploy_permission_at_this_moment_leaves_nothing_behind(calc: Cast) -> None:
    User.objects.filter(pk=calc.sam.pk).update(is_superuser=True)
    engineer = Role.objects.get(name="Business Engineer")
    engineer.deploys = False
    by = Actor(User.objects.get(pk=calc.sam.pk), via="shell")
    at_once([tries(granting(calc), grants.ChangedMeanwhile), tries(partial(save_role, by, engineer))])
    assert not NodePermission.objects.exists()


def test_who_hands_over_at_this_moment_saves_before_it_or_not_at_all(calc: Cast) -> None:
    bob = calc.membership(calc.bob)
    contact.offer(calc.app, Actor(calc.alice, via="shell"), bob)
    saved, accepted = at_once(
        [
            tries(granting(calc), NotPermitted),
            tries(partial(contact.accept, calc.app, Actor(calc.bob, via="shell"))),
        ]
    )
    assert accepted == "done"
    assert App.objects.get().technical_contact == calc.bob
    acts = list(Activity.objects.filter(app_id=calc.app.pk).order_by("pk").values_list("act", "target"))
    if saved == "done":
        assert acts.index(("permissions.changed", "Erin")) < acts.index(("contact.accepted", "Alice"))
    else:
        assert not NodePermission.objects.filter(membership=erins(calc)).exists()
