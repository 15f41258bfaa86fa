"""Changes of a team at the same instant, with real threads on a real database."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test import Client

from accounts.actor import Actor
from accounts.models import User
from environments import flows, grants, invitations, roles, team
from environments.authority import NotPermitted
from environments.invitations import NotValid, fingerprint
from environments.models import App, Invitation, Membership, NodePermission, Role
from environments.permissions import Permission
from environments.team import TeamRefused
from tests.cast import Cast, make_cast, make_person, signed_in
from tests.deployments.test_job_races import at_once
from tests.environments.invited import EMAIL, NEW

pytestmark = pytest.mark.django_db(transaction=True)
REFUSED = (TeamRefused, NotPermitted)


@pytest.fixture
def cast() -> Cast:
    return make_cast()


@pytest.fixture
def masters(cast: Cast) -> list[User]:
    """Two SCRUM Masters, beside the Technical Contact, who has another role."""
    people = [make_person("mia"), make_person("max")]
    for person in people:
        flows.add_member(cast.app, Actor(cast.alice), person, Role.objects.get(name="SCRUM Master"))
    cast.app.memberships.filter(user=cast.alice).update(role=Role.objects.get(name="Business Engineer"))
    return people


def by(person: User) -> Actor:
    return Actor(person, via="shell")


def masters_left(app: App) -> int:
    return app.memberships.filter(role__manages_team=True).count()


@pytest.mark.parametrize("act", ["remove", "change", "leave"])
def test_two_who_manage_a_team_can_not_leave_it_without_any(cast: Cast, masters: list[User], act: str) -> None:
    """Each removes the other, takes the other's role away, or goes: one of them does, and one stays."""
    mia, other = masters
    first, second = cast.membership(mia), cast.membership(other)
    role = Role.objects.get(name="End-user")
    acts: dict[str, list[Callable[[], Any]]] = {
        "remove": [partial(team.remove, second, by(mia)), partial(team.remove, first, by(other))],
        "change": [partial(team.change_role, second, by(mia), role), partial(team.change_role, first, by(other), role)],
        "leave": [partial(team.leave, first, by(mia)), partial(team.leave, second, by(other))],
    }
    answers = at_once(acts[act])
    assert sum(isinstance(answer, REFUSED) for answer in answers) == 1, answers
    assert answers.count(None) == 1
    assert masters_left(cast.app) == 1


def an_invitation(cast: Cast, email: str, token: str) -> str:
    sent = invitations.invite(cast.app, by(cast.alice), email, Role.objects.get(name="End-user"))
    Invitation.objects.filter(pk=sent.pk).update(link=fingerprint(token))
    return f"/invitations/{token}/"


def test_a_double_click_on_join_makes_one_membership(cast: Cast) -> None:
    path, browsers = an_invitation(cast, cast.charlie.email, "t" * 43), [signed_in(cast.charlie) for _ in range(4)]
    answers = at_once([partial(browser.post, path) for browser in browsers])
    assert Membership.objects.filter(user=cast.charlie).count() == 1
    assert {answer.status_code for answer in answers} <= {302, 404}
    assert 302 in {answer.status_code for answer in answers}


def test_two_browsers_make_the_account_at_once_and_one_is_made(cast: Cast) -> None:
    path, browsers = an_invitation(cast, EMAIL, "t" * 43), [Client() for _ in range(4)]
    answers = at_once([partial(browser.post, path, NEW) for browser in browsers])
    codes = [answer.status_code for answer in answers]
    assert codes.count(302) == 1
    # Who read the invitation just before it was used is led to sign in to the account that there is by now
    assert set(codes) <= {302, 404, 200}
    assert Membership.objects.get(user__email=EMAIL).role.name == "End-user"
    assert User.objects.filter(email=EMAIL).count() == 1


def test_an_invitation_is_accepted_or_withdrawn_and_never_both(cast: Cast) -> None:
    an_invitation(cast, cast.charlie.email, "t" * 43)
    shown = invitations.find("t" * 43)
    accepted, withdrawn = at_once(
        [partial(invitations.accept, shown, by(cast.charlie)), partial(invitations.withdraw, shown, by(cast.alice))]
    )
    joined = Membership.objects.filter(user=cast.charlie).exists()
    assert isinstance(accepted, Membership if joined else NotValid)
    assert isinstance(withdrawn, TeamRefused) if joined else withdrawn is None


def test_a_permission_granted_while_the_role_goes_does_not_stay(cast: Cast) -> None:
    """Whoever is first: a member without the deploy permission ends up without node permissions."""
    member = cast.membership(cast.bob)
    grant = partial(grants.set_permissions, cast.test, by(cast.alice), {member.pk: {Permission.TRANSPORT: True}}, {})
    role = Role.objects.get(name="End-user")
    at_once([grant, partial(team.change_role, member, by(cast.alice), role)])
    assert not NodePermission.objects.exists()


def test_a_permission_granted_while_the_admin_takes_the_deploy_permission_does_not_stay(cast: Cast) -> None:
    member, boss = cast.membership(cast.bob), make_person("boss")
    User.objects.filter(pk=boss.pk).update(is_superuser=True)
    boss.refresh_from_db()
    role = member.role
    role.deploys = False
    grant = partial(grants.set_permissions, cast.test, by(cast.alice), {member.pk: {Permission.TRANSPORT: True}}, {})
    at_once([grant, partial(roles.save_role, Actor(boss, via="admin"), role)])
    assert not NodePermission.objects.exists()


def test_the_same_address_invited_twice_at_once_has_one_invitation(cast: Cast) -> None:
    role = Role.objects.get(name="End-user")
    send = partial(invitations.invite, cast.app, by(cast.alice), EMAIL, role)
    assert all(isinstance(answer, Invitation) for answer in at_once([send, send]))
    assert Invitation.objects.count() == 1
