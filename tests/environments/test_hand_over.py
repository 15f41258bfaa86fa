"""Alice hands the role of the Technical Contact over: offered, withdrawn, declined, accepted. Always exactly one."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import authenticators, staff
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments import contact, flows
from environments.authority import NotPermitted
from environments.contact import NotPossible
from environments.models import App, Environment, HandOver, Membership, NodePermission, Role
from environments.permissions import Permission
from portal.templatetags.portal import inert
from tests.cast import PASSWORD, Cast, forget_last_step, make_person, signed_in, unlock, unlocked
from tests.codes import code_of

PAGE = "/apps/calc/technical-contact/"
ACCEPT, DECLINE, WITHDRAW = PAGE + "accept/", PAGE + "decline/", PAGE + "withdraw/"
SHELL = "shell"  # a way that has no window, for what is not about the window


def offer_to(cast: Cast, user: User) -> HandOver:
    return contact.offer(cast.app, Actor(cast.alice, via=SHELL), cast.membership(user))


def page_for(cast: Cast, user: User) -> str:
    return f"{PAGE}{cast.membership(user).pk}/"


def contact_now(cast: Cast) -> User:
    return App.objects.get(pk=cast.app.pk).technical_contact


def told(address: str) -> list[str]:
    return [str(message.subject) for message in mail.outbox if message.to == [address]]


def role(name: str) -> Role:
    return Role.objects.get(name=name)


def join(cast: Cast, name: str, role_name: str = "Business Engineer") -> User:
    person = make_person(name)
    flows.add_member(cast.app, Actor(cast.alice, via=SHELL), person, role(role_name))
    return person


def words(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


@pytest.fixture
def alices(cast: Cast) -> Client:
    return unlocked(cast.alice)


# Offering


def test_alice_chooses_sees_what_changes_types_the_name_and_bob_gets_a_mail(
    cast: Cast, alices: Client, django_capture_on_commit_callbacks: Any
) -> None:
    assert page_for(cast, cast.bob) in alices.get(PAGE).content.decode()
    page = words(alices.get(page_for(cast, cast.bob)))
    for sentence in (
        "Stays in the team as SCRUM Master, with what that role carries.",
        "Holds every node permission on Test, Acceptance and Production",
        "Holds no node permission any more, but API Rights outside production.",
        "stands for seven days, is void after that, and you can withdraw it until it is accepted",
        "Type Calc to confirm",
    ):
        assert sentence in page
    with django_capture_on_commit_callbacks(execute=True):
        answer = alices.post(page_for(cast, cast.bob), {"name": " calc "}, follow=True)
    assert "Offered to Bob, who was told by mail. It stands for seven days." in words(answer)
    assert "Offered to Bob</h2>" in words(answer)
    assert page_for(cast, cast.bob) not in answer.content.decode()
    assert contact_now(cast) == cast.alice
    assert told("bob@example.org") == ["Alice offers you the role of the Technical Contact of Calc"]
    letter: Any = next(message for message in mail.outbox if message.to == ["bob@example.org"])
    assert f"http://localhost:8000{PAGE}\n" in str(letter.body)
    assert f"http://localhost:8000{PAGE}" in str(letter.alternatives[0][0])
    entry = Activity.objects.get(act=Act.CONTACT_OFFERED)
    assert (entry.actor_name, entry.target, entry.app_name) == ("Alice", "Bob", "Calc")


@pytest.mark.parametrize("typed", ["", "Bob", "Calculator"])
def test_without_the_apps_name_nothing_is_offered(cast: Cast, alices: Client, typed: str) -> None:
    page = words(alices.post(page_for(cast, cast.bob), {"name": typed}))
    assert "Type Calc" in page
    assert not HandOver.objects.exists()


@pytest.mark.parametrize("name", ["👩\u200d💻 Tools", "Cal\u200bc\u202e", "\u200d" * 60])
def test_a_name_with_signs_that_nobody_sees_is_typed_as_the_page_shows_it(
    cast: Cast, alices: Client, name: str
) -> None:
    App.objects.filter(pk=cast.app.pk).update(name=name)
    alices.post(page_for(cast, cast.bob), {"name": inert(name)})
    assert HandOver.objects.exists()


def test_only_active_members_who_deploy_can_be_chosen(cast: Cast, alices: Client) -> None:
    dora, erin = join(cast, "dora", "Product Owner"), join(cast, "erin")
    User.objects.filter(pk=erin.pk).update(is_active=False)
    page = alices.get(PAGE).content.decode()
    for person in (dora, erin, cast.alice):
        assert page_for(cast, person) not in page
        answer = alices.post(page_for(cast, person), {"name": "Calc"}, follow=True)
        assert answer.redirect_chain == [(PAGE, 302)]
        with pytest.raises(NotPossible):
            offer_to(cast, person)
    assert not HandOver.objects.exists()


def test_a_member_is_found_among_many_by_name_or_e_mail(cast: Cast, alices: Client) -> None:
    people = User.objects.bulk_create(User(email=f"p{n}@example.org", name=f"Person {n:03}") for n in range(120))
    Membership.objects.bulk_create(Membership(app=cast.app, user=p, role=role("Business Engineer")) for p in people)
    first = alices.get(PAGE).content.decode()
    assert "Page 1 of 3" in first
    assert "Person 119" not in first
    for asked in ("person 119", "p119@"):
        found = alices.get(PAGE, {"q": asked}).content.decode()
        assert "Person 119" in found
        assert "Person 118" not in found
    assert "page=2" in alices.get(PAGE, {"q": "person"}).content.decode()
    assert "q=person" in alices.get(PAGE, {"q": "person"}).content.decode()
    assert "Nobody who can take the role has “&lt;zoë” in" in words(alices.get(PAGE, {"q": "<zoë"}))


def test_where_nobody_can_take_over_the_page_says_what_to_do(cast: Cast, alices: Client) -> None:
    Membership.objects.filter(user=cast.bob).update(role=role("End-user"))
    page = words(alices.get(PAGE))
    assert "Nobody can take over yet" in page
    assert 'href="/apps/calc/team/"' in page


def test_a_new_offer_replaces_the_one_before_and_both_are_told(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    erin = join(cast, "erin")
    offer_to(cast, cast.bob)
    with django_capture_on_commit_callbacks(execute=True):
        offer_to(cast, erin)
    assert HandOver.objects.get().offered_to.user == erin
    assert told("bob@example.org") == ["Alice withdrew the offer of the Technical Contact of Calc"]
    assert told("erin@example.org") == ["Alice offers you the role of the Technical Contact of Calc"]
    assert unlocked(cast.bob).post(ACCEPT).status_code == 403
    assert contact_now(cast) == cast.alice


def test_nobody_but_the_technical_contact_offers_or_withdraws(cast: Cast) -> None:
    erin = join(cast, "erin", "SCRUM Master")
    for person in (cast.bob, erin, cast.charlie):
        with pytest.raises(NotPermitted, match="Only the Technical Contact of Calc"):
            contact.offer(cast.app, Actor(person, via=SHELL), cast.membership(cast.bob))
    offer_to(cast, cast.bob)
    for person in (cast.bob, erin, cast.charlie):
        with pytest.raises(NotPermitted, match="Only the Technical Contact of Calc"):
            contact.withdraw(cast.app, Actor(person, via=SHELL))
    assert HandOver.objects.exists()


def test_the_flows_ask_for_the_window_themselves_where_there_is_production(cast: Cast) -> None:
    with pytest.raises(NotPermitted, match="Enter a code first"):
        contact.offer(cast.app, Actor(cast.alice), cast.membership(cast.bob))
    offer_to(cast, cast.bob)
    with pytest.raises(NotPermitted, match="Enter a code first"):
        contact.withdraw(cast.app, Actor(cast.alice))
    with pytest.raises(NotPermitted, match="Enter a code first"):
        contact.accept(cast.app, Actor(cast.bob))
    assert contact_now(cast) == cast.alice


# Withdrawing and declining


def test_alice_withdraws_and_bob_can_accept_no_more(
    cast: Cast, alices: Client, django_capture_on_commit_callbacks: Any
) -> None:
    offer_to(cast, cast.bob)
    bobs = unlocked(cast.bob)
    with django_capture_on_commit_callbacks(execute=True):
        answer = alices.post(WITHDRAW, follow=True)
    assert "The offer is withdrawn. You stay the Technical Contact of Calc." in words(answer)
    assert told("bob@example.org")[-1] == "Alice withdrew the offer of the Technical Contact of Calc"
    refused = bobs.post(ACCEPT)
    assert refused.status_code == 403
    assert "It is not offered to you: an offer ends after seven days and can be withdrawn." in words(refused)
    assert contact_now(cast) == cast.alice
    assert Activity.objects.get(act=Act.CONTACT_WITHDRAWN).target == "Bob"
    again = alices.post(WITHDRAW, follow=True)
    assert "There is no offer: it was declined or withdrawn already." in words(again)


def test_bob_declines_without_a_code_and_alice_is_told(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    offer_to(cast, cast.bob)
    bobs = signed_in(cast.bob)
    with django_capture_on_commit_callbacks(execute=True):
        answer = bobs.post(DECLINE, follow=True)
    assert "You declined. Alice stays the Technical Contact and was told." in words(answer)
    assert told("alice@example.org") == ["Bob does not take over Calc"]
    assert not HandOver.objects.exists()
    assert Activity.objects.get(act=Act.CONTACT_DECLINED).target == "Alice"
    assert bobs.post(DECLINE).status_code == 403


def test_opening_an_address_changes_nothing(cast: Cast, alices: Client) -> None:
    offer_to(cast, cast.bob)
    bobs = unlocked(cast.bob)
    for client, addresses in ((bobs, (PAGE, ACCEPT, DECLINE)), (alices, (PAGE, WITHDRAW, page_for(cast, cast.bob)))):
        for address in addresses:
            for method in (client.get, client.head):
                assert method(address, follow=True).status_code == 200
    assert HandOver.objects.get().offered_to.user == cast.bob
    assert contact_now(cast) == cast.alice


# Seeing it


def test_bob_sees_the_offer_where_he_is_and_others_do_not(cast: Cast) -> None:
    erin = join(cast, "erin")
    offer_to(cast, cast.bob)
    bobs = signed_in(cast.bob)
    sentence = "Alice offers you the role of the Technical Contact of Calc."
    for address in ("/", "/apps/calc/", "/apps/calc/team/"):
        assert sentence in words(bobs.get(address)), address
        for other in (erin, cast.alice):
            assert sentence not in words(signed_in(other).get(address)), address
    unlock(bobs, cast.bob)
    page = words(bobs.get(PAGE))
    assert "Become the Technical Contact of Calc?" in page
    assert "Stays in the team as SCRUM Master" in page


def test_others_do_not_see_the_page(cast: Cast) -> None:
    erin = join(cast, "erin")
    offer_to(cast, cast.bob)
    assert signed_in(erin).get(PAGE).status_code == 403
    assert signed_in(erin).post(ACCEPT).status_code == 403
    assert signed_in(cast.charlie).get(PAGE).status_code == 404
    assert signed_in(cast.charlie).post(ACCEPT).status_code == 404


def test_after_seven_days_the_offer_is_void(cast: Cast) -> None:
    offer_to(cast, cast.bob)
    with time_machine.travel(timezone.now() + HandOver.LASTS - timedelta(minutes=1)):
        assert signed_in(cast.bob).get(PAGE).headers["Location"].startswith("/authenticator/")
    with time_machine.travel(timezone.now() + HandOver.LASTS):
        bobs = unlocked(cast.bob)
        assert "offers you" not in words(bobs.get("/apps/calc/"))
        assert bobs.get(PAGE).status_code == 403
        assert bobs.post(ACCEPT).status_code == 403
        with pytest.raises(NotPossible, match="withdrawn or ran out"):
            contact.accept(cast.app, Actor(cast.bob, via=SHELL))
        page = words(unlocked(cast.alice).get(PAGE))
        assert "The offer to Bob ran out" in page
        assert page_for(cast, cast.bob) in page
    assert contact_now(cast) == cast.alice


# Accepting


def test_bob_accepts_and_both_and_support_are_told(
    cast: Cast, django_capture_on_commit_callbacks: Any, settings: Any
) -> None:
    offer_to(cast, cast.bob)
    bobs = unlocked(cast.bob)
    with django_capture_on_commit_callbacks(execute=True):
        answer = bobs.post(ACCEPT, follow=True)
    assert "You are the Technical Contact of Calc now. Alice was told." in words(answer)
    assert contact_now(cast) == cast.bob
    assert not HandOver.objects.exists()
    assert told("bob@example.org")[-1] == "You are the Technical Contact of Calc"
    assert told("alice@example.org")[-1] == "Bob is the Technical Contact of Calc now"
    assert told(settings.SUPPORT_EMAIL)[-1] == "Bob is the Technical Contact of Calc now"
    assert all(getattr(message, "alternatives", None) for message in mail.outbox)
    entry: Any = Activity.objects.get(act=Act.CONTACT_ACCEPTED)
    assert (entry.actor_name, entry.target) == ("Bob", "Alice")
    assert entry.before["Technical Contact"] == "Alice"
    assert entry.after["Technical Contact"] == "Bob"


def test_the_old_one_is_an_ordinary_member_at_the_very_next_request(cast: Cast, alices: Client) -> None:
    production = "/apps/calc/environments/production/"
    cast.grant(cast.alice, cast.production, Permission.API)
    assert alices.get(f"{production}stop/").status_code == 200
    assert "API Rights on Production, turned on for themselves, end" in words(alices.get(page_for(cast, cast.bob)))
    offer_to(cast, cast.bob)
    contact.accept(cast.app, Actor(cast.bob, via=SHELL))
    alice = cast.membership(cast.alice)
    assert alice.role.name == "SCRUM Master"
    assert not NodePermission.objects.filter(membership=alice).exists()
    assert alices.get(f"{production}stop/").status_code == 403
    assert alices.get(PAGE).status_code == 403
    assert [held(cast.alice, e) for e in (cast.test, cast.acceptance, cast.production)] == [
        {Permission.API}, {Permission.API}, set(),
    ]  # fmt: skip
    entry: Any = Activity.objects.get(act=Act.CONTACT_ACCEPTED)
    assert entry.before["permissions on Production of Alice"] == [permission.label for permission in Permission]
    assert "permissions on Production of Alice" not in entry.after
    assert entry.after["permissions on Test of Alice"] == ["API Rights"]


def held(user: User, environment: Environment) -> set[Permission]:
    from environments.access import may

    return {permission for permission in Permission if may(user, environment, permission)}


def test_nobody_answers_an_offer_that_is_made_to_somebody_else(cast: Cast) -> None:
    erin = join(cast, "erin")
    offer_to(cast, cast.bob)
    for person in (erin, cast.alice, cast.charlie):
        for answer in (contact.accept, contact.decline):
            with pytest.raises(NotPossible):
                answer(cast.app, Actor(person, via=SHELL))
    assert HandOver.objects.get().offered_to.user == cast.bob
    assert contact_now(cast) == cast.alice


def test_what_other_members_hold_stays(cast: Cast) -> None:
    erin = join(cast, "erin")
    cast.grant(erin, cast.test, Permission.TRANSPORT)
    cast.grant(cast.bob, cast.test, Permission.MONITORING)
    offer_to(cast, cast.bob)
    contact.accept(cast.app, Actor(cast.bob, via=SHELL))
    assert held(erin, cast.test) == {Permission.TRANSPORT, Permission.API}
    assert held(cast.bob, cast.production) == set(Permission) - {Permission.API}


def test_accepting_asks_for_the_code_and_is_carried_out_once_after_it(cast: Cast) -> None:
    offer_to(cast, cast.bob)
    unlocked(cast.bob)
    forget_last_step(cast.bob)
    bobs = signed_in(cast.bob)
    asked = bobs.post(ACCEPT)
    assert asked.headers["Location"].startswith("/authenticator/?")
    assert contact_now(cast) == cast.alice
    shown = bobs.post(asked.headers["Location"], {"code": code_of(cast.bob)}, follow=True)
    page = shown.content.decode()
    assert "Become the Technical Contact of Calc" in page
    assert contact_now(cast) == cast.alice
    action = page.split('action="' + ACCEPT)[1].split('"')[0]
    bobs.post(ACCEPT + action)
    assert contact_now(cast) == cast.bob


def test_an_app_without_production_needs_no_code(cast: Cast) -> None:
    cast.production.delete()
    signed_in(cast.alice).post(page_for(cast, cast.bob), {"name": "Calc"})
    signed_in(cast.bob).post(ACCEPT)
    assert contact_now(cast) == cast.bob


def test_a_role_without_the_deploy_permission_can_not_accept(cast: Cast) -> None:
    offer_to(cast, cast.bob)
    Membership.objects.filter(user=cast.bob).update(role=role("Product Owner"))
    bobs = unlocked(cast.bob)
    assert "does not carry the deploy permission any more, so you can’t accept" in words(bobs.get(PAGE))
    answer = bobs.post(ACCEPT, follow=True)
    assert "The role Product Owner of Bob does not carry the deploy permission." in words(answer)
    assert contact_now(cast) == cast.alice


def test_who_left_the_team_can_not_accept(cast: Cast) -> None:
    offer_to(cast, cast.bob)
    cast.membership(cast.bob).delete()
    assert unlocked(cast.bob).post(ACCEPT).status_code == 404
    with pytest.raises(NotPossible):
        contact.accept(cast.app, Actor(cast.bob, via=SHELL))
    assert contact_now(cast) == cast.alice


def test_an_offer_by_who_was_deactivated_does_not_stand(cast: Cast) -> None:
    offer_to(cast, cast.bob)
    boss = make_person("boss")
    User.objects.filter(pk=boss.pk).update(is_superuser=True)
    cast.alice.is_active = False
    staff.change(Actor(User.objects.get(pk=boss.pk), via="admin"), cast.alice, [])
    bobs = unlocked(cast.bob)
    assert "offers you" not in words(bobs.get("/apps/calc/"))
    assert bobs.post(ACCEPT).status_code == 403
    with pytest.raises(NotPossible):
        contact.accept(cast.app, Actor(cast.bob, via=SHELL))
    assert contact_now(cast) == cast.alice


@pytest.mark.parametrize("cause", ["disabled", "password changed"])
def test_an_offer_from_a_window_that_was_ended_for_cause_does_not_stand(cast: Cast, alices: Client, cause: str) -> None:
    """Who stole Alice's laptop offers the role to somebody else; support ends that, and the offer with it."""
    alices.post(page_for(cast, cast.bob), {"name": "Calc"})
    if cause == "disabled":
        authenticators.disable(cast.alice, Actor(User.objects.get(pk=cast.sam.pk), via="admin"), "Stolen.", "Called.")
    else:
        new = {"old_password": PASSWORD, "new_password1": "seven green bottles", "new_password2": "seven green bottles"}
        alices.post("/account/password/", new)
    answer = unlocked(cast.bob).post(ACCEPT, follow=True)
    assert "Alice has to offer the role again." in words(answer)
    assert contact_now(cast) == cast.alice


def test_an_offer_outlives_a_window_that_merely_ended(cast: Cast, alices: Client) -> None:
    alices.post(page_for(cast, cast.bob), {"name": "Calc"})
    alices.post("/sign-out/")
    unlocked(cast.bob).post(ACCEPT)
    assert contact_now(cast) == cast.bob


def test_accepting_twice_says_so_and_changes_nothing_more(cast: Cast) -> None:
    offer_to(cast, cast.bob)
    bobs = unlocked(cast.bob)
    bobs.post(ACCEPT)
    assert "You are the Technical Contact of Calc." in words(bobs.post(ACCEPT, follow=True))
    assert Activity.objects.filter(act=Act.CONTACT_ACCEPTED).count() == 1


def test_if_the_record_can_not_be_written_nothing_changes(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_to(cast, cast.bob)

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OSError

    monkeypatch.setattr(contact, "record", broken)
    with pytest.raises(OSError):
        contact.accept(cast.app, Actor(cast.bob, via=SHELL))
    assert contact_now(cast) == cast.alice
    assert HandOver.objects.exists()


def test_a_number_that_is_no_member_is_not_found(cast: Cast, alices: Client) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    foreign = other.memberships.get().pk
    for number in (foreign, 999_999, 10**30):
        for method in (alices.get, alices.post):
            assert method(f"{PAGE}{number}/").status_code == 404, number
    assert not HandOver.objects.exists()


def test_control_characters_and_markup_in_names_are_shown_inert(cast: Cast, alices: Client) -> None:
    User.objects.filter(pk=cast.bob.pk).update(name="<b>Bob</b>\u202e")
    App.objects.filter(pk=cast.app.pk).update(name="<i>Calc</i>\x1b")
    offer_to(cast, cast.bob)
    for address in (PAGE, page_for(cast, cast.bob)):
        page = alices.get(address).content.decode()
        assert not [text for text in ("<b>Bob", "<i>Calc", "\u202e", "\x1b") if text in page], address
    bobs = unlocked(User.objects.get(pk=cast.bob.pk))
    for address in ("/", "/apps/calc/", PAGE):
        page = bobs.get(address).content.decode()
        assert not [text for text in ("<b>Bob", "<i>Calc", "\u202e", "\x1b") if text in page], address
