"""The account page: what people see of their sessions and history, and what they end and change."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import Activity, ProductionWindow, Session, User
from tests.cast import PASSWORD, Cast, forget_last_step, signed_in, unlock, unlocked
from tests.codes import wrong_code

ACCOUNT = "/account/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def reference_of(client: Client) -> str:
    return str(Session.objects.get(session_key=client.session.session_key).reference)


def test_sessions_are_listed_with_browser_address_and_window(cast: Cast) -> None:
    unlocked(cast.alice)
    client = Client(headers={"user-agent": FIREFOX}, REMOTE_ADDR="192.0.2.7")
    client.post("/sign-in/", {"username": cast.alice.email, "password": PASSWORD})
    page = client.get(ACCOUNT).content.decode()
    assert "Firefox on Linux" in page
    assert "192.0.2.7" in page
    assert page.count("End session") == 1, "not this one"
    assert page.count("End access") == 1
    assert str(client.session.session_key) not in page
    assert "no-store" in client.get(ACCOUNT).headers["Cache-Control"]


def test_another_session_is_ended_with_its_window(cast: Cast) -> None:
    here, there = signed_in(cast.alice), unlocked(cast.alice)
    assert here.post(f"/account/sessions/{reference_of(there)}/end/").status_code == 302
    assert there.get("/").status_code == 302
    assert not ProductionWindow.objects.filter(ended_at=None).exists()
    assert here.get("/").status_code == 200
    assert Activity.objects.filter(act="account.session-ended").exists()


def test_the_window_of_another_session_is_ended_alone(cast: Cast) -> None:
    here, there = signed_in(cast.alice), unlocked(cast.alice)
    here.post(f"/account/sessions/{reference_of(there)}/lock/")
    assert there.get("/").status_code == 200
    assert there.get("/apps/calc/permissions/production/").status_code == 302


def test_all_other_sessions_are_ended_at_once(cast: Cast) -> None:
    here, others = signed_in(cast.alice), [signed_in(cast.alice), unlocked(cast.alice)]
    bobs = signed_in(cast.bob)
    here.post("/account/sessions/end-others/")
    assert [c.get("/").status_code for c in (here, *others, bobs)] == [200, 302, 302, 200]


@pytest.mark.parametrize("what", ["end", "lock"])
def test_nobody_ends_the_session_of_somebody_else(cast: Cast, what: str) -> None:
    alices = unlocked(cast.alice)
    assert signed_in(cast.bob).post(f"/account/sessions/{reference_of(alices)}/{what}/").status_code == 404
    assert alices.get("/apps/calc/permissions/production/").status_code == 200


def test_sign_ins_and_codes_are_in_the_history_wrong_ones_among_them(cast: Cast) -> None:
    client = unlocked(cast.alice)
    Client().post("/sign-in/", {"username": cast.alice.email, "password": "wrong wrong wrong"})
    client.post("/authenticator/", {"code": wrong_code(cast.alice)})
    page = client.get("/account/history/").content.decode()
    for sentence in (
        "Signed in",
        "Was refused at sign-in: wrong password",
        "Entered a wrong code",
        "Set up an authenticator",
        "Opened production access",
    ):
        assert sentence in page
    assert "Entered a wrong code" not in signed_in(cast.bob).get("/account/history/").content.decode()


def test_what_somebody_typed_as_an_unknown_address_is_not_kept(cast: Cast) -> None:
    Client().post("/sign-in/", {"username": "my-secret-password@example.org", "password": "x"})
    assert "my-secret" not in str(list(Activity.objects.values()))


def change_email(client: Client, password: str = PASSWORD) -> Any:
    return client.post("/account/e-mail/", {"email": "New@example.org", "password": password})


def link() -> str:
    body = str(next(m for m in mail.outbox if m.to == ["new@example.org"]).body)
    return next(word for word in body.split() if "/account/e-mail/" in word).partition("localhost:8000")[2]


def test_an_e_mail_changes_after_its_link_was_followed_and_confirmed(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(cast.alice)
    assert "This is not your password" in change_email(client, "wrong wrong wrong").content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        change_email(client)
    path = link()
    assert client.get(path).status_code == 200
    assert User.objects.filter(email="alice@example.org").exists(), "the link alone changes nothing"
    assert signed_in(cast.bob).post(path).status_code == 410
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(path).status_code == 302
    assert User.objects.get(pk=cast.alice.pk).email == "new@example.org"
    assert {"alice@example.org", "new@example.org"} <= {to for m in mail.outbox for to in m.to}
    assert client.post(path).status_code == 410, "once"


def test_an_address_that_is_taken_is_refused(cast: Cast) -> None:
    answer = signed_in(cast.alice).post("/account/e-mail/", {"email": cast.bob.email, "password": PASSWORD})
    assert "An account has this address already" in answer.content.decode()


def told(subject: str) -> int:
    return sum(subject in m.subject for m in mail.outbox)


def test_a_window_from_a_browser_not_seen_before_is_told_by_mail(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        client = unlocked(cast.alice)
        unlock(client, cast.alice)
    assert told("browser not seen before") == 0, "setting up says so already, and then the browser is known"
    with django_capture_on_commit_callbacks(execute=True):
        unlocked(cast.alice)
    assert told("browser not seen before") == 1


def test_five_wrong_codes_are_told_by_mail_once(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    from datetime import timedelta

    import time_machine
    from django.utils import timezone

    unlocked(cast.alice)
    with time_machine.travel(timezone.now(), tick=False) as clock, django_capture_on_commit_callbacks(execute=True):
        client = signed_in(cast.alice)
        forget_last_step(cast.alice)
        for _ in range(6):
            client.post("/authenticator/", {"code": wrong_code(cast.alice)})
            clock.shift(timedelta(minutes=2))
    assert told("Wrong codes") == 1


def test_profile_changes_are_recorded_and_shown(cast: Cast) -> None:
    client = signed_in(cast.alice)
    client.post(ACCOUNT, {"name": "Alice A.", "time_zone": "Asia/Tokyo", "theme": "dark"})
    page = client.get(ACCOUNT).content.decode()
    assert 'data-theme="dark"' in page
    assert "Alice A." in page
    after = Activity.objects.get(act="account.changed").after
    assert after
    assert after["time_zone"] == "Asia/Tokyo"
