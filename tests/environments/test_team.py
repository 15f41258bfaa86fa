"""The Team page, roles and who goes: what is lost with them, who can't go, and who may decide it."""

from functools import partial
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments import flows, team
from environments.access import may
from environments.authority import NotPermitted
from environments.models import HandOver, Membership, NodePermission, Role
from environments.permissions import Permission
from environments.team import TeamRefused
from tests.cast import Cast, make_person, signed_in, unlocked

TEAM = "/apps/calc/team/"


def join(cast: Cast, name: str, role: str) -> User:
    person = make_person(name)
    flows.add_member(cast.app, Actor(cast.alice), person, Role.objects.get(name=role))
    return person


def address(cast: Cast, person: User, act: str) -> str:
    return f"{TEAM}{cast.membership(person).pk}/{act}/"


def role_of(cast: Cast, person: User) -> str:
    return cast.membership(person).role.name


def by(person: User) -> Actor:
    return Actor(person, via="shell")


def test_the_page_says_who_is_in_the_team_as_what_since_when_and_who_is_technical_contact(cast: Cast) -> None:
    page = signed_in(cast.bob).get(TEAM).content.decode()
    assert "Alice is the Technical Contact" in page
    for words in ("SCRUM Master, Technical Contact", "bob@example.org", "Business Engineer", "just now"):
        assert words in page
    assert "Change role" not in page
    page = signed_in(cast.alice).get(TEAM).content.decode()
    assert page.count("Change role of ") == 1, "of Bob, and not her own"
    assert "Needs a code" in page


def test_a_big_team_is_paged_and_searched_by_name_and_address(cast: Cast) -> None:
    role = Role.objects.get(name="Business Engineer")
    people = [User(email=f"p{n:02}@{'odd' if n == 7 else 'x'}.example", name=f"Person {n:02}") for n in range(60)]
    User.objects.bulk_create(people)
    Membership.objects.bulk_create(Membership(app=cast.app, user=person, role=role) for person in people)
    bob = signed_in(cast.bob)
    first = bob.get(TEAM).content.decode()
    assert "Person 47" in first
    assert "Person 59" not in first
    assert "Person 59" in bob.get(TEAM + "?page=2").content.decode()
    for words in ("PERSON 59", "p59@"):
        found = bob.get(TEAM, {"q": words}).content.decode()
        assert "Person 59" in found
        assert "Person 58" not in found
    assert "?q=example&amp;page=2" in bob.get(TEAM, {"q": "example"}).content.decode()
    for words in ("nobody", "x" * 300, "<b>"):
        found = bob.get(TEAM, {"q": words}).content.decode()
        assert "Nobody in the team has" in found
        assert "<b>" not in found


def test_a_role_is_chosen_its_effects_are_shown_and_it_is_confirmed(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    alice, url = unlocked(cast.alice), address(cast, cast.bob, "role")
    role = Role.objects.get(name="Product Owner")
    assert "SCRUM Master (deploys, manages the team)" in alice.get(url).content.decode()
    page = alice.get(url, {"role": role.pk}).content.decode()
    for words in ("Bob becomes Product Owner instead of Business Engineer.", "Test: Transport Rights, API Rights"):
        assert words in page
    assert role_of(cast, cast.bob) == "Business Engineer", "looking changes nothing"
    assert alice.post(url, {"role": role.pk}).headers["Location"] == TEAM
    assert role_of(cast, cast.bob) == "Product Owner"


def test_a_role_without_the_deploy_permission_takes_node_permissions_along_into_the_history(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    cast.grant(cast.bob, cast.production, Permission.BACKUPS, Permission.API)
    team.change_role(cast.membership(cast.bob), by(cast.alice), Role.objects.get(name="End-user"))
    assert not may(cast.bob, cast.test, Permission.TRANSPORT)
    assert not NodePermission.objects.exists()
    entry = Activity.objects.get(act=Act.MEMBER_CHANGED)
    assert (entry.actor_name, entry.target, entry.after) == ("Alice", "Bob", {"role": "End-user"})
    assert entry.before == {
        "role": "Business Engineer",
        "permissions on Test": ["Transport Rights", "API Rights"],
        "permissions on Acceptance": ["API Rights"],
        "permissions on Production": ["Access to Backups", "API Rights"],
    }
    erin = join(cast, "erin", "Application Operator")
    page = unlocked(erin).get("/apps/calc/activity/").content.decode()
    assert "Permissions on Test: Transport Rights, API Rights" in page


def test_a_role_that_is_got_again_starts_from_nothing(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    for name in ("End-user", "Business Engineer"):
        team.change_role(cast.membership(cast.bob), by(cast.alice), Role.objects.get(name=name))
    assert not may(cast.bob, cast.test, Permission.TRANSPORT)
    assert may(cast.bob, cast.test, Permission.API), "which everybody who deploys has outside production"


def test_another_role_with_the_deploy_permission_keeps_what_was_granted(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    team.change_role(cast.membership(cast.bob), by(cast.alice), Role.objects.get(name="Performance Engineer"))
    assert may(cast.bob, cast.test, Permission.TRANSPORT)


def test_an_offer_to_hand_over_goes_with_the_deploy_permission_and_with_the_member(cast: Cast) -> None:
    def offer() -> None:
        HandOver.objects.create(app=cast.app, offered_by=cast.alice, offered_to=cast.membership(cast.bob))

    offer()
    team.change_role(cast.membership(cast.bob), by(cast.alice), Role.objects.get(name="Performance Engineer"))
    assert HandOver.objects.exists()
    team.change_role(cast.membership(cast.bob), by(cast.alice), Role.objects.get(name="End-user"))
    assert not HandOver.objects.exists()
    offer()
    team.remove(cast.membership(cast.bob), by(cast.alice))
    assert not HandOver.objects.exists()


def test_the_same_role_again_changes_and_records_nothing(cast: Cast) -> None:
    team.change_role(cast.membership(cast.bob), by(cast.alice), cast.membership(cast.bob).role)
    assert not Activity.objects.filter(act=Act.MEMBER_CHANGED).exists()


def test_a_member_is_removed_with_their_permissions_and_sees_the_app_no_more(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    bob, alice, url = signed_in(cast.bob), unlocked(cast.alice), address(cast, cast.bob, "remove")
    page = alice.get(url).content.decode()
    assert "Test: Transport Rights, API Rights" in page
    assert alice.post(url).headers["Location"] == TEAM
    assert bob.get("/apps/calc/").status_code == 404
    entry = Activity.objects.get(act=Act.MEMBER_LEFT)
    assert entry.target == "Bob"
    assert entry.before
    assert entry.before["permissions on Test"] == ["Transport Rights", "API Rights"]
    assert alice.post(url).status_code == 404, "somebody was quicker"


def test_a_member_leaves_by_their_own_button(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    bob = unlocked(cast.bob)
    assert "Test: Transport Rights, API Rights" in bob.get(TEAM + "leave/").content.decode()
    assert bob.post(TEAM + "leave/").headers["Location"] == "/"
    assert bob.get("/apps/calc/").status_code == 404
    entry = Activity.objects.get(act=Act.LEFT_TEAM)
    assert str(entry) == "Bob left the team"
    assert entry.before
    assert entry.before["role"] == "Business Engineer"


def test_who_sees_the_overview_only_finds_the_way_out_there(cast: Cast) -> None:
    erin = join(cast, "erin", "End-user")
    client = unlocked(erin)
    assert f'href="{TEAM}leave/"' in client.get("/apps/calc/").content.decode()
    assert 'href="/apps/calc/">Back' in client.get(TEAM + "leave/").content.decode()
    assert client.post(TEAM + "leave/").status_code == 302
    assert not Membership.objects.filter(user=erin).exists()


def mailed(capture: Any, act: Any) -> dict[str, str]:
    """Say what everybody was mailed because of this: address → text."""
    before = len(mail.outbox)
    with capture(execute=True):
        act()
    messages = mail.outbox[before:]
    assert all(message.alternatives[0][1] == "text/html" for message in messages)  # type: ignore[union-attr]
    return {message.to[0]: f"{message.subject}\n{message.body}" for message in messages}


def test_whom_it_concerns_is_told_by_mail(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    told = partial(mailed, django_capture_on_commit_callbacks)
    erin = join(cast, "erin", "Application Operator")
    role = Role.objects.get(name="End-user")
    texts = told(lambda: team.change_role(cast.membership(cast.bob), by(cast.alice), role))
    assert list(texts) == [cast.bob.email]
    for words in (
        "You are End-user in the team of Calc now",
        "Alice changed your role",
        "from Business Engineer to End",
    ):
        assert words in texts[cast.bob.email]
    assert "does not carry the deploy permission" in texts[cast.bob.email]
    texts = told(lambda: team.remove(cast.membership(cast.bob), by(cast.alice)))
    assert list(texts) == [cast.bob.email]
    assert "Alice removed you from the team of Calc" in texts[cast.bob.email]
    texts = told(lambda: team.leave(cast.membership(erin), by(erin)))
    assert set(texts) == {erin.email, cast.alice.email}
    assert "Erin (erin@example.org) left the team of Calc" in texts[cast.alice.email]


class TestWhoCanNotGo:
    """The Technical Contact, and the last member whose role manages the team; the page says what to do first."""

    CONTACT = "Alice is the Technical Contact of Calc and "
    LAST = "is the last in the team whose role manages it (SCRUM Master). Give another member such a role first."

    @pytest.fixture
    def mia(self, cast: Cast) -> User:
        """A SCRUM Master beside the Technical Contact, who has another role herself."""
        mia = join(cast, "mia", "SCRUM Master")
        cast.app.memberships.filter(user=cast.alice).update(role=Role.objects.get(name="Business Engineer"))
        return mia

    def refused(self, client: Client, url: str, data: dict[str, Any] | None = None) -> str:
        shown = client.get(url, data).content.decode()
        answer = client.post(url, data)
        assert answer.status_code == 409
        page: str = answer.content.decode()
        sentence = page.partition('role="alert"')[2].partition("<p>")[2].partition(" Nothing was changed.")[0]
        assert sentence
        assert sentence in shown, "said before anything is pressed"
        assert 'method="post" action="/apps' not in page, "there is no button to press"
        return page.replace("&#x27;", "'")

    def test_the_technical_contact_does_not_leave(self, cast: Cast) -> None:
        page = self.refused(unlocked(cast.alice), TEAM + "leave/")
        assert self.CONTACT + "stays in the team. Hand over first." in page
        assert 'href="/apps/calc/technical-contact/"' in page

    def test_the_technical_contact_is_not_removed(self, cast: Cast, mia: User) -> None:
        page = self.refused(unlocked(mia), address(cast, cast.alice, "remove"))
        assert self.CONTACT + "stays in the team." in page
        assert "/technical-contact/" not in page, "which is for Alice alone"

    def test_the_technical_contact_keeps_the_deploy_permission(self, cast: Cast, mia: User) -> None:
        client, url = unlocked(mia), address(cast, cast.alice, "role")
        page = self.refused(client, url, {"role": Role.objects.get(name="Product Owner").pk})
        assert self.CONTACT + "needs a role with the deploy permission." in page
        assert client.post(url, {"role": Role.objects.get(name="Performance Engineer").pk}).status_code == 302
        assert role_of(cast, cast.alice) == "Performance Engineer"

    def test_the_last_who_manages_the_team_stays_and_keeps_the_role(self, cast: Cast, mia: User) -> None:
        alice = unlocked(cast.alice)
        assert "Mia " + self.LAST in self.refused(alice, address(cast, mia, "remove"))
        wanted = {"role": Role.objects.get(name="Business Engineer").pk}
        assert "Mia " + self.LAST in self.refused(alice, address(cast, mia, "role"), wanted)
        assert "Mia " + self.LAST in self.refused(unlocked(mia), TEAM + "leave/")
        assert role_of(cast, mia) == "SCRUM Master"

    def test_somebody_deactivated_does_not_count_as_the_other_one(self, cast: Cast, mia: User) -> None:
        erin = join(cast, "erin", "SCRUM Master")
        User.objects.filter(pk=erin.pk).update(is_active=False)
        with pytest.raises(TeamRefused, match="Mia is the last"):
            team.leave(cast.membership(mia), by(mia))
        team.remove(cast.membership(erin), by(cast.alice))

    def test_with_another_one_they_can(self, cast: Cast, mia: User) -> None:
        join(cast, "erin", "SCRUM Master")
        assert unlocked(mia).post(TEAM + "leave/").status_code == 302

    def test_another_role_that_manages_the_team_will_do(self, cast: Cast, mia: User) -> None:
        lead = Role.objects.create(name="Team lead", manages_team=True)
        team.change_role(cast.membership(mia), by(cast.alice), lead)
        assert role_of(cast, mia) == "Team lead"


def test_nobody_changes_their_own_role(cast: Cast) -> None:
    """Neither up nor down: not who manages the team without being Technical Contact, and not the latter."""
    lead = Role.objects.create(name="Team lead", manages_team=True)
    mia = make_person("mia")
    flows.add_member(cast.app, Actor(cast.alice), mia, lead)
    for person in (mia, cast.alice):
        client, url = unlocked(person), address(cast, person, "role")
        assert "Nobody changes their own role." in client.get(url).content.decode()
        assert client.post(url, {"role": Role.objects.get(name="Performance Engineer").pk}).status_code == 403
    assert (role_of(cast, mia), role_of(cast, cast.alice)) == ("Team lead", "SCRUM Master")
    assert Activity.objects.filter(act=Act.REFUSED, actor_name="Mia", target__contains="own role").exists()


def test_removing_oneself_is_leaving(cast: Cast) -> None:
    mia = join(cast, "mia", "SCRUM Master")
    client, url = unlocked(mia), address(cast, mia, "remove")
    for method in (client.get, client.post):
        assert method(url).headers["Location"] == TEAM + "leave/"
    with pytest.raises(TeamRefused):
        team.remove(cast.membership(mia), by(mia))


def test_only_who_may_manage_the_team_changes_it(cast: Cast) -> None:
    """The role's right, or being the Technical Contact; the deploy permission alone is not enough."""
    erin, role = join(cast, "erin", "Application Operator"), Role.objects.get(name="End-user")
    for person, status in ((cast.bob, 403), (cast.charlie, 404), (cast.sam, 404)):
        client = unlocked(person)
        assert client.post(address(cast, erin, "role"), {"role": role.pk}).status_code == status
        assert client.post(address(cast, erin, "remove")).status_code == status
        for act in (
            partial(team.change_role, cast.membership(erin), by(person), role),
            partial(team.remove, cast.membership(erin), by(person)),
            partial(team.leave, cast.membership(erin), by(person)),
        ):
            with pytest.raises(NotPermitted):
                act()
    assert role_of(cast, erin) == "Application Operator"
    cast.app.memberships.filter(user=cast.alice).update(role=Role.objects.get(name="Business Engineer"))
    team.change_role(cast.membership(erin), by(cast.alice), role)
    assert role_of(cast, erin) == "End-user"


def test_who_was_deactivated_or_removed_meanwhile_changes_nothing(cast: Cast) -> None:
    mia = join(cast, "mia", "SCRUM Master")
    role = Role.objects.get(name="End-user")
    User.objects.filter(pk=mia.pk).update(is_active=False)
    with pytest.raises(NotPermitted):
        team.change_role(cast.membership(cast.bob), by(mia), role)
    User.objects.filter(pk=mia.pk).update(is_active=True)
    gone = cast.membership(mia)
    team.remove(gone, by(cast.alice))
    with pytest.raises(NotPermitted):
        team.remove(cast.membership(cast.bob), by(mia))
    with pytest.raises(TeamRefused, match="Mia is not in the team any more"):
        team.remove(gone, by(cast.alice))
    assert role_of(cast, cast.bob) == "Business Engineer"


def test_changes_of_the_team_need_the_window_in_the_page_and_in_the_flow(cast: Cast) -> None:
    member, role = cast.membership(cast.bob), Role.objects.get(name="End-user")
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    for client, url in (
        (alice, address(cast, cast.bob, "role")),
        (alice, address(cast, cast.bob, "remove")),
        (bob, TEAM + "leave/"),
    ):
        assert client.post(url, {"role": role.pk}).headers["Location"].startswith("/authenticator/")
    for act in (
        partial(team.change_role, member, Actor(cast.alice), role),
        partial(team.remove, member, Actor(cast.alice)),
        partial(team.leave, member, Actor(cast.bob)),
    ):
        with pytest.raises(NotPermitted, match="Enter a code first"):
            act()
    assert role_of(cast, cast.bob) == "Business Engineer"


def test_the_code_page_says_who_is_about_to_be_removed(cast: Cast) -> None:
    alice, url = unlocked(cast.alice), address(cast, cast.bob, "remove")
    alice.post("/authenticator/end/")
    answer = alice.post(url)
    page = alice.get(answer.headers["Location"]).content.decode()
    assert "Remove Bob from the team of Calc" in page


def test_a_member_of_another_app_is_as_if_they_did_not_exist(cast: Cast) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    theirs = Membership.objects.get(app=other)
    alice, role = unlocked(cast.alice), Role.objects.get(name="End-user")
    for pk in (theirs.pk, 999_999, 10**30):
        for act in ("role", "remove"):
            assert alice.get(f"{TEAM}{pk}/{act}/").status_code == 404
            assert alice.post(f"{TEAM}{pk}/{act}/", {"role": role.pk, "member": theirs.pk}).status_code == 404
    with pytest.raises(NotPermitted):
        team.change_role(theirs, by(cast.alice), role)
    theirs.refresh_from_db()
    assert theirs.role.name == "SCRUM Master"


@pytest.mark.parametrize("role", ["", "x", "999999", "1; DROP"])
def test_a_role_that_is_none_is_refused_in_words(cast: Cast, role: str) -> None:
    client, url = unlocked(cast.alice), address(cast, cast.bob, "role")
    assert client.post(url, {"role": role}).status_code == 400
    page = client.get(url, {"role": role})
    assert page.status_code == 200
    assert 'aria-invalid="true"' in page.content.decode()
