"""Writes down how a job goes, while it goes. Only the worker whose job it is may write."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor, Key
from accounts.acts import Act
from accounts.models import User
from deployments.models import Backup, Job, Step
from deployments.states import CLOCK, BackupState, JobState, StepName, StepState

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

DATABASE_PATIENCE = 300.0  # seconds; a database that is restarted or moved is back by then
OUTPUT_LENGTH = 20_000  # characters kept of what a step says
ENDED = {
    JobState.DONE: Act.JOB_DONE,
    JobState.FAILED: Act.JOB_FAILED,
    JobState.CANCELLED: Act.JOB_CANCELLED,
    JobState.INTERRUPTED: Act.JOB_INTERRUPTED,
}


class CancelAsked(Exception):
    """Somebody cancelled the job while it still can be given up; the message is their name."""


class Lost(Exception):
    """The job is not this worker's any more: another one found it without a sign of life and ended it."""


def lasting(act: Callable[[], Answer]) -> Answer:
    """Do something with the database, again and again while it is away."""
    until = time.monotonic() + DATABASE_PATIENCE
    while True:
        try:
            return act()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            log.warning("The database does not answer; trying again.")
            connection.close()
            time.sleep(0.5)


def asker_of(job: Job) -> Actor:
    """Give who asked for the job as the one who acts, by way of the worker."""
    user = job.asked_by or User(name=job.asker_name)
    key = Key(job.api_key_id or 0, job.key_name) if job.key_name else None
    return Actor(user, "worker", job.address, window=job.window, key=key)


class Journal:
    """The record of one running job."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @contextmanager
    def step(self, name: StepName) -> Iterator[None]:
        """Show the step as running, then as done; what is raised inside leaves it failed or cancelled."""
        self._set(name, StepState.RUNNING, started_at=timezone.now())
        try:
            yield
        except CancelAsked:
            self._give_up(name, StepState.CANCELLED)
            raise
        except Exception:
            self._give_up(name, StepState.FAILED)
            raise
        self._set(name, StepState.DONE, ended_at=timezone.now())

    def skip(self, name: StepName, why: str) -> None:
        self._set(name, StepState.SKIPPED, output=why)

    def note(self, name: StepName, text: str) -> None:
        """Add a line to what the step says."""
        # An app may print anything; PostgreSQL fails over a NUL, and what was begun would not be undone
        text = text.replace("\0", "")

        def add() -> None:
            with transaction.atomic():
                step = self.job.steps.select_for_update().get(name=name)
                step.output = f"{step.output}\n{text}".strip()[-OUTPUT_LENGTH:]
                step.save(update_fields=["output"])

        lasting(add)

    def put_in_order(self, names: tuple[StepName, ...]) -> None:
        """Give the steps that wait another order."""

        def rewrite() -> None:
            with transaction.atomic():
                steps = {step.name: step for step in self.job.steps.all()}
                if [*steps] == [*names]:
                    return
                self.job.steps.all().delete()
                for order, name in enumerate(names):
                    step = steps.get(name) or Step(job=self.job, name=name)
                    step.pk, step.order = None, order
                    step.save(force_insert=True)

        lasting(rewrite)

    def hold(self) -> str:
        """Lock the job's row in the current transaction and give the name of who cancelled it, if anybody did.

        Raises Lost when it is not this worker's any more.
        """
        held = Job.objects.select_for_update().filter(pk=self.job.pk, state=JobState.RUNNING, worker=self.job.worker)
        canceller: str | None = held.values_list("canceller_name", flat=True).first()
        if canceller is None:
            raise Lost
        return canceller

    def heed(self) -> None:
        """Raise CancelAsked when somebody cancelled the job; once it is decided nobody can any more."""
        row = Job.objects.filter(pk=self.job.pk)
        if canceller := lasting(lambda: row.values_list("canceller_name", flat=True).first()):
            raise CancelAsked(canceller)

    def decide(self) -> None:
        """From the end of the current transaction on the job is carried through; raises CancelAsked or Lost."""
        if canceller := self.hold():
            raise CancelAsked(canceller)
        Job.objects.filter(pk=self.job.pk).update(decided_at=timezone.now())

    def save(self, **values: object) -> None:
        """Keep values of the job's row."""

        def write() -> None:
            with transaction.atomic():
                self.hold()
                Job.objects.filter(pk=self.job.pk).update(**values)

        lasting(write)
        for name, value in values.items():
            setattr(self.job, name, value)

    def finish(self, state: JobState, result: str) -> None:
        lasting(lambda: end(self.job, state, result))

    def _give_up(self, name: StepName, state: StepState) -> None:
        """Show a step as ended. Nobody waits for a database that is away: what the job began is undone first."""
        try:
            self._write(name, state, ended_at=timezone.now())
        except (OperationalError, InterfaceError):
            log.warning("The database does not answer; “%s” is said to have failed once the job has ended.", name)
            if not connection.in_atomic_block:
                connection.close()

    def _set(self, name: StepName, state: StepState, **values: object) -> None:
        lasting(lambda: self._write(name, state, **values))

    @transaction.atomic
    def _write(self, name: StepName, state: StepState, **values: object) -> None:
        self.hold()
        Job.objects.filter(pk=self.job.pk).update(heartbeat=timezone.now())
        self.job.steps.filter(name=name).update(state=state, **values)


@transaction.atomic
def end(job: Job, state: JobState, result: str, by: Actor | None = None) -> bool:
    """Bring a job to its end, once, with its activity record; False when it had ended already.

    It was its worker who did, for the one who had asked for it, unless `by` says somebody else.
    """
    now = timezone.now()
    open_jobs = Job.objects.active().filter(pk=job.pk, worker=job.worker)
    if not open_jobs.update(state=state, result=result, ended_at=now, heartbeat=now):
        return False
    job.state, job.result, job.ended_at = state, result, now
    job.steps.filter(state=StepState.RUNNING).update(state=StepState.FAILED, ended_at=now)
    job.steps.filter(state=StepState.WAITING).update(state=StepState.SKIPPED)
    Backup.objects.unfinished().filter(job=job).update(state=BackupState.FAILED, reason=result)
    environment = job.environment
    if job.via != CLOCK or state != JobState.DONE:  # that all is well each night is on the list of backups
        who = by or asker_of(job)
        record(ENDED[state], who, job.title, app=environment.app, environment=environment, reason=result)
    return True
