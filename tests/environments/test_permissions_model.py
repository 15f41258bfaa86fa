"""Teams, roles, grants and changes as Hypothesis thinks of them, held against the rules written down once more.

The model below is written from the contract (PORTAL, "Terms" and "Node permissions"; "The two-factor gate", 12), not
from the code: it knows names only, and asks the portal nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.actor import Actor
from accounts.models import User
from environments import contact, grants, team
from environments.access import may, membership_of, standing_of
from environments.authority import NotPermitted
from environments.flows import add_member
from environments.grid import Grid
from environments.models import App, Environment, Membership, Role
from environments.permissions import Permission
from environments.reach import deployers_of
from tests.cast import Cast, make_person

MANAGE, TRANSPORT, BACKUPS, MONITORING, ALERTS, API = "manage", "transport", "backups", "monitoring", "alerts", "api"
SIX = (MANAGE, TRANSPORT, BACKUPS, MONITORING, ALERTS, API)
CARRY = {"SCRUM Master", "Business Engineer", "Application Operator", "Performance Engineer"}
ROLES = ("SCRUM Master", "Business Engineer", "Product Owner", "End-user")
PEOPLE = ("alice", "bob", "dora", "erin", "gus")
PLACES = ("test", "acceptance", "production")


@dataclass
class Rules:
    """Who is in the team as what, what was set for whom where, and what follows from it."""

    roles: dict[str, str]
    contact: str = "alice"
    production: set[str] = field(default_factory=lambda: {"production"})
    was_set: dict[tuple[str, str, str], bool] = field(default_factory=dict)

    def carries(self, who: str) -> bool:
        return self.roles.get(who) in CARRY

    def holds(self, who: str, place: str, permission: str) -> bool:
        if not self.carries(who):
            return False
        somebody_set = self.was_set.get((who, place, permission))
        if permission == API:
            if somebody_set is not None and not (who == self.contact and place not in self.production):
                return somebody_set
            return place not in self.production
        return who == self.contact or bool(somebody_set)

    def may_change(self, actor: str, whose: str, place: str, permission: str) -> bool:
        api_on_production = permission == API and place in self.production
        if not (self.carries(actor) and self.carries(whose)):
            return False
        if whose == self.contact:
            return actor == self.contact and api_on_production
        if actor == self.contact:
            return True
        if actor == whose:
            return permission == ALERTS
        return permission != MANAGE and not api_on_production and self.holds(actor, place, MANAGE)

    def forget(self, who: str) -> None:
        self.was_set = {key: value for key, value in self.was_set.items() if key[0] != who}

    def join(self, who: str, role: str) -> bool:
        return who not in self.roles and bool(self.roles.setdefault(who, role))

    def is_needed(self, who: str) -> bool:
        """The Technical Contact stays as they are, and so does the last SCRUM Master."""
        masters = [name for name, role in self.roles.items() if role == "SCRUM Master"]
        return who == self.contact or masters == [who]

    def give_role(self, who: str, role: str) -> bool:
        if who not in self.roles or (self.is_needed(who) and (role != "SCRUM Master" or who == self.contact)):
            return False
        self.roles[who] = role
        if role not in CARRY:
            self.forget(who)
        return True

    def go(self, who: str) -> bool:
        if who not in self.roles or self.is_needed(who):
            return False
        del self.roles[who]
        self.forget(who)
        return True

    def hand_over(self, to: str) -> bool:
        if not self.carries(to) or to == self.contact:
            return False
        self.forget(self.contact)
        self.contact = to
        return True

    def save(self, actor: str, place: str, wanted: dict[tuple[str, str], bool]) -> bool:
        """Say whether a form is accepted, and do it: all of what differs must be the actor's to change."""
        if not self.carries(actor) or not all(self.carries(whose) for whose, _ in wanted):
            return False
        differs = {key: yes for key, yes in wanted.items() if self.holds(key[0], place, key[1]) != yes}
        if not all(self.may_change(actor, whose, place, permission) for whose, permission in differs):
            return False
        self.was_set |= {(whose, place, permission): yes for (whose, permission), yes in differs.items()}
        return True


PERSON, PLACE, ROLE = st.sampled_from(PEOPLE), st.sampled_from(PLACES), st.sampled_from(ROLES)
MEMBER, PERMISSION = st.sampled_from(("bob", "dora", "erin")), st.sampled_from(SIX)
WANTED = st.dictionaries(st.tuples(PERSON, PERMISSION), st.booleans(), min_size=1, max_size=2)
DEEDS = (
    st.tuples(st.just("save"), PERSON, PLACE, WANTED),
    st.tuples(st.just("grant"), MEMBER, PLACE, PERMISSION),  # by the Technical Contact: others act on what they gave
    st.tuples(st.just("grant"), MEMBER, PLACE, st.just(MANAGE)),
    st.tuples(st.just("lose and regain"), MEMBER),
    st.tuples(st.just("role"), MEMBER, ROLE),
    st.tuples(st.just("join"), PERSON, ROLE),
    st.tuples(st.just("go"), PERSON),
    st.tuples(st.just("hand over"), PERSON),
    st.tuples(st.just("type"), PLACE),
)
STORY = st.lists(st.one_of(*DEEDS), min_size=8, max_size=16)


@dataclass
class Portal:
    """Does to the portal what the model is told."""

    app: App
    people: dict[str, User]

    def member(self, who: str) -> Membership | None:
        return self.app.memberships.select_related("app", "role", "user").filter(user=self.people[who]).first()

    def as_contact(self) -> Actor:
        return Actor(App.objects.get(pk=self.app.pk).technical_contact, via="shell")

    def place(self, slug: str) -> Environment:
        return self.app.environments.select_related("app").get(slug=slug)

    def save(self, actor: Actor, place: str, wanted: dict[tuple[str, str], bool]) -> bool:
        """Give whether it was accepted; who is in no team is named by an id that no member has."""
        rows: dict[int, dict[Permission, bool]] = {}
        for (whose, permission), yes in wanted.items():
            found = self.member(whose)
            rows.setdefault(found.pk if found else 10**9, {})[Permission(permission)] = yes
        try:
            grants.set_permissions(self.place(place), actor, rows, {})
        except (NotPermitted, grants.ChangedMeanwhile):
            return False
        return True

    def change_team(self, who: str, role: str | None) -> bool:
        found = self.member(who)
        by = self.as_contact()
        try:
            if found is None:
                raise NotPermitted("Nobody is there.")
            if role:
                team.change_role(found, by, Role.objects.get(name=role))
            else:
                team.remove(found, by)
        except (NotPermitted, team.TeamRefused):
            return False
        return True

    def join(self, who: str, role: str) -> bool:
        if self.member(who):
            return False
        add_member(self.app, self.as_contact(), self.people[who], Role.objects.get(name=role))
        return True

    def hand_over(self, to: str) -> bool:
        found = self.member(to)
        try:
            if found is None:
                raise NotPermitted("Nobody is there.")
            contact.offer(self.app, self.as_contact(), found)
            contact.accept(self.app, Actor(self.people[to], via="shell"))
        except (NotPermitted, contact.NotPossible):
            return False
        return True


def happens(portal: Portal, rules: Rules, deed: tuple[object, ...]) -> None:
    """Let one thing happen to both; both say whether it did."""
    match deed:
        case ["save", str(actor), str(place), dict(wanted)]:
            by = Actor(portal.people[actor], via="shell")
            assert portal.save(by, place, wanted) == rules.save(actor, place, wanted), deed
        case ["grant", str(whose), str(place), str(permission)]:
            one = {(whose, permission): True}
            assert portal.save(portal.as_contact(), place, one) == rules.save(rules.contact, place, one), deed
        case ["join", str(who), str(role)]:
            assert portal.join(who, role) == rules.join(who, role), deed
        case ["role", str(who), str(role)]:
            assert portal.change_team(who, role) == rules.give_role(who, role), deed
        case ["lose and regain", str(who)]:
            for role in ("End-user", "Business Engineer"):
                assert portal.change_team(who, role) == rules.give_role(who, role), deed
        case ["go", str(who)]:
            assert portal.change_team(who, None) == rules.go(who), deed
        case ["hand over", str(to)]:
            assert portal.hand_over(to) == rules.hand_over(to), deed
        case ["type", str(place)]:  # support, in the admin
            rules.production ^= {place}
            portal.app.environments.filter(slug=place).update(is_production=place in rules.production)
        case _:
            raise AssertionError(deed)


def holds_by_page(portal: Portal, viewer: str) -> Iterator[tuple[tuple[str, str, str], tuple[bool, bool]]]:
    """Give what the Permissions page of a viewer shows: (whose, place, permission) → (held, editable)."""
    membership = membership_of(portal.people[viewer], "calc")
    for place in portal.app.environments.all():
        standing = standing_of(membership, place)
        for row in Grid(membership.app, place, membership.user, standing).rows(deployers_of(portal.app)):
            for cell in row.cells:
                whose = row.membership.user.name.lower()
                yield (whose, place.slug, str(cell.permission)), (cell.held, cell.editable)


def agrees(portal: Portal, rules: Rules) -> None:
    """Hold every cell of every page, and the answers to "may they?", against the rules."""
    everybody = {
        (who, place, permission): rules.holds(who, place, permission)
        for who in PEOPLE
        for place in PLACES
        for permission in SIX
    }
    places = {place.slug: place for place in portal.app.environments.all()}
    asked = [key for key in everybody if key[2] in (MANAGE, API)]  # the two with rules of their own; the pages show all
    assert {key: may(portal.people[key[0]], places[key[1]], Permission(key[2])) for key in asked} == {
        key: everybody[key] for key in asked
    }
    listed = {key: held for key, held in everybody.items() if rules.carries(key[0])}
    for viewer in filter(rules.carries, PEOPLE):
        expected = {key: (held, rules.may_change(viewer, *key)) for key, held in listed.items()}
        assert dict(holds_by_page(portal, viewer)) == expected, viewer


# The same stories each time, some seconds of them; a failing one is told as it is
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STORY)
def test_whatever_happens_everybody_may_what_the_rules_say(cast: Cast, story: list[tuple[object, ...]]) -> None:
    with transaction.atomic():
        people = {name: getattr(cast, name, None) or make_person(name) for name in PEOPLE}
        portal = Portal(cast.app, people)
        rules = Rules({"alice": "SCRUM Master", "bob": "Business Engineer"})
        for who, role in (("dora", "Product Owner"), ("erin", "Business Engineer")):
            assert portal.join(who, role) is rules.join(who, role) is True
        for deed in story:
            happens(portal, rules, deed)
        agrees(portal, rules)
        transaction.set_rollback(True)
