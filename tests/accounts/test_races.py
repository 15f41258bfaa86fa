"""What happens at the same instant, with real threads on a real database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Authenticator, ProductionWindow
from tests.cast import Cast, forget_last_step, make_cast, signed_in, unlocked
from tests.codes import code_of, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)
CODE = "/authenticator/"


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """Do all of it at the same instant, each in a thread with a connection of its own."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait(20)
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.fixture
def enrolled() -> Cast:
    cast = make_cast()
    unlocked(cast.alice).post("/sign-out/")
    forget_last_step(cast.alice)
    return cast


def enter(client: Client, code: str) -> Callable[[], int]:
    return lambda: client.post(CODE, {"code": code}).status_code


def test_twenty_sessions_with_one_code_at_once_open_one_window_and_nineteen_are_refused(enrolled: Cast) -> None:
    code = code_of(enrolled.alice)
    clients = [signed_in(enrolled.alice) for _ in range(20)]
    answers = at_once([enter(client, code) for client in clients])
    assert sorted(answers) == [200] * 19 + [302]
    assert ProductionWindow.objects.filter(ended_at=None).count() == 1


def test_twenty_wrong_over_twenty_sessions_then_a_right_one_is_refused_until_the_delay_ends(enrolled: Cast) -> None:
    wrong, earlier = wrong_code(enrolled.alice), timezone.now() - timedelta(hours=2)
    # Some failures of earlier on, so that the delay after the next one outlasts a slow machine
    mine = Authenticator.objects.filter(user=enrolled.alice)
    mine.update(throttling_failure_count=6, throttling_failure_timestamp=earlier)
    at_once([enter(signed_in(enrolled.alice), wrong) for _ in range(20)])
    assert mine.get().throttling_failure_count >= 7
    assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice)}).status_code == 429
    assert not ProductionWindow.objects.filter(ended_at=None).exists()
    with time_machine.travel(timezone.now() + timedelta(hours=1, seconds=1)):
        assert signed_in(enrolled.alice).post(CODE, {"code": code_of(enrolled.alice)}).status_code == 302


def test_a_double_click_opens_one_window_and_both_are_let_in(enrolled: Cast) -> None:
    client, code = signed_in(enrolled.alice), code_of(enrolled.alice)
    twin = Client(headers={"user-agent": "Test browser"})
    twin.cookies["session"] = client.cookies["session"].value
    answers = at_once([enter(client, code), enter(twin, code)])
    windows = ProductionWindow.objects.filter(ended_at=None)
    assert windows.count() == 1
    assert 302 in answers
    assert all(answer == 302 for answer in answers), "a late twin would be sent to sign in, which is a redirect too"


def test_two_browsers_confirm_an_authenticator_at_once_and_one_is_set_up() -> None:
    cast = make_cast()
    browsers = [signed_in(cast.bob) for _ in range(2)]
    for browser in browsers:
        browser.post("/authenticator/set-up/", {"step": "password", "password": "correct horse battery"})
    code = code_of(cast.bob)
    at_once([partial(b.post, "/authenticator/set-up/", {"step": "code", "code": code}) for b in browsers])
    assert Authenticator.objects.filter(user=cast.bob, confirmed=True).count() == 1
    assert ProductionWindow.objects.filter(user=cast.bob).count() == 1
