"""A worker killed at any moment: the page tells the truth, what ran goes on or comes back, the next job works."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.actor import Actor
from deployments.flows import cancel_job, request_job, request_roll_back
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

    def clear(self, *args: Any) -> None:
        self.perhaps_die(super().clear, *args)

    def remove_release(self, *args: Any) -> None:
        self.perhaps_die(super().remove_release, *args)


def work(runtime: FakeRuntime, job: Job) -> Job:
    Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


def carry_out(runtime: FakeRuntime, kind: JobKind, cast: Cast, package: Package | None = None) -> Job:
    return work(runtime, request_job(kind, cast.test, Actor(cast.alice), package))


ROLL_BACK = "roll back"
# What is done, whether the packages run twice, how often the runtime is called on the way
WAYS = [
    (JobKind.TRANSPORT, True, 5),
    (JobKind.TRANSPORT, False, 5),
    (JobKind.RESTART, True, 4),
    (JobKind.STOP, True, 2),
    (JobKind.CLEAR, True, 2),
    (ROLL_BACK, True, 4),
    (ROLL_BACK, False, 4),
]
MOMENTS = [(*way[:2], call, before) for way in WAYS for call in range(way[2]) for before in (True, False)]


def asked(runtime: FakeRuntime, way: str, cast: Cast, runs_twice: bool) -> tuple[Job, Package]:
    """Bring the environment to where this makes sense; give the job that waits, and a package to go on with."""
    old, new = (make_package(cast.app, cast.alice, version, runs_twice=runs_twice) for version in ("1", "2"))
    assert carry_out(runtime, JobKind.TRANSPORT, cast, old).state == "done"
    if way == ROLL_BACK:
        carry_out(runtime, JobKind.TRANSPORT, cast, new)
        return request_roll_back(cast.test, Actor(cast.alice), 1, "", with_options=True), new
    if way == JobKind.CLEAR:
        carry_out(runtime, JobKind.STOP, cast)
    package = new if way == JobKind.TRANSPORT else None
    return request_job(JobKind(way), cast.test, Actor(cast.alice), package), new


@pytest.mark.parametrize(("way", "runs_twice", "call", "before"), MOMENTS)
def test_wherever_it_dies_rows_and_runtime_agree_again(
    cast: Cast, way: str, runs_twice: bool, call: int, before: bool
) -> None:
    runtime = MortalRuntime()
    job, new = asked(runtime, way, cast, runs_twice)
    runtime.dies_at, runtime.dies_before = call, before
    with pytest.raises(Killed):
        work(runtime, job)
    runtime.dies_at = None

    Worker(runtime, "tester").begin()
    reconcile(runtime)

    job.refresh_from_db()
    assert job.state == "interrupted"
    live = Live.objects.select_related("package").get(environment=cast.test)
    assert (str(live.package) if live.package else "Nothing is on it") in job.result
    expected = Instance(cast.test.pk, live.instance) if live.instance else None
    assert runtime.instances() == ([expected] if expected else [])
    assert runtime.hosts[cast.test.host] == expected
    if way == JobKind.CLEAR and live.package:
        assert job.result.endswith("Its data may be gone already. Clear it again.")
        assert carry_out(runtime, JobKind.CLEAR, cast).state == "done"
    assert carry_out(runtime, JobKind.TRANSPORT, cast, new).state == "done"


@pytest.mark.parametrize(("way", "runs_twice", "calls"), WAYS)
def test_every_moment_is_tried(cast: Cast, way: str, runs_twice: bool, calls: int) -> None:
    runtime = MortalRuntime()
    job, _ = asked(runtime, way, cast, runs_twice)
    runtime.dies_at = 1000
    work(runtime, job)
    assert runtime.dies_at == 1000 - calls


@pytest.mark.parametrize("before", [True, False])
def test_one_that_dies_while_a_job_is_called_off_leaves_the_old_one(cast: Cast, before: bool) -> None:
    runtime = MortalRuntime()
    job, new = asked(runtime, JobKind.TRANSPORT, cast, runs_twice=True)
    check = runtime.check

    def called_off(*args: Any) -> Any:
        cancel_job(cast.test, Actor(cast.alice), job.number)
        runtime.dies_at, runtime.dies_before = 1, before  # the check is answered, stopping the new one is not
        return check(*args)

    runtime.check = called_off  # type: ignore[method-assign]
    with pytest.raises(Killed):
        work(runtime, job)
    runtime.dies_at, runtime.check = None, check  # type: ignore[method-assign]
    Worker(runtime, "tester").begin()
    reconcile(runtime)
    job.refresh_from_db()
    assert (job.state, runtime.instances()) == ("interrupted", [Instance(cast.test.pk, 1)])
    assert carry_out(runtime, JobKind.TRANSPORT, cast, new).state == "done"
