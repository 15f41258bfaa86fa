"""People join a team by invitation: a link by mail, once, for seven days, while its sender may manage the team."""

import logging
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import authenticators, people
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, ProductionWindow, User
from environments import flows, invitations, team
from environments.authority import NotPermitted
from environments.invitations import MOST_AN_HOUR, NotValid, fingerprint
from environments.models import Invitation, Membership, Role
from environments.team import TeamRefused
from tests.cast import PASSWORD, Cast, make_person, signed_in, unlocked
from tests.environments.invited import EMAIL, NEW, Invitations, is_signed_in_as, link_in, token_of

INVITE = "/apps/calc/team/invite/"


@pytest.fixture
def alices(cast: Cast, django_capture_on_commit_callbacks: Any) -> Invitations:
    return Invitations(unlocked(cast.alice), django_capture_on_commit_callbacks)


def members(cast: Cast) -> set[str]:
    return set(cast.app.memberships.values_list("user__email", flat=True))


def test_somebody_new_sets_name_and_password_and_is_in_the_team(cast: Cast, alices: Invitations) -> None:
    path, browser = alices.send(), Client(headers={"user-agent": "Test browser"})
    page = browser.get(path).content.decode()
    assert "Alice (alice@example.org) invites <strong>dora@example.org</strong>" in page
    assert EMAIL not in members(cast), "a link alone accepts nothing"
    answer = browser.post(path, NEW)
    assert answer.headers["Location"] == "/apps/calc/"
    dora = User.objects.get(email=EMAIL)
    assert (dora.name, dora.check_password("seven green bottles")) == ("Dora Dean", True)
    assert cast.membership(dora).role.name == "Business Engineer"
    assert is_signed_in_as(browser, dora)
    assert dora.sessions.get().reference, "a session like any other, which the account page lists"
    assert not Invitation.objects.exists()
    entry = Activity.objects.filter(app_id=cast.app.pk).first()
    assert entry
    assert str(entry) == "Dora Dean joined the team, invited by Alice"
    assert Activity.objects.filter(act=Act.ACCOUNT_MADE, actor_id=dora.pk).exists()


def test_the_mail_says_who_invites_to_what_as_what_until_when_and_what_to_do(cast: Cast, alices: Invitations) -> None:
    alices.send(role="Product Owner")
    message = mail.outbox[-1]
    until = f"{Invitation.objects.get().expires_at:%-d %B %Y, %H:%M} UTC"
    assert message.to == [EMAIL]
    assert message.subject == "Alice invites you to the team of Calc"
    for words in ("Alice (alice@example.org)", "the app Calc", "as Product Owner", until, "ignore it", EMAIL):
        assert words in message.body
    html, kind = message.alternatives[0]  # type: ignore[attr-defined]
    assert kind == "text/html"
    assert f'href="http://localhost:8000{link_in(message)}"' in html


def test_names_can_not_write_paragraphs_into_a_mail_to_a_stranger(cast: Cast, alices: Invitations) -> None:
    User.objects.filter(pk=cast.alice.pk).update(name="Alice\n\nPay at evil.example\x1b")
    cast.app.name = "Calc\r\n\r\nNow"
    cast.app.save()
    alices.send()
    assert "\nPay" not in mail.outbox[-1].body
    assert "\nNow" not in mail.outbox[-1].body
    assert "\x1b" not in mail.outbox[-1].body


def test_who_has_an_account_signs_in_comes_back_and_presses_one_button(cast: Cast, alices: Invitations) -> None:
    path, browser = alices.send(cast.charlie.email), Client()
    page = browser.get(path).content.decode()
    assert "You have an account with this address." in page
    assert browser.post(path, NEW).status_code == 200, "no second account is made"
    sign_in = page.partition('href="/sign-in/')[2].partition('"')[0]
    credentials = {"username": cast.charlie.email, "password": PASSWORD, "next": path}
    assert path.replace("/", "%2F") in sign_in
    assert browser.post("/sign-in/", credentials).headers["Location"] == path
    assert "Join the team" in browser.get(path).content.decode()
    assert cast.charlie.email not in members(cast)
    assert browser.post(path).headers["Location"] == "/apps/calc/"
    assert cast.charlie.email in members(cast)


def test_the_one_who_joins_and_the_one_who_invited_are_told(
    cast: Cast, alices: Invitations, django_capture_on_commit_callbacks: Any
) -> None:
    path = alices.send(cast.charlie.email)
    with django_capture_on_commit_callbacks(execute=True):
        signed_in(cast.charlie).post(path)
    told = {message.to[0]: str(message.body) for message in mail.outbox[-2:]}
    assert "you joined the team of Calc as Business Engineer" in told[cast.charlie.email]
    assert "Charlie (charlie@example.org) joined the team" in told[cast.alice.email]


def test_who_is_signed_in_as_another_is_told_for_whom_it_is_and_signs_out(cast: Cast, alices: Invitations) -> None:
    path, browser = alices.send(), signed_in(cast.bob)
    page = browser.get(path).content.decode()
    assert "You are signed in as Bob (bob@example.org), and this invitation is for another address." in page
    assert browser.post(path, NEW).status_code == 409
    assert is_signed_in_as(browser, cast.bob)
    assert not User.objects.filter(email=EMAIL).exists()
    assert browser.post("/sign-out/", {"next": path}).headers["Location"] == path
    assert "Make my account and join" in browser.get(path).content.decode()


def test_signing_out_never_leads_to_another_host(cast: Cast) -> None:
    answer = signed_in(cast.bob).post("/sign-out/", {"next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"


def test_a_session_that_was_there_before_is_not_the_new_persons(cast: Cast, alices: Invitations) -> None:
    path, browser = alices.send(), unlocked(cast.bob)
    before = browser.session.session_key
    browser.post("/sign-out/", {"next": path})
    browser.post(path, NEW)
    assert browser.session.session_key != before
    assert not ProductionWindow.objects.filter(user=cast.bob, ended_at=None).exists()
    assert browser.get("/apps/calc/team/leave/").headers["Location"].startswith("/authenticator/")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"new_password1": "short", "new_password2": "short"}, "at least 15 characters"),
        ({"new_password2": "seven green bottle"}, "match"),
        ({"new_password1": "dora@example.org", "new_password2": "dora@example.org"}, "too similar"),
        (dict.fromkeys(("name", "new_password1", "new_password2"), "Dora Dean of Delft"), "too similar to the name"),
        ({"name": " "}, "Enter your name."),
    ],
)
def test_a_new_account_has_the_rules_of_all_accounts(
    cast: Cast, alices: Invitations, broken: dict[str, str], words: str
) -> None:
    page = Client().post(alices.send(), NEW | broken).content.decode()
    assert words in page
    assert not User.objects.filter(email=EMAIL).exists()


def test_the_address_of_the_account_is_the_invitations_whatever_the_form_says(cast: Cast, alices: Invitations) -> None:
    Client().post(
        alices.send(), NEW | {"email": "boss@example.org", "is_staff": "on", "is_superuser": "on", "role": "1"}
    )
    dora = User.objects.get(name="Dora Dean")
    assert (dora.email, dora.is_staff, dora.is_superuser) == (EMAIL, False, False)
    assert cast.membership(dora).role.name == "Business Engineer"


def test_the_flow_gives_the_account_the_address_that_was_invited(cast: Cast, alices: Invitations) -> None:
    shown = invitations.find(token_of(alices.send()))
    invitations.accept_as_new(shown, Actor(User(email="other@example.org", name="Dora")))
    assert User.objects.get(name="Dora").email == EMAIL


def not_valid(path: str, client: Client | None = None) -> str:
    answers = [getattr(client or Client(), method)(path) for method in ("get", "post")]
    assert [answer.status_code for answer in answers] == [404, 404]
    page: str = answers[0].content.decode()
    assert "This invitation is not valid any more" in page
    assert "invitation." in page
    return page


def test_a_link_works_once(cast: Cast, alices: Invitations) -> None:
    path = alices.send()
    Client().post(path, NEW)
    assert "It was used already" in not_valid(path)
    team.remove(cast.membership(User.objects.get(email=EMAIL)), Actor(cast.alice, via="shell"))
    not_valid(path)
    assert EMAIL not in members(cast)


@pytest.mark.parametrize("path", ["/invitations/x/", "/invitations/%E2%82%AC%00x/", f"/invitations/{'x' * 3000}/"])
def test_an_unknown_link_says_so_in_words(cast: Cast, path: str) -> None:
    answer = signed_in(cast.bob).get(path)
    assert answer.status_code in (400, 404)


def test_a_link_works_for_seven_days(cast: Cast, alices: Invitations) -> None:
    path = alices.send()
    sent = Invitation.objects.get()
    assert sent.expires_at - sent.sent_at == timedelta(days=7)
    Invitation.objects.update(expires_at=timezone.now() + timedelta(seconds=20))
    assert Client().get(path).status_code == 200
    Invitation.objects.update(expires_at=timezone.now())
    assert "It was good for seven days. Ask Alice for a new invitation." in not_valid(path)
    assert EMAIL not in members(cast)


def test_a_link_is_void_when_it_is_withdrawn_or_replaced(cast: Cast, alices: Invitations) -> None:
    first = alices.send()
    second = alices.send(role="Product Owner")
    not_valid(first)
    assert "as Product Owner" in Client().get(second).content.decode()
    assert Invitation.objects.count() == 1
    alices.manager.post(f"/apps/calc/team/invitations/{Invitation.objects.get().pk}/withdraw/")
    not_valid(second)
    assert Activity.objects.filter(act=Act.INVITATION_WITHDRAWN, target=EMAIL).exists()


def test_an_invitation_is_sent_again_with_a_new_link_and_seven_new_days(cast: Cast, alices: Invitations) -> None:
    first = alices.send()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    again = f"/apps/calc/team/invitations/{Invitation.objects.get().pk}/again/"
    assert "The former link does not work any more." in alices.manager.get(again).content.decode()
    with alices.capture(execute=True):
        assert alices.manager.post(again).status_code == 302
    not_valid(first)
    assert Client().post(link_in(mail.outbox[-1]), NEW).headers["Location"] == "/apps/calc/"


class TestItDiesWithItsSender:
    """At the moment of acceptance whoever sent it is active, may manage the team, and is trusted."""

    @pytest.fixture
    def path(self, cast: Cast, django_capture_on_commit_callbacks: Any) -> str:
        mia = make_person("mia")
        flows.add_member(cast.app, Actor(cast.alice), mia, Role.objects.get(name="SCRUM Master"))
        return Invitations(unlocked(mia), django_capture_on_commit_callbacks).send()

    def mia(self) -> User:
        return User.objects.get(name="Mia")

    def assert_dead(self, cast: Cast, path: str) -> None:
        assert "does not answer for the team of Calc any more. Ask somebody" in not_valid(path)
        assert not User.objects.filter(email=EMAIL).exists()
        page = unlocked(cast.alice).get("/apps/calc/team/").content.decode()
        assert "Void: Mia does not answer for it any more" in page

    def test_while_nothing_changed_it_works(self, cast: Cast, path: str) -> None:
        assert Client().post(path, NEW).status_code == 302

    def test_who_is_removed(self, cast: Cast, path: str) -> None:
        team.remove(cast.membership(self.mia()), Actor(cast.alice, via="shell"))
        self.assert_dead(cast, path)

    def test_who_has_a_role_without_the_right(self, cast: Cast, path: str) -> None:
        role = Role.objects.get(name="Business Engineer")
        team.change_role(cast.membership(self.mia()), Actor(cast.alice, via="shell"), role)
        self.assert_dead(cast, path)

    def test_who_is_deactivated(self, cast: Cast, path: str) -> None:
        User.objects.filter(name="Mia").update(is_active=False)
        self.assert_dead(cast, path)

    def test_whose_windows_were_ended_for_cause(self, cast: Cast, path: str) -> None:
        """Whoever sits at a stolen laptop can't stay in the team as somebody else."""
        people.end_everything(self.mia(), ProductionWindow.End.PASSWORD)
        self.assert_dead(cast, path)

    def test_whose_authenticator_was_disabled(self, cast: Cast, path: str) -> None:
        authenticators.disable(self.mia(), Actor(cast.sam, via="admin"), "Lost the phone.", "By video.")
        self.assert_dead(cast, path)

    def test_whose_authenticator_was_disabled_after_the_window_ended(self, cast: Cast, path: str) -> None:
        ProductionWindow.objects.update(ended_at=timezone.now(), ended_why=ProductionWindow.End.SIGNED_OUT)
        authenticators.disable(self.mia(), Actor(cast.sam, via="admin"), "Lost the phone.", "By video.")
        self.assert_dead(cast, path)

    def test_whose_earlier_window_was_ended_for_cause_is_trusted(self, cast: Cast, path: str) -> None:
        """What was withdrawn before the invitation was sent says nothing about it."""
        window = ProductionWindow.objects.get(user=self.mia())
        window.pk = uuid4()
        window.ended_at, window.ended_why = window.opened_at, ProductionWindow.End.PASSWORD
        window.save(force_insert=True)
        assert Client().post(path, NEW).status_code == 302

    def test_whose_window_merely_ended_is_trusted(self, cast: Cast, path: str) -> None:
        ProductionWindow.objects.update(ended_at=timezone.now(), ended_why=ProductionWindow.End.SIGNED_OUT)
        assert Client().post(path, NEW).status_code == 302

    def test_the_form_that_was_open_is_refused_too(self, cast: Cast, path: str) -> None:
        """The flow asks at the moment of acceptance, not only the page that shows the form."""
        shown = invitations.find(token_of(path))
        User.objects.filter(name="Mia").update(is_active=False)
        with pytest.raises(invitations.NotValid):
            invitations.accept_as_new(shown, Actor(User(email=EMAIL, name="Dora")))
        with pytest.raises(invitations.NotValid):
            invitations.accept(shown, Actor(User.objects.create_user(EMAIL, "Dora")))
        assert EMAIL not in members(cast)


def test_a_deactivated_account_can_not_accept(cast: Cast, alices: Invitations) -> None:
    path, browser = alices.send(cast.charlie.email), signed_in(cast.charlie)
    shown = invitations.find(token_of(path))
    User.objects.filter(pk=cast.charlie.pk).update(is_active=False)
    browser.post(path)
    with pytest.raises(NotPermitted):
        invitations.accept(shown, Actor(cast.charlie))
    assert cast.charlie.email not in members(cast)


def test_the_flow_takes_nobody_else_than_who_was_invited(cast: Cast, alices: Invitations) -> None:
    shown = invitations.find(token_of(alices.send()))
    with pytest.raises(NotPermitted, match="another e-mail address"):
        invitations.accept(shown, Actor(cast.charlie))
    with pytest.raises(NotPermitted):
        invitations.accept(shown, Actor(cast.bob))
    assert Invitation.objects.exists()


def test_an_account_that_was_made_meanwhile_signs_in_instead(
    cast: Cast, alices: Invitations, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, accept = alices.send(), invitations.accept_as_new

    def just_before(*args: Any) -> Any:
        User.objects.create_user(EMAIL, "Dora", PASSWORD)
        return accept(*args)

    monkeypatch.setattr(invitations, "accept_as_new", just_before)
    page = Client().post(path, NEW).content.decode()
    assert "You have an account with this address." in page
    assert User.objects.filter(email=EMAIL).count() == 1
    assert EMAIL not in members(cast)


def test_a_members_address_is_said_to_be_in_the_team(cast: Cast, alices: Invitations) -> None:
    data = {"email": "BOB@example.org", "role": Role.objects.get(name="End-user").pk}
    page = alices.manager.post(INVITE, data).content.decode()
    assert "Bob is in the team already, as Business Engineer." in page
    assert 'value="BOB@example.org"' in page
    with pytest.raises(TeamRefused):
        invitations.invite(cast.app, Actor(cast.alice, via="shell"), cast.bob.email, cast.membership(cast.bob).role)


def test_nobody_learns_from_inviting_who_has_an_account(cast: Cast, alices: Invitations) -> None:
    alices.manager.get("/")  # shows what there was to say before
    User.objects.filter(pk=cast.sam.pk).update(is_active=False)
    pages = set()
    for email in ("nobody@example.org", cast.charlie.email, cast.sam.email):
        alices.send(email)
        page = alices.manager.get("/apps/calc/team/").content.decode()
        message = page.partition('<p class="notice success">')[2].partition("</p>")[0]
        pages.add(message.replace(email, "…"))
        Invitation.objects.all().delete()
    assert len(pages) == 1


@pytest.mark.parametrize(
    "data", [{"email": "x"}, {"email": ""}, {"email": f"{'x' * 300}@example.org"}, {"role": "999999"}, {"role": "x"}]
)
def test_what_makes_no_sense_is_said_at_its_field_and_what_was_typed_is_kept(
    cast: Cast, alices: Invitations, data: dict[str, str]
) -> None:
    sent = {"email": "new@example.org", "role": str(Role.objects.get(name="End-user").pk)} | data
    page = alices.manager.post(INVITE, sent).content.decode()
    assert 'aria-invalid="true"' in page
    assert f'value="{sent["email"]}"' in page or not sent["email"]
    assert not Invitation.objects.exists()


def test_an_app_sends_only_so_many_invitations_an_hour(cast: Cast, alices: Invitations) -> None:
    by, role = Actor(cast.alice, via="shell"), Role.objects.get(name="End-user")
    for number in range(MOST_AN_HOUR):
        invitations.invite(cast.app, by, f"new{number}@example.org", role)
    answer = alices.manager.post(INVITE, {"email": EMAIL, "role": role.pk})
    assert answer.status_code == 409
    assert "30 invitations were sent within the last hour. Wait" in answer.content.decode()
    other = flows.create_app(by, "Other", "other")
    for act in (
        partial(invitations.invite, other, by, EMAIL, role),
        partial(invitations.send_again, Invitation.objects.latest("pk"), by),
    ):
        with pytest.raises(TeamRefused, match="Wait"):
            act()


def test_only_who_may_manage_the_team_invites(cast: Cast) -> None:
    role = Role.objects.get(name="End-user")
    data = {"email": EMAIL, "role": role.pk}
    assert unlocked(cast.bob).post(INVITE, data).status_code == 403
    assert unlocked(cast.charlie).post(INVITE, data).status_code == 404
    lead = Role.objects.create(name="Team lead", manages_team=True)
    mia = make_person("mia")
    flows.add_member(cast.app, Actor(cast.alice), mia, lead)
    assert unlocked(mia).post(INVITE, data).status_code == 302
    for by in (cast.bob, cast.charlie, User(email="x@example.org")):
        if by.pk:
            with pytest.raises(NotPermitted):
                invitations.invite(cast.app, Actor(by, via="shell"), "other@example.org", role)


def test_the_flows_ask_for_the_window_themselves(cast: Cast) -> None:
    by, role = Actor(cast.alice), Role.objects.get(name="End-user")
    sent = invitations.invite(cast.app, Actor(cast.alice, via="shell"), EMAIL, role)
    acts = (
        partial(invitations.invite, cast.app, by, "other@example.org", role),
        partial(invitations.send_again, sent, by),
        partial(invitations.withdraw, sent, by),
    )
    for act in acts:
        with pytest.raises(NotPermitted, match="Enter a code first"):
            act()


def test_an_app_without_production_asks_for_no_code(cast: Cast) -> None:
    cast.production.delete()
    alice = signed_in(cast.alice)
    assert "Needs a code" not in alice.get("/apps/calc/team/").content.decode()
    assert alice.post(INVITE, {"email": EMAIL, "role": Role.objects.first().pk}).status_code == 302  # type: ignore[union-attr]


def test_the_database_holds_no_link(cast: Cast, alices: Invitations) -> None:
    token = token_of(alices.send())
    assert len(token) == 43
    stored = Invitation.objects.get()
    assert stored.link == fingerprint(token)
    assert not Activity.objects.filter(target__contains=token).exists()
    assert token not in str(list(Activity.objects.values_list("before", "after", "reason")))


def test_the_pages_of_a_link_are_not_stored_and_tell_no_other_site_their_address(
    cast: Cast, alices: Invitations
) -> None:
    for path in (alices.send(), "/invitations/unknown/"):
        headers = Client().get(path).headers
        assert "no-store" in headers["Cache-Control"]
        assert headers["Referrer-Policy"] == "same-origin"


def test_the_log_holds_no_link(cast: Cast, alices: Invitations, caplog: pytest.LogCaptureFixture) -> None:
    """Django logs the address of what it answers with 403, 404 or 500."""
    from portal.logs import Line

    path = alices.send()
    token = token_of(path)
    strict = Client(enforce_csrf_checks=True)
    with caplog.at_level(logging.INFO):
        assert strict.post(path, NEW).status_code == 403
        Invitation.objects.update(expires_at=timezone.now())
        assert strict.get(path).status_code == 404
    assert len(caplog.records) >= 2
    lines = [Line("{message}", style="{").format(record) for record in caplog.records]
    assert any("/invitations/…" in line for line in lines)
    assert token not in "".join(lines)


@pytest.mark.parametrize(
    "address",
    [
        "/invitations/{}/",
        "/sign-in/?next=%2Finvitations%2F{}%2F",
        "/account/password/reset/MQ/{}/",
        "/account/e-mail/{}/",
    ],
)
def test_a_mailed_link_is_cut_from_a_line_of_the_log(address: str) -> None:
    from portal.logs import Line

    record = logging.makeLogRecord({"msg": "Not Found: " + address.format("abcdEFGH-_12:34"), "levelname": "WARNING"})
    line = Line("{message}", style="{").format(record)
    assert "abcdEFGH" not in line
    assert "…" in line


def test_an_invitation_of_another_app_is_as_if_it_did_not_exist(cast: Cast, alices: Invitations) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    theirs = invitations.invite(other, Actor(cast.charlie, via="shell"), EMAIL, Role.objects.get(name="End-user"))
    for pk in (theirs.pk, 999_999, 10**30):
        for act in ("again", "withdraw"):
            for method in ("get", "post"):
                address = f"/apps/calc/team/invitations/{pk}/{act}/"
                assert getattr(alices.manager, method)(address).status_code == 404
    assert Invitation.objects.filter(pk=theirs.pk).exists()


def test_the_team_sees_who_is_invited_and_only_managers_can_act(cast: Cast, alices: Invitations) -> None:
    alices.send()
    pages = {"alice": alices.manager, "bob": signed_in(cast.bob)}
    for name, client in pages.items():
        page = client.get("/apps/calc/team/").content.decode()
        assert EMAIL in page
        assert ("Withdraw…" in page) == (name == "alice")
        assert ("Invite somebody" in page) == (name == "alice")


def test_more_than_ten_open_invitations_have_a_page_of_their_own(cast: Cast, alices: Invitations) -> None:
    role = Role.objects.get(name="End-user")
    for number in range(12):
        invitations.invite(cast.app, Actor(cast.alice, via="shell"), f"new{number:02}@example.org", role)
    page = alices.manager.get("/apps/calc/team/").content.decode()
    assert "All 12 invitations" in page
    assert "new11@" in page
    assert "new00@" not in page
    assert "new00@" in alices.manager.get("/apps/calc/team/invitations/").content.decode()


def test_invitations_that_nobody_sends_again_are_forgotten(cast: Cast) -> None:
    role, by = Role.objects.get(name="End-user"), Actor(cast.alice, via="shell")
    old, expired = (invitations.invite(cast.app, by, f"{name}@example.org", role) for name in ("old", "expired"))
    Invitation.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(days=8))
    Invitation.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(days=6))
    invitations.forget_expired()
    assert list(Invitation.objects.all()) == [expired]


def test_what_was_typed_waits_for_the_code_and_is_carried_out_once(cast: Cast) -> None:
    alice = signed_in(cast.alice)
    answer = alice.post(INVITE, {"email": EMAIL, "role": Role.objects.get(name="End-user").pk})
    assert answer.headers["Location"].startswith("/authenticator/?waiting=")
    assert not Invitation.objects.exists()
    assert not Membership.objects.filter(user__email=EMAIL).exists()


def test_a_link_to_an_app_that_is_deleted_at_this_moment_says_so(cast: Cast, alices: Invitations) -> None:
    shown = invitations.find(token_of(alices.send()))
    shown.app.delete()
    with pytest.raises(NotValid, match="The app Calc was deleted"):
        invitations.accept_as_new(shown, Actor(User(email=EMAIL, name="Dora")))
    with pytest.raises(NotValid, match="The app Calc was deleted"):
        invitations.accept(shown, Actor(cast.charlie))
