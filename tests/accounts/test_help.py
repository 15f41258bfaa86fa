"""A lost phone: asking support, refusing its codes at once, and who hears of it."""

from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from accounts import authenticators
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, Authenticator, ProductionWindow, ResetRequest
from tests.cast import PASSWORD, Cast, forget_last_step, make_person, signed_in, unlocked
from tests.codes import code_of

HELP = "/authenticator/help/"
PRODUCTION = "/apps/calc/permissions/production/"
GONE = {"note": "It fell into the river. Call 555 0100.", "phone_gone": "on"}


def subjects_to(address: str) -> list[str]:
    return [str(message.subject) for message in mail.outbox if message.to == [address]]


def test_asking_says_what_happens_and_refuses_no_code(cast: Cast) -> None:
    client = unlocked(cast.bob)
    page = client.get(HELP).content.decode()
    assert "Support contacts you, to make sure that it is you." in page
    assert "My phone is gone: refuse its codes from now on" in page
    page = client.post(HELP, {"note": "New phone"}, follow=True).content.decode()
    assert "You asked support" in page
    request = ResetRequest.objects.get()
    assert (request.user, request.note, request.phone_gone, request.outcome) == (cast.bob, "New phone", False, "")
    assert Authenticator.objects.get().blocked_at is None
    assert client.get(PRODUCTION).status_code == 200, "the window stays"


def test_an_empty_note_is_enough(cast: Cast) -> None:
    unlocked(cast.bob).post(HELP, {})
    assert ResetRequest.objects.get().note == ""


def test_a_gone_phone_ends_every_window_at_once_and_its_codes_open_nothing(cast: Cast) -> None:
    one, two = unlocked(cast.bob), unlocked(cast.bob)
    signed_in(cast.bob).post(HELP, GONE)
    windows = ProductionWindow.objects.filter(user=cast.bob)
    assert set(windows.values_list("ended_why", flat=True)) == {ProductionWindow.End.BLOCKED}
    for client in (one, two):
        assert client.get(PRODUCTION).headers["Location"].startswith("/authenticator/?")
        forget_last_step(cast.bob)
        page = client.post("/authenticator/", {"code": code_of(cast.bob)}).content.decode()
        assert "blocked because the phone is gone" in page
        assert client.get(PRODUCTION).status_code == 302
    assert Activity.objects.filter(act=Act.PHONE_GONE, actor_id=cast.bob.pk).count() == 1


def test_a_gone_phone_stops_setting_up_another_one(cast: Cast) -> None:
    client = unlocked(cast.bob)
    client.post(HELP, GONE)
    secret = Authenticator.objects.get().secret
    answer = client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    assert answer.headers["Location"].startswith("/authenticator/?")
    assert list(Authenticator.objects.values_list("secret", "confirmed")) == [(secret, True)]


def test_no_password_change_new_session_or_second_request_opens_it_again(cast: Cast) -> None:
    client = unlocked(cast.bob)
    client.post(HELP, GONE)
    new = "another long enough password"
    client.post("/account/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    client.post(HELP, {"note": "Found it again"})
    forget_last_step(cast.bob)
    client.post("/authenticator/", {"code": code_of(cast.bob)})
    assert client.get(PRODUCTION).status_code == 302
    assert Authenticator.objects.get().blocked_at is not None


def test_the_page_no_longer_offers_what_is_done(cast: Cast) -> None:
    client = unlocked(cast.bob)
    page = client.post(HELP, GONE, follow=True).content.decode()
    assert "refuse its codes" not in page
    assert "Your authenticator is blocked because the phone is gone" in page
    client.post(HELP, GONE)
    assert Activity.objects.filter(act=Act.PHONE_GONE).count() == 1


def test_one_that_wrong_codes_blocked_stays_blocked_for_that(cast: Cast) -> None:
    unlocked(cast.bob)
    since = timezone.now() - timedelta(days=1)
    Authenticator.objects.update(blocked_at=since, blocked_why=Authenticator.Blocked.WRONG_CODES)
    assert authenticators.ask_for_reset(Actor(cast.bob), "", phone_gone=True).phone_gone
    found = Authenticator.objects.get()
    assert (found.blocked_at, found.blocked_why) == (since, Authenticator.Blocked.WRONG_CODES)
    assert not Activity.objects.filter(act=Act.PHONE_GONE).exists()


def test_a_thief_of_the_password_blocks_nobody_silently(cast: Cast, django_capture_on_commit_callbacks: object) -> None:
    unlocked(cast.bob)
    thief = signed_in(cast.bob)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        thief.post(HELP, GONE)
    assert subjects_to(cast.bob.email) == ["Your authenticator's codes are refused from now on"]
    assert subjects_to(cast.alice.email) == ["Bob can't use their authenticator"]
    assert subjects_to("support@localhost") == ["bob@example.org can't use their authenticator"]
    assert "change it now" in str(mail.outbox[0].body)
    assert "It fell into the river." not in "".join(str(m.body) for m in mail.outbox if m.to == [cast.alice.email])


def test_only_technical_contacts_of_ones_own_apps_hear_of_it_and_only_once(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    make_person("dora")
    client = unlocked(cast.bob)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        client.post(HELP, {"note": "one"})
        client.post(HELP, {"note": "two"})
    assert len(subjects_to(cast.alice.email)) == 1
    assert len(subjects_to(cast.bob.email)) == 2
    assert {address for message in mail.outbox for address in message.to} == {
        cast.alice.email, cast.bob.email, "support@localhost",
    }  # fmt: skip
    assert ResetRequest.objects.get().note == "one\n\ntwo"


def test_saying_later_that_the_phone_is_gone_tells_the_technical_contact_again(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    client = unlocked(cast.bob)
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        client.post(HELP, {"note": "one"})
        client.post(HELP, GONE)
    assert len(subjects_to(cast.alice.email)) == 2
    assert ResetRequest.objects.get().phone_gone


def test_without_an_authenticator_the_page_says_what_to_do_instead(cast: Cast) -> None:
    client = signed_in(cast.charlie)
    for answer in (client.get(HELP), client.post(HELP, GONE)):
        assert answer.status_code == 200
        page = answer.content.decode()
        assert "No authenticator is set up for your account" in page
        assert 'href="/authenticator/set-up/"' in page
    assert not ResetRequest.objects.exists()
    with pytest.raises(authenticators.NotAllowed):
        authenticators.ask_for_reset(Actor(cast.charlie), "", phone_gone=True)


def test_one_that_is_only_being_set_up_can_not_be_asked_about(cast: Cast) -> None:
    client = signed_in(cast.charlie)
    client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    assert "No authenticator is set up" in client.post(HELP, GONE).content.decode()
    assert Authenticator.objects.get().blocked_at is None


def test_notes_do_not_grow_without_end(cast: Cast) -> None:
    unlocked(cast.bob)
    for _ in range(5):
        authenticators.ask_for_reset(Actor(cast.bob), "x" * 2000)
    assert len(ResetRequest.objects.get().note) == authenticators.NOTES_MOST


def test_a_note_is_too_long_in_words_that_help(cast: Cast) -> None:
    page = unlocked(cast.bob).post(HELP, {"note": "x" * 2001}).content.decode()
    assert "at most 2000 characters" in page
    assert not ResetRequest.objects.exists()


def test_the_history_of_the_account_shows_it(cast: Cast) -> None:
    client = unlocked(cast.bob)
    client.post(HELP, GONE)
    assert "Had their codes refused: the phone is gone" in client.get("/account/history/").content.decode()


def test_nobody_is_flooded_with_mails_about_a_request(cast: Cast) -> None:
    client = unlocked(cast.bob)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        pages = [client.post(HELP, {"note": f"Note {n}"}, follow=True).content.decode() for n in range(8)]
        assert Activity.objects.filter(act=Act.RESET_ASKED).count() == 5
        assert "was not added" in pages[5]
        assert "was not added" not in pages[4]
        assert ResetRequest.objects.get().note.endswith("Note 4")
        clock.shift(timedelta(hours=1, seconds=1))
        client.post(HELP, {"note": "Later"})
        assert ResetRequest.objects.get().note.endswith("Later")


def test_however_often_somebody_asked_a_gone_phone_is_refused_at_once(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    client = unlocked(cast.bob)
    for _ in range(8):
        client.post(HELP, {"note": "Again"})
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        client.post(HELP, GONE)
    assert Authenticator.objects.get().blocked_at is not None
    assert subjects_to(cast.bob.email) == ["Your authenticator's codes are refused from now on"]
