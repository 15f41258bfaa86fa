"""Hand-overs at the same instant, with real threads on a real database: one wins, always exactly one contact."""

from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments import contact, flows, team
from environments.authority import NotPermitted
from environments.models import App, HandOver, Membership, NodePermission, Role
from environments.permissions import Permission
from environments.roles import save_role
from tests.accounts.test_races import at_once
from tests.cast import Cast, make_cast, make_person, unlocked

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/apps/calc/technical-contact/"
ROUNDS = 2  # each in another order, as the threads fall


@pytest.fixture
def offered() -> Cast:
    """Alice's offer to Bob stands; Erin could take the role as well; everybody has a window."""
    cast = make_cast()
    erin = make_person("erin")
    flows.add_member(cast.app, Actor(cast.alice, via="shell"), erin, Role.objects.get(name="Application Operator"))
    offer(cast, cast.bob)
    return cast


def offer(cast: Cast, user: User) -> HandOver:
    return contact.offer(cast.app, Actor(cast.alice, via="shell"), cast.membership(user))


def erin_of(cast: Cast) -> User:
    return User.objects.get(email="erin@example.org")


def post(client: Client, address: str, **typed: str) -> Callable[[], Any]:
    return lambda: client.post(address, typed).status_code


def act(do: Callable[[], Any]) -> Callable[[], Any]:
    """Do it as a flow does; what it refuses is an answer like any other."""

    def run() -> str:
        try:
            do()
        except (contact.NotPossible, NotPermitted, team.TeamRefused) as refusal:
            return str(refusal)
        return ""

    return run


def shell(user: User) -> Actor:
    return Actor(User.objects.get(pk=user.pk), via="shell")


def exactly_one(cast: Cast) -> User:
    """Give the Technical Contact; hold what is true of every one, whoever won."""
    app = App.objects.get(pk=cast.app.pk)
    place = Membership.objects.select_related("role").get(app=app, user=app.technical_contact)
    assert place.role.deploys
    accepted = Activity.objects.filter(act__in=(Act.CONTACT_ACCEPTED, Act.CONTACT_APPOINTED)).order_by("pk")
    last = accepted.last()
    assert (last.after or {})["Technical Contact"] == app.technical_contact.name if last else app.technical_contact
    return app.technical_contact


def test_accepted_twice_at_once_it_is_accepted_once(offered: Cast) -> None:
    bobs = [unlocked(offered.bob) for _ in range(4)]
    answers = at_once([post(browser, f"{PAGE}accept/") for browser in bobs])
    assert answers == [302] * 4
    assert exactly_one(offered) == offered.bob
    assert Activity.objects.filter(act=Act.CONTACT_ACCEPTED).count() == 1


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_accepted_while_it_is_withdrawn(offered: Cast, round_: int) -> None:
    acts = [post(unlocked(offered.bob), f"{PAGE}accept/"), post(unlocked(offered.alice), f"{PAGE}withdraw/")]
    answers = at_once(acts if round_ % 2 else acts[::-1])
    assert set(answers) <= {302, 403}
    assert not HandOver.objects.exists()
    entries = Activity.objects.filter(act__in=(Act.CONTACT_ACCEPTED, Act.CONTACT_WITHDRAWN))
    assert entries.count() == 1
    accepted = entries.get().act == Act.CONTACT_ACCEPTED
    assert exactly_one(offered) == (offered.bob if accepted else offered.alice)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_accepted_while_it_is_replaced_and_that_one_is_accepted_too(offered: Cast, round_: int) -> None:
    erin = erin_of(offered)
    acts = [
        act(lambda: contact.accept(offered.app, shell(offered.bob))),
        act(lambda: offer(offered, erin)),
        act(lambda: contact.accept(offered.app, shell(erin))),
        act(lambda: contact.decline(offered.app, shell(offered.bob))),
    ]
    refused = at_once(acts if round_ % 2 else acts[::-1])
    winner = exactly_one(offered)
    assert refused.count("") >= 1
    assert Activity.objects.filter(act=Act.CONTACT_ACCEPTED).count() == (winner != offered.alice)
    made = HandOver.objects.first()
    assert made is None or made.offered_by == winner == offered.alice


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_accepted_while_support_appoints_somebody_else(offered: Cast, round_: int) -> None:
    """Alice has lost the role with which she deploys, so support appoints; her offer stands until then."""
    Membership.objects.filter(user=offered.alice).update(role=Role.objects.get(name="End-user"))
    erin = erin_of(offered)
    acts = [
        act(lambda: contact.accept(offered.app, shell(offered.bob))),
        act(lambda: contact.appoint(offered.app, shell(offered.sam), erin, "Alice moved to another team.")),
    ]
    refused = at_once(acts if round_ % 2 else acts[::-1])
    assert sorted(map(bool, refused)) == [False, True], refused
    assert exactly_one(offered) in (offered.bob, erin)
    assert not HandOver.objects.exists()


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_two_of_support_appoint_at_once(offered: Cast, round_: int) -> None:
    User.objects.filter(pk=offered.alice.pk).update(is_active=False)
    erin, reason = erin_of(offered), "Alice left."
    other = make_person("tom")
    other.groups.set(offered.sam.groups.all())
    acts = [
        act(lambda: contact.appoint(offered.app, shell(offered.sam), erin, reason)),
        act(lambda: contact.appoint(offered.app, shell(other), offered.bob, reason)),
    ]
    refused = at_once(acts if round_ % 2 else acts[::-1])
    assert sorted(map(bool, refused)) == [False, True], refused
    assert exactly_one(offered) in (offered.bob, erin)


@pytest.mark.parametrize("how", ["another role", "removed", "left"])
def test_accepted_while_the_team_takes_the_role_or_the_place_away(offered: Cast, how: str) -> None:
    bob, end_user = offered.membership(offered.bob), Role.objects.get(name="End-user")
    take = {
        "another role": act(lambda: team.change_role(bob, shell(offered.alice), end_user)),
        "removed": act(lambda: team.remove(bob, shell(offered.alice))),
        "left": act(lambda: team.leave(bob, shell(offered.bob))),
    }[how]
    refused = at_once([act(lambda: contact.accept(offered.app, shell(offered.bob))), take])
    assert sorted(map(bool, refused)) == [False, True], refused
    exactly_one(offered)


@pytest.fixture
def boss(db: None) -> User:
    person = make_person("boss")
    User.objects.filter(pk=person.pk).update(is_superuser=True)
    return person


def take_deploys(boss: User) -> Callable[[], Any]:
    """Let the operator take the deploy permission from the role that Bob has."""
    role = Role.objects.get(name="Business Engineer")
    role.deploys = False
    return act(lambda: save_role(shell(boss), role))


def test_accepted_while_the_role_loses_the_deploy_permission(
    offered: Cast, boss: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator saves the role between Bob's check and his becoming the Technical Contact."""
    checked, saved, pass_on = Event(), Event(), contact._pass_on

    def later(*args: Any) -> None:
        checked.set()
        saved.wait(0.5)  # no longer: the operator waits for Bob, who holds the role
        pass_on(*args)

    def save() -> Any:
        checked.wait(10)
        refusal = take_deploys(boss)()
        saved.set()
        return refusal

    monkeypatch.setattr(contact, "_pass_on", later)
    refused = at_once([act(lambda: contact.accept(offered.app, shell(offered.bob))), save])
    assert refused[0] == ""
    assert "They hand over first." in refused[1]
    assert exactly_one(offered) == offered.bob


def test_the_role_lost_the_deploy_permission_just_before(offered: Cast, boss: User) -> None:
    assert take_deploys(boss)() == ""
    assert "does not stand any more" in act(lambda: contact.accept(offered.app, shell(offered.bob)))()
    assert exactly_one(offered) == offered.alice


def test_what_the_old_one_grants_themselves_at_that_moment_is_cleared_or_refused(offered: Cast) -> None:
    from environments.grants import set_permissions

    alice = offered.membership(offered.alice)

    def grant() -> None:
        set_permissions(offered.production, shell(offered.alice), {alice.pk: {Permission.API: True}}, {})

    at_once([act(lambda: contact.accept(offered.app, shell(offered.bob))), act(grant)])
    assert exactly_one(offered) == offered.bob
    assert not NodePermission.objects.filter(membership=alice).exists()


def test_the_database_keeps_one_offer_for_each_app(offered: Cast) -> None:
    from django.db import IntegrityError

    with pytest.raises(IntegrityError), transaction.atomic():
        HandOver.objects.create(
            app=offered.app, offered_by=offered.alice, offered_to=offered.membership(erin_of(offered))
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        App.objects.filter(pk=offered.app.pk).update(technical_contact=None)
