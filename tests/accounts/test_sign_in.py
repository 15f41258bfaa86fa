"""Signing in: by e-mail and password, throttled, the same answer for everybody who fails."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.hashers import identify_hasher
from django.core import mail
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import views
from accounts.acts import Act
from accounts.models import Activity, Session, User
from accounts.people import ACCOUNT_LIMIT, ADDRESS_LIMIT
from tests.cast import PASSWORD, Cast, signed_in
from tests.hashers import QuickArgon2

SIGN_IN = "/sign-in/"


def attempt(email: str, password: str = "wrong wrong wrong", address: str = "192.0.2.1") -> int:
    client = Client(REMOTE_ADDR=address, headers={"user-agent": "Test browser"})
    return client.post(SIGN_IN, {"username": email, "password": password}).status_code


def test_it_comes_back_to_the_page_that_was_asked_for(cast: Cast) -> None:
    answer = Client().get("/apps/calc/team/?page=1")
    assert answer.headers["Location"] == "/sign-in/?next=%2Fapps%2Fcalc%2Fteam%2F%3Fpage%3D1"
    data = {"username": "ALICE@example.org", "password": PASSWORD, "next": "/apps/calc/team/?page=1"}
    assert Client().post(SIGN_IN, data).headers["Location"] == "/apps/calc/team/?page=1"


def test_the_next_page_never_leaves_the_host(cast: Cast) -> None:
    data = {"username": cast.alice.email, "password": PASSWORD, "next": "//evil.example/"}
    assert Client().post(SIGN_IN, data).headers["Location"] == "/"


def test_unknown_inactive_and_known_accounts_get_the_same_answer(cast: Cast) -> None:
    cast.charlie.is_active = False
    cast.charlie.save()
    pages = set()
    for email, password in (
        ("nobody@example.org", PASSWORD),
        (cast.charlie.email, PASSWORD),
        (cast.alice.email, "wrong wrong wrong"),
    ):
        answer = Client().post(SIGN_IN, {"username": email, "password": password})
        page = answer.content.decode().replace(email, "").split("csrfmiddlewaretoken")
        pages.add(page[0] + page[1][80:])
    assert len(pages) == 1
    assert "don&#x27;t fit together" in pages.pop()


def test_what_was_typed_is_kept_but_the_password(cast: Cast) -> None:
    page = Client().post(SIGN_IN, {"username": cast.alice.email, "password": "wrong wrong wrong"}).content.decode()
    assert 'value="alice@example.org"' in page
    assert "wrong wrong wrong" not in page


def test_ten_wrong_passwords_from_one_address_have_to_wait_and_nobody_else(cast: Cast) -> None:
    for _ in range(10):
        attempt(cast.alice.email)
    assert attempt(cast.alice.email, PASSWORD) == 429
    assert attempt(cast.bob.email, PASSWORD) == 302
    assert attempt(cast.alice.email, PASSWORD, "192.0.2.2") == 302
    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert attempt(cast.alice.email, PASSWORD) == 302


def test_an_account_under_attack_from_many_addresses_stays_open_for_its_person(cast: Cast) -> None:
    """A lock-out that a stranger can cause would be an attack of its own."""
    assert attempt(cast.alice.email, PASSWORD, "198.51.100.7") == 302
    for n in range(ACCOUNT_LIMIT):
        attempt(cast.alice.email, address=f"192.0.2.{n % 25}")
    assert attempt(cast.alice.email, PASSWORD, "203.0.113.9") == 429
    assert attempt(cast.alice.email, PASSWORD, "198.51.100.7") == 302


def test_a_forwarded_address_counts_only_from_a_configured_proxy(cast: Cast, settings: object) -> None:
    for n in range(10):
        Client(REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": f"203.0.113.{n}"}).post(
            SIGN_IN, {"username": cast.alice.email, "password": "wrong wrong wrong"}
        )
    assert attempt(cast.alice.email, PASSWORD) == 429
    settings.TRUSTED_PROXIES = ["192.0.2.1"]  # type: ignore[attr-defined]
    client = Client(REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": "203.0.113.1, 203.0.113.200"})
    assert client.post(SIGN_IN, {"username": cast.alice.email, "password": PASSWORD}).status_code == 302


def test_passwords_are_argon2id_and_fifteen_characters_long(cast: Cast) -> None:
    assert cast.alice.password.startswith("argon2$argon2id$")
    assert identify_hasher(cast.alice.password).algorithm == "argon2"
    client = signed_in(cast.alice)
    data = {"old_password": PASSWORD, "new_password1": "fourteen chars", "new_password2": "fourteen chars"}
    assert "at least 15 characters" in client.post("/account/password/", data).content.decode()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("fourteen chars", "at least 15 characters"),
        ("1q2w3e4r5t6y7u8i9o0p", "too common"),
        ("alice@example.org", "too similar"),
        ("aaaaaaaaaaaaaaaaaaab", ""),
    ],
)
def test_a_password_is_long_neither_common_nor_like_the_account_and_of_any_composition(
    cast: Cast, password: str, why: str
) -> None:
    data = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}
    answer = signed_in(cast.alice).post("/account/password/", data)
    assert (answer.status_code == 302) == (not why)
    assert why in answer.content.decode()


def test_unknown_inactive_and_known_accounts_take_the_same_work(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an answer is that of one password hash and of the questions to the database."""
    User.objects.filter(pk=cast.charlie.pk).update(is_active=False)
    hashed = Mock()
    for name in ("encode", "verify"):
        monkeypatch.setattr(QuickArgon2, name, counted(getattr(QuickArgon2, name), hashed))
    work = []
    for number, email in enumerate((cast.alice.email, cast.charlie.email, "nobody@example.org")):
        hashed.reset_mock()
        with CaptureQueriesContext(connection) as queries:
            assert attempt(email, address=f"192.0.2.{number}") == 200
        work.append((hashed.call_count, len(queries)))
    assert work == [(1, work[0][1])] * 3


def counted(real: Callable[..., Any], counter: Mock) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        counter()
        return real(*args)

    return call


def test_a_hundred_wrong_passwords_from_one_address_make_everybody_there_wait(cast: Cast) -> None:
    for n in range(ADDRESS_LIMIT):
        AccessAttempt.objects.create(
            username=f"{n}@example.org", ip_address="192.0.2.1", failures_since_start=1, attempt_time=timezone.now()
        )
    assert attempt(cast.alice.email, PASSWORD) == 429
    assert attempt(cast.alice.email, PASSWORD, "192.0.2.2") == 302


def test_signing_out_takes_a_post(cast: Cast) -> None:
    client = signed_in(cast.alice)
    assert client.get("/sign-out/").status_code == 405
    assert client.get("/").status_code == 200
    client.post("/sign-out/")
    assert client.get("/").status_code == 302


def test_a_sign_in_lasts_24_hours(cast: Cast) -> None:
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        client = signed_in(cast.alice)
        clock.move_to(start + timedelta(hours=23, minutes=59))
        assert client.get("/").status_code == 200
        clock.move_to(start + timedelta(hours=24, minutes=1))
        assert client.get("/").status_code == 302


def reset_link() -> str:
    text = str(mail.outbox[-1].body)
    return next(word for word in text.split() if "/account/password/reset/" in word).partition("testserver")[2]


@pytest.mark.usefixtures("cast")
def test_a_forgotten_password_is_reset_by_mail_once_and_ends_every_session() -> None:
    alice = User.objects.get(email="alice@example.org")
    elsewhere = signed_in(alice)
    client = Client()
    client.post("/account/password/reset/", {"email": alice.email})
    page = client.get(reset_link(), follow=True)
    new = "another long enough password"
    done = client.post(page.redirect_chain[-1][0], {"new_password1": new, "new_password2": new})
    assert done.headers["Location"] == "/sign-in/"
    assert elsewhere.get("/").status_code == 302
    assert not Session.objects.filter(user=alice).exists()
    assert attempt(alice.email, new) == 302
    assert "no longer works" in Client().get(reset_link(), follow=True).content.decode()


def test_asking_for_a_reset_says_the_same_for_unknown_addresses(cast: Cast) -> None:
    answers = [
        Client().post("/account/password/reset/", {"email": email}, follow=True).content
        for email in (cast.alice.email, "nobody@example.org")
    ]
    assert answers[0] == answers[1]
    assert len(mail.outbox) == 1


def test_asking_for_a_reset_answers_before_it_looks_for_an_account(cast: Cast) -> None:
    """A mail takes its time: sent before the answer, it would tell who has an account."""
    request = RequestFactory().post("/account/password/reset/", {"email": cast.alice.email})
    request.address, request._dont_enforce_csrf_checks = "", True  # type: ignore[attr-defined]
    with CaptureQueriesContext(connection) as queries:
        answer = views.password_reset(request)
    assert answer.status_code == 302
    assert (len(queries), mail.outbox) == (0, [])
    answer.close()
    assert len(mail.outbox) == 1


@pytest.mark.usefixtures("cast")
def test_nobody_is_flooded_with_links_to_set_a_password() -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(8):
            Client().post("/account/password/reset/", {"email": "alice@example.org"})
        assert len(mail.outbox) == 5
        clock.shift(timedelta(hours=1, seconds=1))
        Client().post("/account/password/reset/", {"email": "alice@example.org"})
        assert len(mail.outbox) == 6
    assert Activity.objects.filter(act=Act.RESET_LINK_SENT).count() == 6
