"""The production window as a state machine: whatever people do in whatever order, it is open when the rules say so.

The model below is written from the contract (PORTAL, "The two-factor gate", 5, 7, 8, 9), not from the code.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import authenticators
from accounts.actor import Actor
from tests.cast import PASSWORD, make_cast
from tests.codes import code_of

GUARDED = "/apps/calc/permissions/production/"
BROWSERS = st.sampled_from([0, 1])


@dataclass
class Browser:
    """What the model knows of a browser: until when it is signed in, and until when production is open in it."""

    client: Client
    signed_in_until: datetime | None = None
    open_until: datetime | None = None


class Windows(RuleBasedStateMachine):
    """Alice uses two browsers; support, time and she herself open and close her windows."""

    @initialize()
    def begin(self) -> None:
        self.clock = time_machine.travel(timezone.now(), tick=False)
        self.traveller = self.clock.start()
        self.cast = make_cast()
        self.cast.sam.user_permissions.add(Permission.objects.get(codename="disable_authenticator"))
        self.browsers = [Browser(Client()), Browser(Client())]
        self.password, self.passwords = PASSWORD, 0
        self.enrolled = False
        self.last_code_at: datetime | None = None

    def teardown(self) -> None:
        if hasattr(self, "clock"):
            self.clock.stop()

    def now(self) -> datetime:
        return timezone.now()

    def is_signed_in(self, browser: Browser) -> bool:
        return browser.signed_in_until is not None and self.now() < browser.signed_in_until

    def is_open(self, browser: Browser) -> bool:
        return self.is_signed_in(browser) and browser.open_until is not None and self.now() < browser.open_until

    def close_all(self) -> None:
        for browser in self.browsers:
            browser.open_until = None

    def opened(self, browser: Browser) -> None:
        browser.open_until = self.now() + timedelta(hours=8)
        assert browser.signed_in_until
        browser.signed_in_until = max(browser.signed_in_until, browser.open_until)
        self.last_code_at = self.now()

    @rule(number=BROWSERS)
    def sign_in(self, number: int) -> None:
        browser = self.browsers[number]
        browser.client.post("/sign-out/")
        browser.client.post("/sign-in/", {"username": self.cast.alice.email, "password": self.password})
        browser.signed_in_until, browser.open_until = self.now() + timedelta(hours=24), None

    @precondition(lambda self: any(map(self.is_signed_in, self.browsers)))
    @rule(number=BROWSERS)
    def sign_out(self, number: int) -> None:
        browser = self.browsers[number]
        browser.client.post("/sign-out/")
        browser.signed_in_until = browser.open_until = None

    @rule(number=BROWSERS)
    def unlock(self, number: int) -> None:
        """Sign in where need be, and set up an authenticator or enter the current code."""
        browser = self.browsers[number]
        if not self.is_signed_in(browser):
            self.sign_in(number)
        if self.enrolled:
            self.enter_the_current_code(number)
            return
        browser.client.post("/authenticator/set-up/", {"step": "password", "password": self.password})
        browser.client.post("/authenticator/set-up/", {"step": "code", "code": code_of(self.cast.alice)})
        self.enrolled = True
        self.opened(browser)

    @precondition(lambda self: self.enrolled)
    @rule(number=BROWSERS)
    def enter_the_current_code(self, number: int) -> None:
        """A code is accepted once; whoever isn't signed in gets nowhere with it."""
        browser = self.browsers[number]
        used = self.last_code_at is not None and self.now() - self.last_code_at < timedelta(seconds=60)
        browser.client.post("/authenticator/", {"code": code_of(self.cast.alice)})
        if self.is_signed_in(browser) and not used:
            self.opened(browser)

    @precondition(lambda self: any(map(self.is_open, self.browsers)))
    @rule(number=BROWSERS)
    def end(self, number: int) -> None:
        browser = self.browsers[number]
        browser.client.post("/authenticator/end/")
        browser.open_until = None

    @precondition(lambda self: self.enrolled)
    @rule()
    def support_disables(self) -> None:
        disable(self)
        self.enrolled, self.last_code_at = False, None
        self.close_all()

    @precondition(lambda self: any(map(self.is_signed_in, self.browsers)))
    @rule(number=BROWSERS)
    def change_password(self, number: int) -> None:
        browser = self.browsers[number]
        if not self.is_signed_in(browser):
            return
        self.passwords += 1
        new = f"another long password {self.passwords}"
        data = {"old_password": self.password, "new_password1": new, "new_password2": new}
        assert browser.client.post("/account/password/", data).status_code == 302
        self.password = new
        self.close_all()
        for other in self.browsers:
            if other is not browser:
                other.signed_in_until = None

    @rule(minutes=st.sampled_from([2, 7 * 60 + 57, 8 * 60 + 1, 25 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.traveller.shift(timedelta(minutes=minutes))

    @invariant()
    def each_browser_is_open_exactly_when_the_rules_say_so(self) -> None:
        for browser in getattr(self, "browsers", []):
            answer = browser.client.get(GUARDED)
            if self.is_open(browser):
                assert answer.status_code == 200
            else:
                to = answer.headers["Location"]
                assert to.startswith("/authenticator/" if self.is_signed_in(browser) else "/sign-in/")


def disable(machine: Windows) -> None:
    machine.cast.sam.refresh_from_db()
    authenticators.disable(machine.cast.alice, Actor(machine.cast.sam, via="admin"), "New phone", "Called her back")


@pytest.mark.usefixtures("db")
class TestWindows(TestCase):
    def test_the_window_follows_the_rules_whatever_happens(self) -> None:
        class Rolled(Windows):
            """Each run begins with an empty database."""

            def __init__(self) -> None:
                super().__init__()
                self.atomic = transaction.atomic()
                self.atomic.__enter__()

            def teardown(self) -> None:
                super().teardown()
                transaction.set_rollback(True)
                self.atomic.__exit__(None, None, None)

        run_state_machine_as_test(
            Rolled,
            settings=settings(
                max_examples=25,
                stateful_step_count=25,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
