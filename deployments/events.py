"""Runs scheduled events at their time, beside what runs on their environment.

A row for each occurrence keeps two workers from running it twice; a row that tells until when the clock was looked
at keeps what was due meanwhile from being run in a burst later. One run of an event at a time, by a constraint.
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from deployments.journal import OUTPUT_LENGTH, lasting
from deployments.manifests import ScheduledEvent
from deployments.models import EventClock, EventRun, Live
from deployments.models import Worker as WorkerRow
from deployments.option_flows import read, started_with
from deployments.options import Options
from deployments.releases import spec_of
from deployments.runtimes.base import Instance, Runtime, RuntimeFailure
from deployments.schedules import next_after, next_interval
from deployments.states import EnvironmentState, RunState
from environments.models import Environment

log = logging.getLogger(__name__)

LATE = timedelta(seconds=60)  # the shortest time between two runs; what is due for longer is missed
KEPT_RUNS = 20  # of each event
MOST_COUNTED = 1000
CLOCK = 1  # the row's id
STILL_RUNS = "The run before had not ended yet."
ENDED_WITH_WORKER = "The portal was stopped, or its worker ended, while it ran."
NOT_KEPT = "The database took no word of how it ended."
NOT_THERE = "What ran on the environment was stopped or replaced before it began."


@dataclass(frozen=True)
class Due:
    """An event at the moment when it is due, or was and nobody looked."""

    environment: Environment
    event: ScheduledEvent
    at: datetime
    missed: int = 0


def next_time(event: ScheduledEvent, after: datetime) -> datetime | None:
    """Say when an event is due next; None when its schedule never comes true."""
    if event.interval is not None:
        return next_interval(event.interval, after)
    return next_after(event.schedule or "", after)


def due_between(event: ScheduledEvent, after: datetime, now: datetime) -> tuple[datetime | None, list[datetime]]:
    """Give the time at which to run an event now, if any, and the times that were missed, oldest first.

    Both are later than `after`. Of the missed ones at most MOST_COUNTED are given.
    """
    begin = max(after, now - LATE)
    current = next_time(event, begin)
    missed: list[datetime] = []
    at = next_time(event, after)
    while at is not None and at <= begin and len(missed) < MOST_COUNTED:
        missed.append(at)
        at = next_time(event, at)
    return (current if current and current <= now else None), missed


def take_due(worker: str, now: datetime) -> list[EventRun]:
    """Note what is due, and give the runs that this worker is to carry out."""
    clock, _ = EventClock.objects.get_or_create(pk=CLOCK, defaults={"looked_at": now})
    taken = [run for due in _all_due(clock.looked_at, now) if (run := _note(due, worker, now))]
    EventClock.objects.filter(pk=CLOCK, looked_at__lt=now).update(looked_at=now)
    return taken


def carry_out_event(run: EventRun, runtime: Runtime) -> None:
    """Run an event beside what runs on its environment, and keep how it went."""
    try:
        state, result, output = _run(run, runtime)
    except RuntimeFailure as failure:
        state, result, output = RunState.FAILED, str(failure), ""
    except Exception:
        log.exception("The event %s (%s) failed unexpectedly.", run.event, run.pk)
        state, result, output = RunState.FAILED, "Something went wrong in the portal itself; its log says more.", ""
    lasting(lambda: _end(run, state, result, output))
    lasting(lambda: _prune(run))


def interrupt_runs_of(worker: str) -> None:
    """Mark what a worker left unfinished."""
    _interrupt(EventRun.objects.filter(worker=worker), ENDED_WITH_WORKER)


def interrupt_runs_given_up(worker: str, at_work: Collection[int], before: datetime) -> None:
    """Mark what a living worker began before then and is not at any more: its end could not be written down."""
    _interrupt(EventRun.objects.filter(worker=worker, started_at__lt=before).exclude(pk__in=at_work), NOT_KEPT)


def interrupt_runs_of_the_dead(alive_since: datetime) -> None:
    """Mark runs whose worker gave no sign of life since then."""
    alive = WorkerRow.objects.filter(heartbeat__gte=alive_since).values_list("name", flat=True)
    left = EventRun.objects.filter(state=RunState.RUNNING).exclude(worker__in=list(alive))
    for worker in set(left.values_list("worker", flat=True)):
        interrupt_runs_of(worker)


def _interrupt(runs: QuerySet[EventRun], why: str) -> None:
    runs.filter(state=RunState.RUNNING).update(state=RunState.INTERRUPTED, ended_at=timezone.now(), result=why)


def _all_due(looked_at: datetime, now: datetime) -> Iterator[Due]:
    running = Live.objects.filter(state=EnvironmentState.RUNNING).exclude(package__manifest__scheduled_events=[])
    for live in running.select_related("package", "environment__options"):
        row = getattr(live.environment, "options", None)
        options = read(row).options if row else Options()
        for event in live.package.contents.scheduled_events if live.package else ():
            if event.name not in options.events_off:
                yield from _due(live, event, max(looked_at, live.since, _on_since(options, event)), now)


def _on_since(options: Options, event: ScheduledEvent) -> datetime:
    since = options.events_on_since.get(event.name)
    return datetime.fromisoformat(since) if since else datetime.min.replace(tzinfo=UTC)


def _due(live: Live, event: ScheduledEvent, after: datetime, now: datetime) -> Iterator[Due]:
    current, missed = due_between(event, after, now)
    if missed:
        yield Due(live.environment, event, missed[-1], len(missed))
    if current:
        yield Due(live.environment, event, current)


def _note(due: Due, worker: str, now: datetime) -> EventRun | None:
    """Write the row of an occurrence; gives it when it is this worker's to carry out."""
    run = EventRun(environment=due.environment, event=due.event.name, due_at=due.at, worker=worker)
    if due.missed:
        times = "once" if due.missed == 1 else f"{due.missed:,} times"
        times += " or more" if due.missed == MOST_COUNTED else ""
        run.result = f"It was due {times} while the portal did not run, and was not made up for."
        _write(run, RunState.MISSED, ended_at=now)
        return None
    if _write(run, RunState.RUNNING, started_at=now):
        return run
    run.result = STILL_RUNS
    # Where another worker was quicker its row stands there already, and this one is not written either
    _write(run, RunState.SKIPPED, ended_at=now)
    return None


def _write(run: EventRun, state: RunState, **times: datetime) -> bool:
    run.pk, run.state = None, state
    run.started_at, run.ended_at = times.get("started_at"), times.get("ended_at")
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _run(run: EventRun, runtime: Runtime) -> tuple[RunState, str, str]:
    live = Live.objects.select_related("package", "environment").get(environment=run.environment_id)
    package = live.package
    events = {event.name: event for event in package.contents.scheduled_events} if package else {}
    if package is None or not live.is_running or live.instance is None or run.event not in events:
        return RunState.SKIPPED, NOT_THERE, ""
    instance = Instance(live.environment_id, live.instance)
    spec = spec_of(instance, package, live.environment.host, started_with(live))
    finished = runtime.run(spec, events[run.event].command, settings.EVENT_PATIENCE)
    result = finished.ended[:1].upper() + finished.ended[1:] + "."
    return RunState.DONE if finished.succeeded else RunState.FAILED, result, finished.output


def _end(run: EventRun, state: RunState, result: str, output: str) -> None:
    # What was marked interrupted meanwhile stays so
    EventRun.objects.filter(pk=run.pk, state=RunState.RUNNING).update(
        state=state, result=result[:300], output=output.replace("\0", "")[-OUTPUT_LENGTH:], ended_at=timezone.now()
    )


def _prune(run: EventRun) -> None:
    runs = EventRun.objects.filter(environment=run.environment_id, event=run.event)
    if oldest := runs.order_by("-due_at").values_list("due_at", flat=True)[KEPT_RUNS - 1 : KEPT_RUNS].first():
        runs.filter(due_at__lt=oldest).delete()
