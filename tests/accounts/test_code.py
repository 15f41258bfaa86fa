"""Codes: who enters one, what is accepted, how often, and what a wrong one costs."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.authenticators import BLOCKED_AFTER
from accounts.models import Activity, Authenticator, ProductionWindow
from tests.cast import PASSWORD, Cast, forget_last_step, signed_in, unlocked
from tests.codes import code_of, wrong_code

CODE = "/authenticator/"


@pytest.fixture
def enrolled(cast: Cast) -> Cast:
    unlocked(cast.alice).post("/sign-out/")
    forget_last_step(cast.alice)
    return cast


def windows(cast: Cast) -> int:
    return ProductionWindow.objects.filter(user=cast.alice).open_at(timezone.now()).count()


def test_a_right_code_opens_the_window_for_exactly_eight_hours(enrolled: Cast) -> None:
    client = signed_in(enrolled.alice)
    answer = client.post(CODE + "?next=/apps/calc/permissions/production/", {"code": code_of(enrolled.alice)})
    assert answer.headers["Location"] == "/apps/calc/permissions/production/"
    window = ProductionWindow.objects.get(ended_at=None)
    assert window.ends_at - window.opened_at == timedelta(hours=8)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_one_step_either_side_is_tolerated(enrolled: Cast, steps: int) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice, steps)}).status_code == 302


@pytest.mark.parametrize("steps", [-3, -2, 2, 3])
def test_two_steps_either_side_are_refused(enrolled: Cast, steps: int) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        answer = signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice, steps)})
    assert "That code is not right" in answer.content.decode()
    assert windows(enrolled) == 0


def test_the_tolerance_never_widens(enrolled: Cast) -> None:
    """With a drift kept from code to code, T+1, T+2 ... would be accepted one after the other."""
    with time_machine.travel(timezone.now(), tick=False):
        client = signed_in(enrolled.alice)
        assert client.post(CODE, {"code": code_of(enrolled.alice, 1)}).status_code == 302
        assert client.post(CODE, {"code": code_of(enrolled.alice, 2)}).status_code != 302


def test_a_code_is_accepted_once(enrolled: Cast) -> None:
    code = code_of(enrolled.alice)
    assert signed_in(enrolled.alice).post(CODE, {"code": code}).status_code == 302
    answer = signed_in(enrolled.alice).post(CODE, {"code": code})
    assert "That code has been used" in answer.content.decode()
    assert windows(enrolled) == 1


def test_an_earlier_code_is_refused_after_a_later_one(enrolled: Cast) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice, 1)}).status_code == 302
        assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice)}).status_code == 200


def test_the_same_code_from_the_session_it_opened_is_simply_there_already(enrolled: Cast) -> None:
    client, code = signed_in(enrolled.alice), code_of(enrolled.alice)
    assert client.post(CODE, {"code": code}).status_code == 302
    assert client.post(CODE, {"code": code}).status_code == 302
    assert windows(enrolled) == 1


def test_the_code_of_setting_up_does_not_open_again(cast: Cast) -> None:
    unlocked(cast.alice)
    assert signed_in(cast.alice).post(CODE, {"code": code_of(cast.alice)}).status_code == 200


@pytest.mark.parametrize(
    "typed", ["123_456", "１２３４５６", "+12345", "12345", "1234567", "", "abcdef", "1e5000", "-12345"]
)
def test_what_is_not_six_digits_costs_no_attempt(enrolled: Cast, typed: str) -> None:
    client = signed_in(enrolled.alice)
    assert client.post(CODE, {"code": typed}).status_code == 200
    assert Authenticator.objects.get(user=enrolled.alice).throttling_failure_count == 0
    assert client.post(CODE, {"code": code_of(enrolled.alice)}).status_code == 302


def test_spaces_are_taken_out(enrolled: Cast) -> None:
    code = code_of(enrolled.alice)
    assert signed_in(enrolled.alice).post(CODE, {"code": f" {code[:3]} {code[3:]} "}).status_code == 302


def test_a_code_with_leading_zeros_works(enrolled: Cast) -> None:
    now = int(timezone.now().timestamp())
    step = next(s for s in range(1, 200_000) if code_of(enrolled.alice, s, now).startswith("0"))
    with time_machine.travel(now + 30 * step, tick=False):
        assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice)}).status_code == 302


def test_wrong_codes_over_many_sessions_delay_the_right_one(enrolled: Cast) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        wrong = wrong_code(enrolled.alice)
        for _ in range(5):
            signed_in(enrolled.alice).post(CODE, {"code": wrong})
            clock.shift(20)
        answer = signed_in(enrolled.alice).post(CODE, {"code": wrong_code(enrolled.alice)})
        assert answer.status_code == 429
        assert "data-until" in answer.content.decode()
        answer = signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice)})
        assert answer.status_code == 429
        assert windows(enrolled) == 0
        clock.shift(60)
        assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice)}).status_code == 302


def test_the_wait_doubles_and_is_never_longer_than_an_hour(enrolled: Cast) -> None:
    authenticator = Authenticator.objects.get(user=enrolled.alice)
    waits = []
    for count in (1, 2, 3, 12, 13, 40):
        authenticator.throttling_failure_count = count
        waits.append(authenticator.get_throttle_factor() * 2 ** (count - 1))
    assert waits == [1, 2, 4, 2048, 3600, 3600]


def test_a_wrong_code_is_recorded(enrolled: Cast) -> None:
    signed_in(enrolled.alice).post(CODE, {"code": wrong_code(enrolled.alice)})
    assert Activity.objects.filter(actor_id=enrolled.alice.pk, act="code.wrong").count() == 1


def fail(cast: Cast, times: int) -> None:
    """Enter wrong codes, an hour apart, with a right one after each tenth: a success doesn't reset the count."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        client = signed_in(cast.alice)
        for n in range(times):
            clock.shift(3601)
            if n % 20 == 19:
                client = signed_in(cast.alice)
            client.post(CODE, {"code": wrong_code(cast.alice)})
            if n % 10 == 9 and n + 1 < times:
                clock.shift(3601)
                client = signed_in(cast.alice)
                assert client.post(CODE, {"code": code_of(cast.alice)}).status_code == 302


def test_fifty_wrong_codes_block_the_authenticator_though_right_ones_came_in_between(
    enrolled: Cast, mailoutbox: list[object], django_capture_on_commit_callbacks: object
) -> None:
    fail(enrolled, BLOCKED_AFTER)
    with time_machine.travel(timezone.now() + timedelta(days=20)):
        client = signed_in(enrolled.alice)
        assert "blocked" in client.post(CODE, {"code": code_of(enrolled.alice)}).content.decode()
        assert windows(enrolled) == 0
        client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    assert Authenticator.objects.filter(user=enrolled.alice, blocked_at=None).count() == 0


def test_an_unconfirmed_authenticator_never_verifies(cast: Cast) -> None:
    client = signed_in(cast.alice)
    client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
    answer = client.post(CODE, {"code": code_of(cast.alice)})
    assert answer.headers["Location"].startswith("/authenticator/set-up/")
    assert not Authenticator.objects.get().verify_token(code_of(cast.alice))
    assert windows(cast) == 0


def test_the_client_chooses_neither_device_nor_time_nor_secret(enrolled: Cast) -> None:
    bobs = unlocked(enrolled.bob)
    forget_last_step(enrolled.bob)
    data = {
        "code": code_of(enrolled.bob),
        "device": str(Authenticator.objects.get(user=enrolled.bob).pk),
        "otp_device": f"accounts.authenticator/{Authenticator.objects.get(user=enrolled.bob).pk}",
        "secret": "00" * 20,
        "time": "0",
        "user": str(enrolled.bob.pk),
    }
    assert bobs.get("/").status_code == 200
    assert signed_in(enrolled.alice).post(CODE, data).status_code != 302
    assert windows(enrolled) == 0


def test_wrong_keys_refuse_codes_and_answer_in_words(enrolled: Cast, settings: object) -> None:
    client, code = signed_in(enrolled.alice), code_of(enrolled.alice)
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]  # type: ignore[attr-defined]
    answer = client.post(CODE, {"code": code})
    assert answer.status_code == 200
    assert "Tell support" in answer.content.decode()


def test_the_page_says_nothing_that_a_foreign_link_wants_it_to_say(enrolled: Cast) -> None:
    client = signed_in(enrolled.alice)
    own = client.get("/apps/calc/permissions/production/").headers["Location"]
    moved = own.replace("next=%2Fapps%2Fcalc%2Fpermissions%2Fproduction%2F", "next=/")
    assert "permissions on Production needs your code" in client.get(own).content.decode()
    assert "permissions on Production needs your code" not in client.get(moved).content.decode()
    assert "Win a car needs" not in client.get(CODE + "?next=/&for=Win a car:x").content.decode()
