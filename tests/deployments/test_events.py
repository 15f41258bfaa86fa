"""Scheduled events: run at their time, once, one at a time, beside what runs; what was missed is said."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.actor import Actor
from deployments.events import KEPT_RUNS, carry_out_event, take_due
from deployments.flows import request_job
from deployments.models import EventClock, EventRun, Live
from deployments.models import Worker as WorkerRow
from deployments.option_flows import save_options
from deployments.options import Options, Setting
from deployments.runtimes.base import Finished
from deployments.states import JobKind, RunState
from deployments.worker import DEAD_AFTER, Worker
from tests.cast import Cast, make_cast, signed_in
from tests.deployments.fakes import FakeRuntime, make_package

HALF_PAST_TWO = datetime(2026, 3, 4, 2, 30, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
NIGHTLY = {"name": "Nightly", "command": "python3 report.py", "schedule": "30 2 * * *"}
POLL = {"name": "Poll", "command": "python3 poll.py", "interval": 60}
PAGE = "/apps/calc/environments/test/options/"


@pytest.fixture
def runtime(cast: Cast) -> FakeRuntime:
    """A package with a nightly event runs on Test since the day before."""
    return running(cast, NIGHTLY)


def running(cast: Cast, *events: dict[str, Any]) -> FakeRuntime:
    fake = FakeRuntime()
    package = make_package(
        cast.app, cast.alice, scheduled_events=list(events), constants=[{"name": "A", "default": "1"}]
    )
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    assert Worker(fake, "tester").run_once()
    Live.objects.update(since=HALF_PAST_TWO - timedelta(days=1))
    EventClock.objects.create(pk=1, looked_at=HALF_PAST_TWO - SECOND)
    return fake


def look(runtime: FakeRuntime, now: datetime, worker: str = "w") -> list[EventRun]:
    """Let a worker look at the clock and carry out what is its own."""
    taken = take_due(worker, now)
    for run in taken:
        carry_out_event(run, runtime)
        run.refresh_from_db()
    return taken


def states() -> list[tuple[str, str]]:
    return [(run.event, run.state) for run in EventRun.objects.order_by("due_at", "event")]


def test_it_runs_at_its_time_with_the_release_and_options_of_what_runs(cast: Cast, runtime: FakeRuntime) -> None:
    save_options(cast.test, Actor(cast.alice), Options(variables={"NEW": Setting("x")}), 0)
    given: list[Any] = []
    run_it = runtime.run

    def noted(*args: Any) -> Any:
        given.extend(args)
        return run_it(*args)

    runtime.run = noted  # type: ignore[assignment, method-assign]
    assert look(runtime, HALF_PAST_TWO - SECOND) == []
    (run,) = look(runtime, HALF_PAST_TWO)
    assert (run.state, run.result, run.output) == ("done", "Exit code 0.", "done\n")
    spec, command, _ = given
    assert (command, spec.variables, spec.instance.number) == ("python3 report.py", {"A": "1"}, 1)
    assert look(runtime, HALF_PAST_TWO + SECOND) == []


def test_how_it_ended_is_kept(runtime: FakeRuntime) -> None:
    runtime.finished["python3 report.py"] = Finished(False, "exit code 3", "No \x00money\n" + "x" * 30_000, 0.1)
    (run,) = look(runtime, HALF_PAST_TWO)
    assert (run.state, run.result, len(run.output)) == ("failed", "Exit code 3.", 20_000)
    runtime.failing.add("run")
    (run,) = look(runtime, HALF_PAST_TWO + timedelta(days=1))
    assert (run.state, run.result) == ("failed", "The runtime can't run.")


def test_two_workers_never_run_the_same_occurrence_twice(runtime: FakeRuntime) -> None:
    first = take_due("one", HALF_PAST_TWO)
    EventClock.objects.update(looked_at=HALF_PAST_TWO - SECOND)
    assert (len(first), take_due("two", HALF_PAST_TWO)) == (1, [])
    assert states() == [("Nightly", "running")]


def test_one_that_still_runs_is_left_alone_and_the_next_one_left_out(cast: Cast) -> None:
    runtime = running(cast, POLL)
    (run,) = take_due("w", HALF_PAST_TWO)
    assert take_due("w", HALF_PAST_TWO + MINUTE) == []
    assert states() == [("Poll", "running"), ("Poll", "skipped")]
    carry_out_event(run, runtime)
    assert len(look(runtime, HALF_PAST_TWO + 2 * MINUTE)) == 1


def test_what_was_due_while_nobody_looked_is_said_and_not_made_up_for(cast: Cast) -> None:
    runtime = running(cast, NIGHTLY, POLL)
    look(runtime, HALF_PAST_TWO + timedelta(minutes=10, seconds=5))
    assert states() == [("Nightly", "missed"), ("Poll", "missed"), ("Poll", "done")]
    missed = EventRun.objects.get(event="Poll", state=RunState.MISSED)
    assert missed.result == "It was due 10 times while the portal did not run, and was not made up for."
    assert "It was due once" in EventRun.objects.get(event="Nightly").result


def test_a_worker_that_is_a_little_late_runs_it(runtime: FakeRuntime) -> None:
    assert len(look(runtime, HALF_PAST_TWO + 20 * SECOND)) == 1


def test_the_first_look_ever_finds_nothing_missed(runtime: FakeRuntime) -> None:
    EventClock.objects.all().delete()
    assert look(runtime, HALF_PAST_TWO + MINUTE) == []
    assert states() == []


@pytest.mark.parametrize("change", [{"state": "stopped"}, {"since": HALF_PAST_TWO + SECOND}])
def test_it_needs_something_that_runs_since_before_its_time(runtime: FakeRuntime, change: dict[str, Any]) -> None:
    Live.objects.update(**change)
    assert look(runtime, HALF_PAST_TWO + 5 * SECOND) == []
    assert states() == []


def test_what_is_off_does_not_run_and_counts_from_when_it_is_on_again(cast: Cast, runtime: FakeRuntime) -> None:
    by = Actor(cast.alice)
    save_options(cast.test, by, Options(events_off=frozenset({"Nightly"})), 0)
    assert look(runtime, HALF_PAST_TWO) == []
    save_options(cast.test, by, Options(), 1)
    EventClock.objects.update(looked_at=HALF_PAST_TWO - SECOND)
    assert look(runtime, HALF_PAST_TWO + 5 * SECOND) == [], "it was off at its time"


def test_what_stopped_meanwhile_is_left_out(runtime: FakeRuntime) -> None:
    (run,) = take_due("w", HALF_PAST_TWO)
    Live.objects.update(state="stopped", instance=None)
    carry_out_event(run, runtime)
    assert states() == [("Nightly", "skipped")]
    assert "run" not in " ".join(runtime.calls).split()


def test_a_worker_that_was_killed_leaves_it_interrupted(runtime: FakeRuntime) -> None:
    (run,) = take_due("w", HALF_PAST_TWO)
    Worker(runtime, "w").begin()
    run.refresh_from_db()
    assert (run.state, run.result) == ("interrupted", "The portal was stopped, or its worker ended, while it ran.")
    carry_out_event(run, runtime)
    run.refresh_from_db()
    assert run.state == "interrupted", "what comes late changes nothing"


def test_others_notice_a_worker_that_never_comes_back(runtime: FakeRuntime) -> None:
    take_due("gone", HALF_PAST_TWO)
    other = Worker(runtime, "other")
    WorkerRow.objects.create(name="gone")
    other.sweep()
    assert states() == [("Nightly", "running")]
    WorkerRow.objects.update(heartbeat=WorkerRow.objects.get().heartbeat - 2 * DEAD_AFTER)
    other.sweep()
    assert states() == [("Nightly", "interrupted")]


@pytest.mark.django_db(transaction=True)
def test_one_whose_end_could_not_be_written_does_not_run_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full for longer than the worker tries, and the worker itself lives on."""
    ends, lives = threading.Event(), threading.Event()

    def lose(run: EventRun, _: object) -> None:
        if run.event == "Poll":
            lives.set()
            ends.wait(10)

    monkeypatch.setattr("deployments.worker.carry_out_event", lose)
    worker = Worker(running(make_cast(), NIGHTLY, POLL), "w")
    worker.begin()
    worker.run_events(HALF_PAST_TWO)
    try:
        assert lives.wait(10)
        worker._event_runs[0][1].join(10)
        worker.sweep()
        assert states() == [("Nightly", "interrupted"), ("Poll", "running")]
        assert EventRun.objects.get(event="Nightly").result == "The database took no word of how it ended."
    finally:
        ends.set()
    for _, thread in worker._event_runs:
        thread.join(10)


def test_the_last_runs_are_kept(cast: Cast) -> None:
    runtime = running(cast, POLL)
    for number in range(KEPT_RUNS + 3):
        look(runtime, HALF_PAST_TWO + number * MINUTE)
    assert EventRun.objects.count() == KEPT_RUNS
    assert EventRun.objects.earliest("due_at").due_at == HALF_PAST_TWO + 3 * MINUTE


def test_the_pages_show_switch_last_run_and_output(cast: Cast, runtime: FakeRuntime) -> None:
    runtime.finished["python3 report.py"] = Finished(True, "exit code 0", "\x1b[31mAll sums add up", 0.1)
    look(runtime, HALF_PAST_TWO)
    client = signed_in(cast.alice)
    page = client.get(PAGE).content.decode()
    for part in ("Nightly", "<code>30 2 * * *</code> UTC", "Done", 'name="event-0"', " checked"):
        assert part in page
    page = client.get(f"{PAGE}events/Nightly/").content.decode()
    assert "^[[31mAll sums add up" in page
    assert "python3 report.py" in page
    assert client.get(f"{PAGE}events/Never/").status_code == 404
