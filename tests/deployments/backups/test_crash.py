"""A worker killed at any moment of a backup or a restore: the data of before or after are whole, and it goes on."""

from typing import Any

import pytest

from accounts.actor import Actor
from deployments.backups.flows import request_backup, request_restore
from deployments.backups.taking import remove_unfinished
from deployments.models import Backup, Job
from deployments.reconciliation import reconcile
from deployments.runtimes.base import Instance
from deployments.worker import Worker
from tests.cast import Cast
from tests.deployments.backups.stage import backed_up, on, restored, stored_of, work
from tests.deployments.fakes import FakeRuntime
from tests.deployments.test_worker_crash import Killed, MortalRuntime


class Mortal(MortalRuntime):
    """Lets the worker die just before or just after its n-th call, those about data included."""

    def take(self, *args: Any, **kwargs: Any) -> Any:
        return self.perhaps_die(lambda: FakeRuntime.take(self, *args, **kwargs))

    def stage(self, *args: Any, **kwargs: Any) -> Any:
        return self.perhaps_die(lambda: FakeRuntime.stage(self, *args, **kwargs))

    def swap(self, *args: Any) -> None:
        self.perhaps_die(super().swap, *args)

    def swap_back(self, *args: Any) -> None:
        self.perhaps_die(super().swap_back, *args)

    def discard(self, *args: Any) -> None:
        self.perhaps_die(super().discard, *args)


BACKUP, RESTORE, FAILING = "backup", "restore", "a restore that fails"
CALLS = {BACKUP: 4, RESTORE: 12, FAILING: 15}
MOMENTS = [(way, call, before) for way, calls in CALLS.items() for call in range(calls) for before in (True, False)]


@pytest.fixture
def runtime(settings: Any) -> Mortal:
    settings.HEALTH_PATIENCE = 0
    return Mortal()


def asked(cast: Cast, runtime: Mortal, way: str) -> Job:
    on(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "then")
    if way == BACKUP:
        job = request_backup(cast.test, Actor(cast.alice)).job
        assert job is not None
        return job
    backup = backed_up(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "now")
    if way == FAILING:
        check = runtime.check

        def sick_with_it(*args: Any) -> Any:
            runtime.sick = {"python3 app.py"} if runtime.read(cast.test.pk) == "then" else set()
            return check(*args)

        runtime.check = sick_with_it  # type: ignore[method-assign]
    return request_restore(cast.test, Actor(cast.alice), backup)


@pytest.mark.parametrize(("way", "call", "before"), MOMENTS)
def test_wherever_it_dies_the_data_are_whole_and_it_goes_on(
    cast: Cast, runtime: Mortal, way: str, call: int, before: bool
) -> None:
    job = asked(cast, runtime, way)
    runtime.dies_at, runtime.dies_before = call, before
    with pytest.raises(Killed):
        work(runtime, job)
    runtime.dies_at = None

    Worker(runtime, "tester").begin()
    reconcile(runtime)
    remove_unfinished()

    job.refresh_from_db()
    assert job.state == "interrupted"
    assert runtime.aside() == []
    assert runtime.instances() == [Instance(cast.test.pk, 1)]
    assert runtime.hosts[cast.test.host] == Instance(cast.test.pk, 1)
    if way == BACKUP:
        assert (Backup.objects.get().state, stored_of(cast)) == ("failed", [])
    else:
        assert runtime.read(cast.test.pk) == ("then" if job.decided_at else "now")
        said = "It has the data of the backup." if job.decided_at else "Its data are put back as they were."
        assert job.result.endswith(said)
    runtime.sick.clear()
    assert Backup.objects.unfinished().count() == 0
    again = backed_up(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "later")
    assert restored(runtime, cast.test, Actor(cast.alice), again).state == "done"
    assert runtime.aside() == []


@pytest.mark.parametrize(("way", "calls"), CALLS.items())
def test_every_moment_is_tried(cast: Cast, runtime: Mortal, way: str, calls: int) -> None:
    job = asked(cast, runtime, way)
    runtime.dies_at = 1000
    work(runtime, job)
    assert runtime.dies_at == 1000 - calls


def test_a_job_that_is_next_finds_the_data_put_right(cast: Cast, runtime: Mortal) -> None:
    job = asked(cast, runtime, RESTORE)
    runtime.dies_at, runtime.dies_before = 8, False
    with pytest.raises(Killed):
        work(runtime, job)
    runtime.dies_at = None
    assert runtime.read(cast.test.pk) == "then"
    Worker(runtime, "tester").begin()
    assert backed_up(cast, runtime, cast.test).state == "completed"
    assert (runtime.read(cast.test.pk), runtime.aside()) == ("now", [])


def test_what_a_job_that_nobody_knows_left_is_not_touched(cast: Cast, runtime: Mortal) -> None:
    on(cast, runtime, cast.test)
    runtime.put_aside[Instance(cast.test.pk, 99)] = runtime.content(cast.test.pk)
    reconcile(runtime)
    assert runtime.aside() == [Instance(cast.test.pk, 99)]
