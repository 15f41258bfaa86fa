"""Claims queued jobs and has them carried out; keeps what runs in agreement with the rows.

A job is never run twice: a worker that dies leaves its job running, and whoever finds no sign of life in it
for a while marks it interrupted.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, connection, connections, transaction
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.upkeep import forget_what_ran_out
from deployments.backups.carry_out import carry_out
from deployments.backups.nightly import look_after
from deployments.events import (
    carry_out_event,
    interrupt_runs_given_up,
    interrupt_runs_of,
    interrupt_runs_of_the_dead,
    take_due,
)
from deployments.execution import what_runs
from deployments.journal import end, lasting
from deployments.models import EventRun, Job, Live
from deployments.models import Worker as WorkerRow
from deployments.monitoring.alert_flow import forget_old
from deployments.monitoring.ranges import EVERY
from deployments.monitoring.sampling import Sampler
from deployments.monitoring.watch import look
from deployments.reconciliation import reconcile
from deployments.removal import tidy_up
from deployments.runtimes.base import Runtime, RuntimeFailure
from deployments.states import JobKind, JobState, StepState
from deployments.uploads import remove_abandoned
from environments.invitations import forget_expired

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

POLL = 0.1  # seconds between two looks at the queue: one indexed query, and a click waits 50 ms on average
BEAT = 5.0  # seconds between two signs of life
CLOCK = 2.0  # seconds between two looks at which scheduled events are due
FORGET = 3600.0  # seconds between two looks at what has run out
UPKEEP, UPKEEP_SOON = 10.0, 2.0  # seconds between two reconciliations; the shorter one after one that failed
ALIVE_WITHIN = timedelta(seconds=15)  # three beats
DEAD_AFTER = timedelta(seconds=30)  # a worker that was merely slow has beaten by then
FORGOTTEN_AFTER = timedelta(days=1)
WATCH = 10.0  # seconds between two looks at how environments fare
LOGS = 10.0  # seconds between two looks at what logs take; an app may write 10 MB in that time
MOST_AT_ONCE = 8  # jobs of different environments; a slow one must not hold up the others
MOST_OF_AN_APP = (
    2  # of those in all workers: a team's versions that don't get healthy for an hour hold up their own only
)
MOST_EVENTS_AT_ONCE = 8
MOST_EVENTS_OF_AN_APP = 2  # of those, so that one team's long events don't keep the others' from running


def is_alive() -> bool:
    """Say whether any worker gave a sign of life just now (for /readyz)."""
    return WorkerRow.objects.filter(heartbeat__gt=timezone.now() - ALIVE_WITHIN).exists()


class Worker:
    """One worker process. The runtime must bear several threads; `name` is the same after a restart."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self.runtime = runtime
        self.name = name
        self._ending = threading.Event()
        self._jobs: list[tuple[int, threading.Thread]] = []  # what this worker is at, each job's id with its thread
        self._event_runs: list[tuple[int, threading.Thread]] = []
        self._events = threading.BoundedSemaphore(MOST_EVENTS_AT_ONCE)
        self._events_of: dict[int, threading.BoundedSemaphore] = {}
        self._distrust_beats_until = 0.0

    def run_once(self) -> bool:
        """Carry out the next job, here and now; False when none waits."""
        job = self.claim()
        if job is None:
            return False
        carry_out(job, self.runtime, self._ending.is_set)
        return True

    def run_forever(self) -> None:
        """Work until `leave` is called; what is under way is finished first, or given up where that harms nothing."""
        lasting(self.begin)
        helpers = [
            self._spawn(self._beat_forever, "beat"),
            self._spawn(self._upkeep_forever, "upkeep"),
            self._spawn(self._events_forever, "events"),
            self._spawn(self._logs_forever, "logs"),
            self._spawn(self._sample_forever, "metrics"),
            self._spawn(self._watch_forever, "watch"),
        ]
        log.info("Worker %s is ready.", self.name)
        while not self._ending.is_set():
            if not self._turn():
                self._ending.wait(POLL)
        for thread in [*(thread for _, thread in self._jobs), *helpers]:
            thread.join()
        # Events that still run end with this process: nobody waits an hour for one
        interrupt_runs_of(self.name)
        WorkerRow.objects.filter(pk=self.name).delete()
        log.info("Worker %s has ended.", self.name)

    def leave(self) -> None:
        self._ending.set()

    def begin(self) -> None:
        """Report for work, and mark what a predecessor of this name left unfinished."""
        now = timezone.now()
        WorkerRow.objects.filter(heartbeat__lt=now - FORGOTTEN_AFTER).delete()
        WorkerRow.objects.update_or_create(name=self.name, defaults={"started_at": now, "heartbeat": now})
        for job in _running().filter(worker=self.name):
            interrupt(job)
        interrupt_runs_of(self.name)

    def run_events(self, now: datetime) -> None:
        """Begin what is due, each in a thread of its own."""
        self._event_runs = [(run, thread) for run, thread in self._event_runs if thread.is_alive()]
        for run in take_due(self.name, now):
            app = self._events_of.setdefault(run.environment.app_id, threading.BoundedSemaphore(MOST_EVENTS_OF_AN_APP))
            thread = self._spawn(partial(self._run_event, run, app), f"event-{run.pk}", daemon=True)
            self._event_runs.append((run.pk, thread))

    def claim(self) -> Job | None:
        """Take the oldest job whose turn it is: none runs on its environment, none waits there before it.

        Where an app has jobs running on `MOST_OF_AN_APP` environments, its others wait for one of them.
        """
        if not Job.objects.filter(state=JobState.QUEUED).exists():
            return None
        try:
            with transaction.atomic():
                return self._take(timezone.now())
        except IntegrityError:
            # One running job per environment, says the database: another worker was quicker
            return None

    def beat(self) -> None:
        """Give a sign of life for this worker and what it works on.

        A job whose thread ended without bringing it to an end, as when the disk of the database stayed full, gets none:
        it is noticed as that of a dead worker is.
        """
        now = timezone.now()
        if not WorkerRow.objects.filter(pk=self.name).update(heartbeat=now):
            WorkerRow.objects.create(name=self.name, heartbeat=now)
        Job.objects.filter(state=JobState.RUNNING, worker=self.name, pk__in=self._at_work()).update(heartbeat=now)

    def sweep(self) -> None:
        """Mark running jobs and events without a sign of life as interrupted.

        An event of this worker whose thread ended without writing its end down, as on a full disk, is one of them.
        """
        if time.monotonic() < self._distrust_beats_until:
            return
        for job in _running().filter(heartbeat__lt=timezone.now() - DEAD_AFTER):
            interrupt(job)
        interrupt_runs_of_the_dead(timezone.now() - DEAD_AFTER)
        at_work = [run for run, thread in list(self._event_runs) if thread.is_alive()]
        interrupt_runs_given_up(self.name, at_work, timezone.now() - DEAD_AFTER)

    def _take(self, now: datetime) -> Job | None:
        earlier = Job.objects.active().filter(environment=OuterRef("environment"), pk__lt=OuterRef("pk"))
        running = Job.objects.filter(state=JobState.RUNNING, environment__app=OuterRef("environment__app")).order_by()
        of_app = running.values("environment__app").annotate(count=Count("pk")).values("count")
        turn = Job.objects.annotate(of_app=Coalesce(Subquery(of_app), 0)).order_by("pk")
        turn = turn.filter(~Exists(earlier), state=JobState.QUEUED, of_app__lt=MOST_OF_AN_APP)
        if connection.features.has_select_for_update_skip_locked:
            turn = turn.select_for_update(skip_locked=True, of=("self",))
        job = turn.select_related("environment__app", "package", "asked_by").first()
        if job is None:
            return None
        job.state, job.worker, job.started_at, job.heartbeat = JobState.RUNNING, self.name, now, now
        job.save(update_fields=["state", "worker", "started_at", "heartbeat"])
        return job

    def _turn(self) -> bool:
        """Start what can be started; False when there is nothing to do just now."""
        self._jobs = [(job, thread) for job, thread in self._jobs if thread.is_alive()]
        if len(self._jobs) >= MOST_AT_ONCE:
            return False
        job = self._surviving(self.claim)
        if job:
            act = partial(carry_out, job, self.runtime, self._ending.is_set)
            self._jobs.append((job.pk, self._spawn(act, f"job-{job.pk}")))
        return job is not None

    def _at_work(self) -> list[int]:
        return [job for job, thread in list(self._jobs) if thread.is_alive()]

    def _beat_forever(self) -> None:
        while not self._ending.is_set() or self._at_work():
            self._surviving(self.beat)
            self._wait(BEAT)

    def _upkeep_forever(self) -> None:
        self._surviving(remove_abandoned)
        forget_at = time.monotonic()
        while not self._ending.is_set():
            if time.monotonic() >= forget_at:
                self._surviving(forget_what_ran_out)
                self._surviving(forget_expired)
                self._surviving(lambda: forget_old(timezone.now()))
                forget_at = time.monotonic() + FORGET
            self._surviving(self.sweep)
            done = self._surviving(self._reconcile)
            self._surviving(partial(tidy_up, self.runtime))
            self._surviving(look_after)
            self._ending.wait(UPKEEP if done else UPKEEP_SOON)

    def _events_forever(self) -> None:
        while not self._ending.wait(CLOCK):
            self._surviving(lambda: self.run_events(timezone.now()))

    def _sample_forever(self) -> None:
        sampler, due = Sampler(self.runtime, self.name), time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + EVERY, time.monotonic())
            self._surviving(sampler.sample)
        self._surviving(sampler.leave)

    def _logs_forever(self) -> None:
        # In a thread of its own: packing a large day takes a while
        while not self._ending.wait(LOGS):
            self._surviving(lambda: self.runtime.keep_logs(settings.LOG_KEPT_DAYS, settings.LOG_MAX_BYTES))

    def _watch_forever(self) -> None:
        # In a thread of its own: a health check may take seconds
        while not self._ending.wait(WATCH):
            self._surviving(lambda: look(self.runtime, timezone.now()))

    def _run_event(self, run: EventRun, app: threading.BoundedSemaphore) -> None:
        with app, self._events:
            carry_out_event(run, self.runtime)

    def _reconcile(self) -> bool:
        try:
            reconcile(self.runtime)
        except RuntimeFailure as failure:
            log.info("Could not look after what runs yet: %s", failure)
            return False
        return True

    def _surviving(self, act: Callable[[], Answer]) -> Answer | None:
        """Do something without dying of a database that is away or of a mistake; None when it did not work."""
        try:
            return act()
        except (DatabaseError, InterfaceError) as error:
            log.warning("The database does not answer: %s", error)
            # Nobody could beat meanwhile, so silence proves nothing for a while
            self._distrust_beats_until = time.monotonic() + DEAD_AFTER.total_seconds()
            connection.close()
        except Exception:
            log.exception("The worker met something unexpected and goes on.")
        self._ending.wait(1)
        return None

    def _wait(self, seconds: float) -> None:
        """Wait; while the last jobs are brought to an end signs of life go on at the same pace."""
        if not self._ending.wait(seconds):
            return
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._at_work():
            time.sleep(POLL)

    def _spawn(self, act: Callable[[], None], what: str, daemon: bool = False) -> threading.Thread:
        def run() -> None:
            try:
                act()
            finally:
                connections.close_all()

        thread = threading.Thread(target=run, name=f"{self.name}-{what}", daemon=daemon)
        thread.start()
        return thread


def interrupt(job: Job) -> None:
    """Mark a job whose worker is gone, and say what is true now; reconciliation clears up what it left."""
    step = job.steps.filter(state=StepState.RUNNING).first()
    during = f" during “{step.title}”" if step else ""
    live = Live.objects.filter(environment=job.environment_id).select_related("package").first()
    # Not "keeps running": one that was stopped on the way only runs again once reconciliation has seen to it
    now = f"{live.package} is what runs there." if live and live.is_running else what_runs(live)
    if job.kind == JobKind.CLEAR and job.decided_at and live and live.package:
        now += " Its data may be gone already. Clear it again."
    if job.kind == JobKind.RESTORE:
        now += " It has the data of the backup." if job.decided_at else " Its data are put back as they were."
    if job.kind in (JobKind.BACKUP, JobKind.UPLOAD):
        now += " The backup was complete by then." if job.backups.completed().exists() else " There is no backup."
    if end(job, JobState.INTERRUPTED, f"The worker ended{during}. {now}"):
        log.warning("%s (%s) was interrupted%s.", job, job.pk, during)


def _running() -> QuerySet[Job]:
    return Job.objects.filter(state=JobState.RUNNING).select_related("environment__app", "asked_by")
