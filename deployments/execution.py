"""Carries out one job, step by step, with the runtime's help."""

import logging
import time
from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.actor import API
from deployments.backups.settling import settle
from deployments.backups.taking import Taking, make_row_for
from deployments.endings import Cancelled, Failed, Leaving
from deployments.errors import Refused
from deployments.flows import refuse_senseless, refuse_to_start_another, refuse_without_values, runs_beside
from deployments.journal import CancelAsked, Journal, Lost, asker_of, lasting
from deployments.models import Job, Live, Package, ProductionData, Watch
from deployments.option_flows import adopt, keep_for, saved_since, started_with, stored, used_by
from deployments.options import Options
from deployments.packages import digest
from deployments.releases import FULL, open_archive, spec_of, unpack
from deployments.rights import refuse_without_rights
from deployments.runtimes.base import Instance, InstanceState, Runtime, RuntimeFailure
from deployments.states import BackupKind, EnvironmentState, JobKind, JobState, StepName, steps_of
from environments.models import Environment
from environments.permissions import Permission

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two health checks
ANSWER_WITHIN = 5.0  # seconds that one health check may take
NO_ROOM = "There is not enough room on the portal's disk. Tell whoever operates the portal."
UNEXPECTED = "Something went wrong in the portal itself; its log says more."


def carry_out_as(execution: "Execution") -> None:
    """Carry out a claimed job to one of its ends; nothing that goes wrong on the way gets out of here."""
    job, journal = execution.job, execution.journal
    try:
        execution.run()
        journal.finish(JobState.DONE, execution.outcome())
    except Lost:
        log.warning("%s (%s) was taken away from this worker.", job, job.pk)
    except Cancelled as reason:
        journal.finish(JobState.CANCELLED, f"{reason} Nothing was changed.")
    except CancelAsked as canceller:
        journal.finish(JobState.CANCELLED, f"Cancelled by {canceller}. {execution.fall_back()}")
    except Leaving:
        journal.finish(JobState.INTERRUPTED, f"The portal was stopped meanwhile. {execution.fall_back()}")
    except (Failed, RuntimeFailure) as reason:
        journal.finish(JobState.FAILED, f"{reason} {execution.fall_back()}")
    except Exception as error:
        log.exception("%s (%s) failed unexpectedly.", job, job.pk)
        full = isinstance(error, OSError) and error.errno in FULL
        journal.finish(JobState.FAILED, f"{NO_ROOM if full else UNEXPECTED} {execution.fall_back()}")


class Execution:
    """One job on its way. `old` is what ran when it began, `new` what it starts."""

    needs_package = True

    def __init__(self, job: Job, runtime: Runtime, leaving: Callable[[], bool]) -> None:
        self.job = job
        self.kind = JobKind(job.kind)
        self.environment = job.environment
        self.runtime = runtime
        self.leaving = leaving
        self.journal = Journal(job)
        self.new = Instance(self.environment.pk, job.number)
        self.old: Instance | None = None
        self.before: Package | None = None
        self.package: Package | None = None
        self.options, self.old_options = Options(), Options()
        self.started = self.led = self.switched = self.old_stopped = False

    def run(self) -> None:
        with self.journal.step(StepName.CHECK):
            self._check()
        beside = runs_beside(self.package, self.before)
        names = steps_of(self.kind, beside, self.job.stays_stopped, self.job.backs_up)
        self.journal.put_in_order(names)
        acts = self._acts()
        for name in names[1:]:
            if why := self._needless(name):
                self.journal.skip(name, why)
                continue
            with self.journal.step(name):
                self.journal.heed()
                acts[name]()
        self._finish()

    def _acts(self) -> dict[StepName, Callable[[], None]]:
        return {
            StepName.UNPACK: self._unpack,
            StepName.BACK_UP: self._back_up,
            StepName.START: self._start,
            StepName.HEALTH: self._wait_until_healthy,
            StepName.SWITCH: self._switch,
            StepName.STOP: self._stop_old,
            StepName.CLEAR: self._clear,
        }

    def _finish(self) -> None:
        """Do what is left when all steps are done."""

    def outcome(self) -> str:
        if self.kind is JobKind.CLEAR:
            return f"{self.environment.name} is empty."
        if self.kind is JobKind.STOP:
            return f"{self.environment.name} is stopped."
        if self.job.stays_stopped:
            return f"{self.package} is on {self.environment.name}, stopped."
        return f"{self.package} runs on {self.environment.name}."

    def fall_back(self) -> str:
        """Undo what was begun, bring the old one back where it was stopped, and say what runs now."""
        try:
            if self.led and not self.switched and not self.old_stopped:
                # The address had moved and the row could not be written: nobody must be led to what is ended next
                self.runtime.route(self.environment.host, self.old)
            said = again = ""
            if self.started and not self.switched:
                said = self.runtime.output(self.new)
                self.runtime.stop(self.new, settings.STOP_GRACE)
            if self.old and self.old_stopped and not self.switched:
                self._start_instance(self.old, cast(Package, self.before), self.old_options)
                self.runtime.route(self.environment.host, self.old)
                self.old_stopped, again = False, f"{self.before} runs again."
            # Last, because it may take minutes where the database is away or full
            if said:
                self.journal.note(StepName.HEALTH, said)
            if again:
                return again
            if not self.started and not self.before:
                return "Nothing was changed."
        except Exception:
            log.exception("%s (%s) could not be undone; the worker tries again.", self.job, self.job.pk)
            if self.old_stopped and not self.switched:
                return f"{self.before} could not be started again yet; the portal goes on trying."
        return what_runs(lasting(lambda: _live(self.job)))

    def _check(self) -> None:
        lasting(lambda: refuse_without_rights(self.job, self._needs()))
        lasting(lambda: settle(self.runtime, self.environment.pk, but=self.job.number))
        live = lasting(lambda: _live(self.job))
        state = EnvironmentState(live.state) if live else EnvironmentState.EMPTY
        try:
            refuse_senseless(self.kind, self.environment, state)
            if self.kind is JobKind.START and self.job.via == API:
                lasting(lambda: refuse_to_start_another(self.environment, self.job.number))
        except Refused as reason:
            raise Cancelled(str(reason)) from reason
        if self.job.stays_stopped and state is EnvironmentState.RUNNING:
            raise Cancelled(f"{self.environment.name} runs. Stop it first.")
        if live and live.is_running and live.instance is not None:
            self.old = Instance(self.environment.pk, live.instance)
            self.old_options = lasting(lambda: started_with(live))
        self.before = live.package if live else None
        self.package = self.job.package if self.kind is JobKind.TRANSPORT else self.before
        if self.package is None and self.needs_package:
            raise Cancelled("The package is not in the repository any more.")
        self.journal.save(
            package_name=str(self.package or ""), package_before=self.before, name_before=str(self.before or "")
        )
        if self.job.starts:
            lasting(self._settle_options)
            self._check_isolation()
        if self.kind is JobKind.TRANSPORT:
            self._check_content(cast(Package, self.package))

    def _settle_options(self) -> None:
        """Keep, as what this job starts with, the options that a roll back brought along or those of now."""
        given = used_by(self.job) if self.job.restores_options else None
        self.options = given or stored(self.environment).options
        try:
            refuse_without_values(self.package, self.options)
        except Refused as reason:
            raise Cancelled(str(reason)) from reason
        keep_for(self.job, self.options)

    def _needless(self, name: StepName) -> str | None:
        """Say why a step is not needed; None when it is."""
        if name is StepName.STOP and self.old is None:
            return "Nothing ran before."
        if name is StepName.BACK_UP and self.before is None:
            return "Nothing was on it before."
        if name is StepName.UNPACK and self.runtime.has_release(cast(Package, self.package).sha256):
            return "It is unpacked here already."
        return None

    def _needs(self) -> list[tuple[Environment, Permission]]:
        """List what whoever asked for it must be permitted when it begins."""
        return [(self.environment, Permission.TRANSPORT)]

    def _check_isolation(self) -> None:
        if not self.environment.is_production or settings.ACCEPT_WEAK_ISOLATION:
            return
        isolation = self.runtime.isolation()
        if not isolation.complete:
            raise Failed(f"This host can't keep packages apart, so it runs no production. {isolation.reason}")

    def _check_content(self, package: Package) -> None:
        if self.job.is_roll_back and self.runtime.has_release(package.sha256):
            # Its archive was checked when it was unpacked; the way back needs it no more
            return
        with open_archive(package) as archive:
            found = digest(archive)
        if found != package.sha256:
            raise Failed(f"The stored file of {package} is damaged. Upload the package again.")
        self.journal.note(StepName.CHECK, f"SHA-256 {found}")

    def _unpack(self) -> None:
        unpack(self.runtime, cast(Package, self.package))

    def _back_up(self) -> None:
        self._save_first(BackupKind.BEFORE_TRANSPORT, f"Before {self.package} came")

    def _save_first(self, kind: BackupKind, comment: str) -> None:
        """Take a backup of the data as they are, before the job changes them."""
        before = cast(Package, self.before)
        backup = lasting(lambda: make_row_for(self.job, kind, comment))
        taking = Taking(backup, self.runtime, self.journal, self.leaving)
        self.journal.note(StepName.BACK_UP, taking.all_at_once(str(before), before.version))

    def _start(self) -> None:
        package = cast(Package, self.package)
        unpack(self.runtime, package)
        self.started = True
        self._start_instance(self.new, package, self.options)

    def _start_instance(self, instance: Instance, package: Package, options: Options) -> None:
        self.runtime.start(spec_of(instance, package, self.environment.host, options))

    def _wait_until_healthy(self) -> None:
        package = cast(Package, self.package)
        path = self.options.health_path or package.contents.health_path
        patience = self.options.patience or settings.HEALTH_PATIENCE
        until, pause = time.monotonic() + patience, FIRST_PAUSE
        while True:
            left = until - time.monotonic()
            health = self.runtime.check(self.new, path, max(0.1, min(ANSWER_WITHIN, left)))
            if health.healthy:
                self.journal.note(StepName.HEALTH, f"{path} answered after {health.seconds * 1000:.0f} ms.")
                return
            status = self.runtime.status(self.new)
            if status.state is not InstanceState.RUNNING:
                raise Failed(f"{package} ended while it started: {status.ended or 'nothing says why'}.")
            if time.monotonic() > until:
                why = health.detail.strip().rstrip(".")
                raise Failed(f"{package} did not get healthy within {patience} seconds: {why}.")
            if self.leaving():
                raise Leaving
            self.journal.heed()
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _switch(self) -> None:
        """Lead the address to the new one and say so in the same moment: the row is the truth after a crash."""
        stops, meanwhile = not self.job.starts, ""

        def switch() -> None:
            nonlocal meanwhile
            with transaction.atomic():
                self.journal.decide()
                self._set_live(self.package, None if stops else self.new.number)
                if self.job.restores_options:
                    meanwhile = saved_since(self.environment, self.job.asked_at)
                    adopt(self.environment, asker_of(self.job), self.options)
                self.runtime.route(self.environment.host, None if stops else self.new)
                self.led = True

        lasting(switch)
        self.switched = True
        if meanwhile:
            said = f"{meanwhile} saved options after this was asked for. They were replaced by those of then."
            self.journal.note(StepName.SWITCH, said)

    def _stop_old(self) -> None:
        old = cast(Instance, self.old)
        if self.switched and self.kind is not JobKind.STOP:
            self._drain(old)
        self.old_stopped = True
        try:
            self.runtime.stop(old, settings.STOP_GRACE)
        except RuntimeFailure as failure:
            if self.kind is JobKind.STOP or not self.switched:
                raise
            # What runs is the new one already; the worker goes on trying to end the old one (reconciliation)
            self.journal.note(StepName.STOP, f"{failure} The portal goes on trying.")

    def _clear(self) -> None:
        """Remove the data, then say that nothing is there: cut off in between, it is cleared again."""
        before = cast(Package, self.before)

        def decide() -> None:
            with transaction.atomic():
                self.journal.decide()

        def write() -> None:
            with transaction.atomic():
                self.journal.hold()
                self._set_live(None, None)
                ProductionData.objects.filter(environment=self.environment).delete()
                Watch.objects.filter(environment=self.environment).update(counted_at=None)

        lasting(decide)
        self.runtime.clear(self.environment.pk)
        lasting(write)
        if not lasting(Live.objects.filter(package__sha256=before.sha256).exists):
            try:
                self.runtime.remove_release(before.sha256)
            except RuntimeFailure as failure:
                # Somebody just starts it elsewhere; the environment is empty all the same
                self.journal.note(StepName.CLEAR, str(failure))

    def _set_live(self, package: Package | None, instance: int | None) -> None:
        Live.objects.update_or_create(
            environment=self.environment,
            defaults={
                "state": self.job.leads_to,
                "package": package,
                "instance": instance,
                "since": timezone.now(),
                "trouble": "",
            },
        )

    def _drain(self, old: Instance) -> None:
        """Let the requests that are open on the old one finish, as long as they get for it."""
        until = time.monotonic() + settings.DRAIN_SECONDS
        while not self.runtime.drain(old, min(1.0, until - time.monotonic())):
            if self.leaving() or time.monotonic() > until:
                self.journal.note(StepName.STOP, "Some requests to the old version were still open and were cut.")
                return


def what_runs(live: Live | None) -> str:
    """Say in a sentence what is on an environment."""
    if live is None or live.state == EnvironmentState.EMPTY:
        return "Nothing is on it yet."
    return f"{live.package} keeps running." if live.is_running else f"{live.package} is on it, stopped."


def _live(job: Job) -> Live | None:
    return Live.objects.filter(environment=job.environment_id).select_related("package").first()
