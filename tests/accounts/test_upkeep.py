"""What has run out is forgotten, what lasts is kept."""

from datetime import timedelta

import time_machine
from axes.models import AccessAttempt
from django.test import Client
from django.utils import timezone

from accounts.models import Interrupted, Session
from accounts.upkeep import forget_what_ran_out
from tests.cast import Cast, signed_in

FORM = "/apps/calc/permissions/production/"


def test_what_ran_out_is_forgotten_and_what_lasts_is_kept(cast: Cast) -> None:
    wrong = {"username": cast.bob.email, "password": "wrong wrong wrong"}
    with time_machine.travel(timezone.now() - timedelta(days=2)):
        Client(headers={"user-agent": "then"}).post("/sign-in/", wrong)
        signed_in(cast.alice).post(FORM, {"note": "old"})
    client = signed_in(cast.alice)
    Client(headers={"user-agent": "now"}).post("/sign-in/", wrong)
    forget_what_ran_out()
    assert [s.session_key for s in Session.objects.filter(user=cast.alice)] == [client.session.session_key]
    assert AccessAttempt.objects.count() == 1
    assert not Interrupted.objects.exists()
    client.post(FORM, {"note": "new"})
    forget_what_ran_out()
    assert Interrupted.objects.count() == 1
    assert client.get("/").status_code == 200


def test_a_form_too_large_to_keep_is_not_lost_in_silence(cast: Cast) -> None:
    client = signed_in(cast.alice)
    answer = client.post(FORM, {"note": "x" * 70_000}, follow=True)
    assert "too much to keep" in answer.content.decode()
    assert not Interrupted.objects.exists()
