"""Roles are edited by the operator, as long as no Technical Contact loses the deploy permission by it."""

import pytest

from accounts.acts import Act
from accounts.models import Activity, User
from environments.models import Role
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


@pytest.mark.parametrize("broken", [{"name": "Scrum boss", "deploys": "on"}, {"name": "SCRUM Master"}])
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
