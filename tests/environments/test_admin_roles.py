"""Roles are edited by the operator, as long as no Technical Contact loses the deploy permission by it."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments import flows, invitations, roles
from environments.authority import NotPermitted
from environments.models import HandOver, NodePermission, Role
from environments.permissions import Permission
from tests.cast import Cast, make_person, unlocked


@pytest.fixture
def boss(cast: Cast) -> User:
    person = make_person("boss")
    User.objects.filter(pk=person.pk).update(is_staff=True, is_superuser=True)
    person.refresh_from_db()
    return person


def change(role: Role) -> str:
    return f"/admin/environments/role/{role.pk}/change/"


def test_what_a_role_carries_holds_at_once_and_is_recorded(boss: User, cast: Cast) -> None:
    role = cast.membership(cast.bob).role
    facts = {"name": role.name, "manages the team": False}
    unlocked(boss).post(change(role), {"name": role.name, "order": role.order})
    role.refresh_from_db()
    assert not role.deploys
    entry = Activity.objects.get(act=Act.ROLE_CHANGED)
    assert (entry.before, entry.after) == ({**facts, "deploys": True}, {**facts, "deploys": False})


def test_the_deploy_permission_of_a_technical_contact_stays(boss: User, cast: Cast) -> None:
    role = Role.objects.create(name="Lead", deploys=True)
    cast.app.memberships.filter(user=cast.alice).update(role=role)
    answer = unlocked(boss).post(change(role), {"name": role.name, "order": role.order})
    assert "The Technical Contact of Calc has this role. They hand over first." in answer.content.decode()
    role.refresh_from_db()
    assert role.deploys


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "Scrum boss", "deploys": "on", "manages_team": "on"},
        {"name": "SCRUM Master", "manages_team": "on"},
        {"name": "SCRUM Master", "deploys": "on"},
    ],
)
def test_the_role_of_whoever_creates_an_app_keeps_name_and_permission(
    boss: User, cast: Cast, broken: dict[str, str]
) -> None:
    role = Role.objects.get(name="SCRUM Master")
    answer = unlocked(boss).post(change(role), broken | {"order": "1"})
    assert "the role keeps its name and its deploy permission" in answer.content.decode()


def test_a_new_role_is_added(boss: User) -> None:
    unlocked(boss).post("/admin/environments/role/add/", {"name": "Designer", "order": "70"})
    assert Role.objects.filter(name="Designer", deploys=False).exists()
    assert Activity.objects.get(act=Act.ROLE_CHANGED).target == "Designer"


def test_a_role_that_loses_the_deploy_permission_takes_node_permissions_along_into_the_history(
    boss: User, cast: Cast
) -> None:
    role = cast.membership(cast.bob).role
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    cast.grant(cast.bob, cast.production, Permission.BACKUPS)
    HandOver.objects.create(app=cast.app, offered_by=cast.alice, offered_to=cast.membership(cast.bob))
    unlocked(boss).post(change(role), {"name": role.name, "order": role.order})
    assert not NodePermission.objects.exists()
    assert not HandOver.objects.exists()
    entry = Activity.objects.get(act=Act.ROLE_LOST_DEPLOYS)
    assert (entry.app_name, entry.actor_name, entry.target) == ("Calc", "Boss", "Bob")
    assert entry.before == {
        "permissions on Test": ["Transport Rights", "API Rights"],
        "permissions on Acceptance": ["API Rights"],
        "permissions on Production": ["Access to Backups"],
    }
    unlocked(boss).post(change(role), {"name": role.name, "order": role.order, "deploys": "on"})
    assert not NodePermission.objects.exists(), "getting it again starts from nothing"


def test_a_role_that_loses_the_deploy_permission_costs_the_same_for_few_and_many(boss: User, cast: Cast) -> None:
    by, costs = Actor(boss, via="admin"), []
    for size in (1, 12):
        role = Role.objects.create(name=f"Helper {size}", deploys=True)
        for number in range(size):
            person = make_person(f"helper-{size}-{number}")
            flows.add_member(cast.app, Actor(cast.alice), person, role)
            cast.grant(person, cast.test, Permission.TRANSPORT)
        role.deploys = False
        with CaptureQueriesContext(connection) as queries:
            roles.save_role(by, role)
        costs.append(len(queries))
        assert Activity.objects.filter(act=Act.ROLE_LOST_DEPLOYS).count() == (1 if size == 1 else 13)
    assert costs[0] == costs[1]


def test_a_role_goes_on_managing_the_teams_that_nobody_else_manages(boss: User, cast: Cast) -> None:
    lead = Role.objects.create(name="Lead", deploys=True, manages_team=True)
    cast.app.memberships.filter(user=cast.alice).update(role=lead)
    answer = unlocked(boss).post(change(lead), {"name": lead.name, "deploys": "on", "order": lead.order})
    assert "Nobody else manages the team of Calc." in answer.content.decode()
    lead.refresh_from_db()
    assert lead.manages_team
    flows.add_member(cast.app, Actor(cast.alice), cast.charlie, Role.objects.get(name="SCRUM Master"))
    assert (
        unlocked(boss).post(change(lead), {"name": lead.name, "deploys": "on", "order": lead.order}).status_code == 302
    )


def delete(role: Role) -> str:
    return f"/admin/environments/role/{role.pk}/delete/"


def test_a_role_that_nobody_has_is_deleted_and_that_is_recorded(boss: User) -> None:
    role = Role.objects.create(name="Designer")
    browser = unlocked(boss)
    assert "Nobody has it: it can be deleted." in browser.get(change(role)).content.decode()
    assert browser.post(delete(role), {"post": "yes"}).status_code == 302
    assert not Role.objects.filter(pk=role.pk).exists()
    assert Activity.objects.get(act=Act.ROLE_DELETED).target == "Designer"


def test_a_role_in_use_is_not_deleted(boss: User, cast: Cast) -> None:
    """Neither one that a member has, nor one that an invitation gives, nor that of whoever creates an app."""
    held, invited = cast.membership(cast.bob).role, Role.objects.create(name="Designer")
    invitations.invite(cast.app, Actor(cast.alice, via="shell"), "new@example.org", invited)
    browser = unlocked(boss)
    for role in (held, invited, Role.objects.get(name="SCRUM Master")):
        assert browser.post(delete(role), {"post": "yes"}).status_code == 403
        assert Role.objects.filter(pk=role.pk).exists()
        with pytest.raises(NotPermitted):
            roles.delete_role(Actor(boss, via="admin"), role)
    page = browser.get(change(held)).content.decode()
    assert "It is in use. Members who have it: 1; invitations that give it: 0." in page


def test_roles_are_changed_and_deleted_by_the_operator_alone(cast: Cast) -> None:
    role = Role.objects.create(name="Designer")
    for act in (roles.save_role, roles.delete_role):
        with pytest.raises(NotPermitted):
            act(Actor(cast.sam, via="admin"), role)
    browser = unlocked(cast.sam)
    assert browser.post(delete(role), {"post": "yes"}).status_code == 403
    assert Role.objects.filter(pk=role.pk).exists()
