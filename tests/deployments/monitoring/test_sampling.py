"""Measuring: what a look adds to which rows, who looks, and how many rows there ever are."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError

from deployments.models import Live, Measurement, Sampling
from deployments.monitoring import counting, metrics, sampling
from deployments.monitoring.ranges import EVERY, RANGES
from deployments.monitoring.sampling import TURN, Sampler
from deployments.runtimes.base import Health, Instance, Spec, Stored, Traffic
from deployments.states import EnvironmentState
from tests.cast import Cast
from tests.deployments.fakes import FakeRuntime, make_package

NOON = datetime(2026, 5, 3, 12, 0, 0, tzinfo=UTC)
SLOWEST = (0,) * 14


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    return Clock(monkeypatch)


class Clock:
    """The clock that only goes forward, set by hand together with the one on the wall."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.passed)

    def look(self, sampler: Sampler, seconds: float = EVERY) -> bool:
        self.passed += seconds
        return sampler.sample(NOON + timedelta(seconds=self.passed - 1000 - EVERY))


@pytest.fixture
def runtime(cast: Cast) -> FakeRuntime:
    """A runtime on which calc runs on Test as instance 3."""
    runtime = FakeRuntime()
    package = make_package(cast.app, cast.alice)
    Live.objects.create(environment=cast.test, state=EnvironmentState.RUNNING, package=package, instance=3)
    runtime.unpacked.add(package.sha256)
    runtime.start(Spec(Instance(cast.test.pk, 3), package.sha256, "web"))
    return runtime


def use(
    runtime: FakeRuntime, cast: Cast, processor: float, memory: int = 100, restarts: int = 0, instance: int = 3
) -> None:
    runtime.used[Instance(cast.test.pk, instance)] = (processor, memory, restarts)


def minute(cast: Cast, at: datetime = NOON) -> Measurement:
    return Measurement.objects.get(environment=cast.test, span=60, at=at)


def test_a_look_goes_into_one_row_of_each_range(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    sampler = Sampler(runtime, "a")
    runtime.stored[cast.test.pk] = Stored(4000, 96)
    for number in range(4):
        use(runtime, cast, number * 3.0, 100 * (number + 1))
        assert clock.look(sampler)
    rows = Measurement.objects.order_by("span")
    assert [(row.span, row.at) for row in rows] == [(each.span, each.begin_of(NOON)) for each in RANGES.values()]
    for row in rows:
        assert (row.looks, row.seconds, row.processor) == (4, 45, 9)
        assert (row.memory, row.memory_peak, row.storage) == (1000, 400, 4096)
        assert (row.checks, row.failures, row.restarts) == (4, 0, 0)
        assert row.check_slowest == pytest.approx(0.001)
    assert runtime.calls.count(f"storage {cast.test.pk}") == 1


def test_what_takes_long_to_count_holds_up_no_check(
    cast: Cast, runtime: FakeRuntime, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, storage = threading.Event(), runtime.storage

    def slow(environment: int) -> Stored:
        assert counted.wait(10)
        return storage(environment)

    monkeypatch.setattr(runtime, "storage", slow)
    monkeypatch.setattr(counting, "QUICK", 0.01)
    runtime.stored[cast.test.pk] = Stored(4000, 96)
    sampler = Sampler(runtime, "a")
    assert clock.look(sampler)
    assert clock.look(sampler)
    row = minute(cast)
    assert (row.checks, row.storage) == (2, None)
    counted.set()
    monkeypatch.setattr(counting, "QUICK", 10)
    sampler._counter._thread.join(10)
    assert clock.look(sampler)
    assert minute(cast).storage == 4096
    assert runtime.calls.count(f"storage {cast.test.pk}") == 1


def test_what_another_worker_counted_is_not_counted_again_at_once(
    cast: Cast, runtime: FakeRuntime, clock: Clock
) -> None:
    assert clock.look(Sampler(runtime, "a"))
    second = Sampler(runtime, "b")
    for _ in range(4):
        clock.look(second, TURN.total_seconds())
    assert runtime.calls.count(f"storage {cast.test.pk}") == 1
    clock.look(second, 300)
    assert runtime.calls.count(f"storage {cast.test.pk}") == 2


def test_an_app_that_can_not_be_asked_keeps_no_other_from_it(
    cast: Cast, runtime: FakeRuntime, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Live.objects.get()
    other.pk, other.environment, other.instance = None, cast.acceptance, 4
    other.save(force_insert=True)
    runtime.specs[Instance(cast.acceptance.pk, 4)] = runtime.specs[Instance(cast.test.pk, 3)]
    check = runtime.check

    def broken(instance: Instance, path: str, timeout: float) -> Health:
        if instance.environment == cast.test.pk:
            raise OSError("gone")
        return check(instance, path, timeout)

    monkeypatch.setattr(runtime, "check", broken)
    assert clock.look(Sampler(runtime, "a"))
    assert {row.environment_id: row.checks for row in Measurement.objects.filter(span=60)} == {
        cast.test.pk: 0,
        cast.acceptance.pk: 1,
    }


def test_an_app_that_is_sick_or_comes_back_is_counted(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    sampler = Sampler(runtime, "a")
    use(runtime, cast, 50)
    clock.look(sampler)
    runtime.sick.add("web")
    use(runtime, cast, 2, restarts=1)
    clock.look(sampler)
    row = minute(cast)
    assert (row.checks, row.failures, row.restarts, row.processor) == (2, 1, 1, 2)


def test_a_new_version_begins_anew(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    sampler = Sampler(runtime, "a")
    use(runtime, cast, 500)
    clock.look(sampler)
    runtime.specs[Instance(cast.test.pk, 4)] = runtime.specs.pop(Instance(cast.test.pk, 3))
    Live.objects.update(instance=4)
    use(runtime, cast, 1.5, instance=4)
    clock.look(sampler)
    row = minute(cast)
    assert (row.processor, row.restarts, row.failures) == (1.5, 0, 0)


def test_what_is_used_while_nobody_looks_is_in_no_row(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    sampler = Sampler(runtime, "a")
    clock.look(sampler)
    use(runtime, cast, 1000)
    clock.look(sampler, 3600)
    assert {row.processor for row in Measurement.objects.all()} == {0}


def test_visitors_are_counted_once(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    sampler = Sampler(runtime, "a")
    clock.look(sampler)
    counts = (5, *SLOWEST)
    runtime.visited = {
        "1": (Traffic(cast.test.host, (0, 4, 0, 1, 0), counts), Traffic("gone--app", (0, 1, 0, 0, 0), counts))
    }
    clock.look(sampler)
    clock.look(sampler)
    assert Sampling.objects.get().cursor == "3"
    for row in Measurement.objects.all():
        assert (row.statuses, row.latencies) == ([0, 4, 0, 1, 0], list(counts))


def test_visitors_of_what_does_not_run_count_too(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    runtime.visited = {"": (Traffic(cast.acceptance.host, (0, 0, 0, 0, 2), (2, *SLOWEST)),)}
    clock.look(Sampler(runtime, "a"))
    row = Measurement.objects.get(environment=cast.acceptance, span=60)
    assert (row.statuses, row.looks) == ([0, 0, 0, 0, 2], 0)


def test_one_worker_measures_and_another_takes_over(cast: Cast, runtime: FakeRuntime, clock: Clock) -> None:
    first, second = Sampler(runtime, "a"), Sampler(runtime, "b")
    assert clock.look(first)
    assert not clock.look(second, 1)
    assert clock.look(first, 1)
    assert minute(cast).looks == 2
    assert clock.look(second, TURN.total_seconds())
    assert not clock.look(first, 1)


def test_a_worker_that_was_overtaken_while_it_looked_writes_nothing(
    cast: Cast, runtime: FakeRuntime, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(runtime, "a")
    visits = runtime.visits

    def slow(cursor: str) -> object:
        Sampling.objects.update(worker="b")
        return visits(cursor)

    monkeypatch.setattr(runtime, "visits", slow)
    assert not clock.look(sampler)
    assert not Measurement.objects.exists()
    assert Sampling.objects.get().cursor == ""


def test_where_writing_fails_nothing_is_lost_or_counted_twice(
    cast: Cast, runtime: FakeRuntime, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(runtime, "a")
    use(runtime, cast, 1)
    clock.look(sampler)

    def away(*_: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as patched:
        patched.setattr(sampling, "write", away)
        use(runtime, cast, 2)
        with pytest.raises(DatabaseError):
            clock.look(sampler)
    assert Sampling.objects.get().cursor == "1"
    use(runtime, cast, 3)
    clock.look(sampler)
    row = minute(cast)
    assert (row.processor, row.seconds) == (2, 30)


def test_an_environment_that_goes_meanwhile_does_not_keep_the_others(
    cast: Cast, runtime: FakeRuntime, clock: Clock
) -> None:
    gone = cast.acceptance
    Live.objects.create(environment=gone, state=EnvironmentState.STOPPED)
    seen = {gone.pk: sampling.Seen(memory=1), cast.test.pk: sampling.Seen(memory=2)}
    key = gone.pk
    gone.delete()
    sampling.write(NOON, seen)
    assert {row.environment_id for row in Measurement.objects.all()} == {cast.test.pk}
    assert key not in Measurement.objects.values_list("environment", flat=True)


def test_rows_are_used_again_when_their_time_comes_round(cast: Cast) -> None:
    for number in range(200):
        sampling.write(NOON + timedelta(minutes=number), {cast.test.pk: sampling.Seen(memory=number + 1)})
    minutes = Measurement.objects.filter(span=60)
    assert minutes.count() == RANGES["hour"].count
    assert {row.memory for row in minutes} == set(range(141, 201))
    now = NOON + timedelta(minutes=199)
    series = metrics.read(cast.test, RANGES["hour"], now)
    assert [each.memory for each in series.stretches if each] == list(range(141, 201))
    day = metrics.read(cast.test, RANGES["day"], now)
    assert [each.looks for each in day.stretches if each] == [10] * 20


def test_all_ranges_together_are_few_rows(cast: Cast) -> None:
    assert sum(each.count for each in RANGES.values()) == 496
    assert max(each.count for each in RANGES.values()) <= 200
    spans = {each.name: each.span * each.count / 86400 for each in RANGES.values()}
    assert (spans["day"], spans["week"], spans["month"]) == (1, 7, 31)


@pytest.mark.parametrize(("every", "checks"), [(0, 4), (15, 4), (30, 2), (45, 2)])
def test_an_app_is_asked_as_often_as_the_operator_says(
    cast: Cast, runtime: FakeRuntime, clock: Clock, settings: Any, every: int, checks: int
) -> None:
    settings.HEALTH_EVERY = every
    sampler = Sampler(runtime, "a")
    for number in range(4):
        clock.look(sampler, EVERY + (-0.2 if number % 2 else 0.2))
    assert minute(cast).checks == checks
