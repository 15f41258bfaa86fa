"""Calling a job off: at once while it waits, until the switch while it runs, never after."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import Activity
from deployments.errors import Refused
from deployments.execution import Execution
from deployments.flows import cancel_job, request_job
from deployments.journal import CancelAsked
from deployments.models import Job, Live
from deployments.runtimes.base import Instance
from deployments.states import JobKind
from deployments.worker import Worker
from environments.authority import NotPermitted
from environments.permissions import Permission
from tests.cast import Cast, signed_in
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package

TEST = "/apps/calc/environments/test/"


class Watched(FakeRuntime):
    """Does something just before its n-th call of a name."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[[], Any]] = {}

    def _call(self, name: str, *what: object) -> None:
        super()._call(name, *what)
        if act := self.before.pop(name, None):
            act()


@pytest.fixture
def runtime() -> Watched:
    return Watched()


def ask(cast: Cast, version: str = "1.0.0", **more: Any) -> Job:
    package = make_package(cast.app, cast.alice, version, **more)
    return request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)


def work(runtime: FakeRuntime, job: Job) -> Job:
    assert Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


def by_bob(cast: Cast) -> Actor:
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    return Actor(cast.bob)


def test_one_that_waits_is_cancelled_at_once_and_the_next_one_has_its_turn(cast: Cast, runtime: Watched) -> None:
    first, second = ask(cast, "1"), ask(cast, "2")
    cancel_job(cast.test, by_bob(cast), first.number)
    first.refresh_from_db()
    assert (first.state, first.result) == ("cancelled", "Cancelled by Bob. Nothing was changed.")
    assert str(Activity.objects.first()) == "Bob cancelled: Transport calc 1 to Test"
    assert work(runtime, second).state == "done"


@pytest.mark.parametrize("call", ["prepare", "start", "check"])
@pytest.mark.parametrize("runs_twice", [True, False])
def test_one_that_runs_is_given_up_until_the_switch(cast: Cast, runtime: Watched, call: str, runs_twice: bool) -> None:
    work(runtime, ask(cast, "1", runs_twice=runs_twice))
    job = ask(cast, "2", runs_twice=runs_twice)
    runtime.before[call] = lambda: cancel_job(cast.test, by_bob(cast), job.number)
    work(runtime, job)
    assert job.state == "cancelled"
    again = call != "prepare" and not runs_twice
    assert job.result == f"Cancelled by Bob. calc 1 {'runs again' if again else 'keeps running'}."
    assert runtime.instances() == [Instance(cast.test.pk, 1)]
    assert runtime.hosts[cast.test.host] == Instance(cast.test.pk, 1)
    assert "cancelled" in set(job.steps.values_list("state", flat=True))
    told = [str(entry) for entry in Activity.objects.all()]
    assert "Bob asked to cancel: Transport calc 2 to Test" in told
    assert told[0] == "Alice cancelled: Transport calc 2 to Test", "the worker did, for Alice; the reason names Bob"
    assert ask(cast, "3").state == "queued"


def test_one_that_waits_for_health_is_given_up_within_the_wait(cast: Cast, runtime: Watched) -> None:
    runtime.sick.add("python3 sick.py")
    job = ask(cast, "1", web="python3 sick.py")
    runtime.before["check"] = lambda: cancel_job(cast.test, Actor(cast.alice), job.number)
    work(runtime, job)
    assert job.result == "Cancelled by Alice. Nothing is on it yet."
    assert runtime.calls.count("check /") == 1
    assert not Live.objects.exists()


def test_after_the_switch_it_is_too_late(cast: Cast, runtime: Watched) -> None:
    work(runtime, ask(cast, "1"))
    job = ask(cast, "2")
    refused: list[str] = []

    def too_late() -> None:
        with pytest.raises(Refused) as refusal:
            cancel_job(cast.test, Actor(cast.alice), job.number)
        refused.append(str(refusal.value))

    runtime.before["stop"] = too_late
    assert work(runtime, job).state == "done"
    assert refused[0].startswith("It is too late to cancel “Transport calc 2 to Test”")
    with pytest.raises(Refused, match="has ended already"):
        cancel_job(cast.test, Actor(cast.alice), job.number)


def test_who_cancels_just_before_the_switch_wins(cast: Cast, runtime: Watched) -> None:
    """The flag is read under the lock under which it is decided."""
    job = ask(cast)
    claimed = Worker(runtime, "tester").claim()
    assert claimed
    cancel_job(cast.test, Actor(cast.alice), job.number)
    with pytest.raises(CancelAsked):
        Execution(claimed, runtime, lambda: False)._switch()
    assert not Live.objects.exists()
    assert "route 1" not in runtime.calls


def test_rights_and_window_are_looked_at(cast: Cast) -> None:
    job = ask(cast)
    with pytest.raises(NotPermitted):
        cancel_job(cast.test, Actor(cast.bob), job.number)
    package = make_package(cast.app, cast.alice)
    elsewhere = request_job(JobKind.TRANSPORT, cast.production, actor_with_window(cast.alice), package)
    with pytest.raises(NotPermitted, match="Enter a code"):
        cancel_job(cast.production, Actor(cast.alice), elsewhere.number)


def test_the_pages_offer_it_while_it_can_be_done(cast: Cast, runtime: Watched) -> None:
    job = ask(cast)
    address = f"{TEST}deployments/{job.number}/cancel/"
    alice, bob = signed_in(cast.alice), signed_in(cast.bob)
    for page in (TEST, f"{TEST}deployments/1/", f"{TEST}deployments/"):
        assert address in alice.get(page).content.decode()
        assert address not in bob.get(page).content.decode()
    assert "It waits and has not begun." in alice.get(address).content.decode()
    assert bob.post(address).status_code == 403
    assert alice.post(address).headers["Location"] == f"{TEST}deployments/1/"
    page = alice.get(f"{TEST}deployments/1/").content.decode()
    assert "Cancelled by Alice. Nothing was changed." in page
    assert address not in page
    assert alice.post(address).status_code == 409
    assert alice.get(f"{TEST}deployments/99/cancel/").status_code == 404


def test_what_waits_says_for_what_and_whom(cast: Cast) -> None:
    ask(cast, "1")
    ask(cast, "2")
    page = signed_in(cast.alice).get(f"{TEST}deployments/2/").content.decode()
    assert "It waits for 1 other on Test:" in page
    assert "Transport calc 1</a>, asked for by Alice" in page
