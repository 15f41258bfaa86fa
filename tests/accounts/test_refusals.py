"""Whatever is refused for a reason of security is in the activity record, once a minute for the same person."""

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.acts import Act
from accounts.models import Activity, User
from deployments import job_views
from environments.authority import NotPermitted
from tests.cast import Cast, signed_in, unlocked

STOP = "/apps/calc/environments/test/stop/"


def refusals(person: User) -> list[tuple[str, str]]:
    found = Activity.objects.filter(act=Act.REFUSED, actor_id=person.pk).order_by("pk")
    return [(entry.target, entry.via) for entry in found]


def test_what_the_gate_refuses(cast: Cast) -> None:
    assert signed_in(cast.bob).get(STOP).status_code == 403
    assert refusals(cast.bob) == [("Transport Rights is missing", "browser")]
    entry = Activity.objects.get(act=Act.REFUSED)
    assert (entry.app_name, entry.environment_name, entry.address) == ("Calc", "Test", "127.0.0.1")


def test_what_a_flow_refuses_though_its_transaction_is_undone(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right was withdrawn between the gate's check and the flow's."""

    @transaction.atomic
    def too_late(*args: object) -> None:
        Activity.objects.create(act=Act.STOP_ASKED, actor_name="Alice", via="browser")
        raise NotPermitted("You need Transport Rights on Test for this.")

    monkeypatch.setattr(job_views, "request_job", too_late)
    answer = signed_in(cast.alice).post(STOP)
    assert answer.status_code == 403
    assert "You need Transport Rights on Test for this. Nothing was changed." in answer.content.decode()
    assert refusals(cast.alice) == [("You need Transport Rights on Test for this.", "browser")]
    assert not Activity.objects.filter(act=Act.STOP_ASKED).exists()


def test_what_the_admin_refuses_though_its_transaction_is_undone(cast: Cast) -> None:
    sam = unlocked(cast.sam)
    assert sam.post(f"/admin/accounts/user/{cast.bob.pk}/change/", {"name": "Mallory"}).status_code == 403
    assert sam.get("/admin/environments/role/").status_code == 403
    assert refusals(cast.sam) == [
        ("the page admin:accounts_user_change", "admin"),
        ("the page admin:environments_role_changelist", "admin"),
    ]


def test_a_person_who_is_not_staff_at_the_admin(cast: Cast) -> None:
    for address in ("/admin/", "/admin/accounts/user/"):
        assert unlocked(cast.bob).get(address).status_code == 404
    assert refusals(cast.bob) == [("the admin is for support staff", "admin")]


def test_a_form_from_elsewhere(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True, headers={"origin": "https://evil.example"})
    client.force_login(cast.bob)
    assert client.post("/apps/new/", {"name": "Planted", "slug": "planted"}).status_code == 403
    assert refusals(cast.bob) == [("a form from elsewhere, or from before signing in", "browser")]


def test_a_form_of_ones_own_that_is_offered_again_is_not_a_refusal(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True, headers={"origin": "http://testserver"})
    client.force_login(cast.bob)
    assert "Send this form again" in client.post("/apps/new/", {"name": "Mine"}).content.decode()
    assert refusals(cast.bob) == []


def test_support_that_would_help_itself(cast: Cast) -> None:
    sam = unlocked(cast.sam)
    sam.post("/admin/accounts/user/disable/", {"people": cast.sam.pk, "reason": "New", "identity_check": "Me"})
    assert refusals(cast.sam) == [
        ("You can't disable your own authenticator. Ask a colleague in support.", "admin"),
    ]


def test_a_stranger_cannot_fill_the_record(cast: Cast) -> None:
    stranger = Client(enforce_csrf_checks=True, headers={"origin": "https://evil.example"})
    before = Activity.objects.count()
    for address in ("/apps/new/", "/sign-in/", "/admin/", STOP):
        stranger.post(address, {"name": "Planted"})
        stranger.get(address)
    assert Activity.objects.count() == before


def test_the_same_refusal_is_recorded_once_a_minute_and_another_one_at_once(cast: Cast) -> None:
    client = signed_in(cast.bob)
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            client.get(STOP)
        assert len(refusals(cast.bob)) == 1
        client.get("/apps/calc/environments/acceptance/stop/")
        signed_in(cast.alice).get("/admin/")
        assert len(refusals(cast.bob)) == 2, "elsewhere"
        assert len(refusals(cast.alice)) == 1, "somebody else"
        clock.shift(timedelta(minutes=1, seconds=1))
        client.get(STOP)
        assert len(refusals(cast.bob)) == 3
