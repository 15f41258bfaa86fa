"""A worker killed at any moment: the page tells the truth, what ran goes on or comes back, the next job works."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.actor import Actor
from deployments.flows import request_job
from deployments.models import Job, Live, Package
from deployments.reconciliation import reconcile
from deployments.runtimes.base import Instance
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast
from tests.deployments.fakes import FakeRuntime, make_package


class Killed(BaseException):
    """Ends the worker on the spot, as SIGKILL does: nothing of it cleans up."""


class MortalRuntime(FakeRuntime):
    """Lets the worker die just before or just after its n-th call."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_at: int | None = None
        self.dies_before = False

    def perhaps_die(self, act: Callable[..., Any], *args: Any) -> Any:
        if self.dies_at is None:
            return act(*args)
        self.dies_at -= 1
        if self.dies_at < 0 and self.dies_before:
            raise Killed
        answer = act(*args)
        if self.dies_at < 0:
            raise Killed
        return answer

    def prepare(self, *args: Any) -> None:
        self.perhaps_die(super().prepare, *args)

    def start(self, *args: Any) -> None:
        self.perhaps_die(super().start, *args)

    def check(self, *args: Any) -> Any:
        return self.perhaps_die(super().check, *args)

    def route(self, *args: Any) -> None:
        self.perhaps_die(super().route, *args)

    def stop(self, *args: Any) -> None:
        self.perhaps_die(super().stop, *args)


def carry_out(runtime: FakeRuntime, kind: JobKind, cast: Cast, package: Package | None = None) -> Job:
    job = request_job(kind, cast.test, Actor(cast.alice), package)
    Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


# kind, whether the packages run twice, how often the runtime is called on the way
WAYS = [
    (JobKind.TRANSPORT, True, 5),
    (JobKind.TRANSPORT, False, 5),
    (JobKind.RESTART, True, 4),
    (JobKind.STOP, True, 2),
]
MOMENTS = [(*way[:2], call, before) for way in WAYS for call in range(way[2]) for before in (True, False)]


@pytest.mark.parametrize(("kind", "runs_twice", "call", "before"), MOMENTS)
def test_wherever_it_dies_rows_and_runtime_agree_again(
    cast: Cast, kind: JobKind, runs_twice: bool, call: int, before: bool
) -> None:
    runtime = MortalRuntime()
    old, new = (make_package(cast.app, cast.alice, version, runs_twice=runs_twice) for version in ("1", "2"))
    assert carry_out(runtime, JobKind.TRANSPORT, cast, old).state == "done"
    runtime.dies_at, runtime.dies_before = call, before
    with pytest.raises(Killed):
        carry_out(runtime, kind, cast, new if kind is JobKind.TRANSPORT else None)
    runtime.dies_at = None

    Worker(runtime, "tester").begin()
    reconcile(runtime)

    job = Job.objects.latest("pk")
    assert job.state == "interrupted"
    live = Live.objects.select_related("package").get(environment=cast.test)
    assert str(live.package) in job.result
    expected = Instance(cast.test.pk, live.instance) if live.instance else None
    assert runtime.instances() == ([expected] if expected else [])
    assert runtime.hosts[cast.test.host] == expected
    assert carry_out(runtime, JobKind.TRANSPORT, cast, new).state == "done"


@pytest.mark.parametrize(("kind", "runs_twice", "calls"), WAYS)
def test_every_moment_is_tried(cast: Cast, kind: JobKind, runs_twice: bool, calls: int) -> None:
    runtime = MortalRuntime()
    old, new = (make_package(cast.app, cast.alice, version, runs_twice=runs_twice) for version in ("1", "2"))
    carry_out(runtime, JobKind.TRANSPORT, cast, old)
    runtime.dies_at = 1000
    carry_out(runtime, kind, cast, new if kind is JobKind.TRANSPORT else None)
    assert runtime.dies_at == 1000 - calls
