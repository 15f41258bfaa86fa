"""Carries out what jobs do to an environment's data: back up, look through an upload, restore."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from deployments.backups import storing
from deployments.backups.access import guarding, lacks
from deployments.backups.bundle import PIECE, Bundle, Choice, Reader
from deployments.backups.fitting import misfit
from deployments.backups.models import Backup, ProductionData
from deployments.backups.taking import Taking
from deployments.backups.zips import as_tar
from deployments.endings import Cancelled, Failed
from deployments.execution import Execution, carry_out_as, what_runs
from deployments.journal import lasting
from deployments.models import Job, Live, Package
from deployments.runtimes.base import Instance, Part, Room, Runtime, RuntimeFailure
from deployments.states import CLOCK, BackupKind, Holds, JobKind, StepName
from environments.models import Environment
from environments.permissions import Permission

log = logging.getLogger(__name__)


def carry_out(job: Job, runtime: Runtime, leaving: Callable[[], bool] = lambda: False) -> None:
    """Carry out a claimed job of any kind to one of its ends; nothing that goes wrong on the way gets out of here."""
    kinds = {JobKind.BACKUP: BackingUp, JobKind.UPLOAD: TakingIn, JobKind.RESTORE: Restoring}
    execution = kinds.get(JobKind(job.kind), Execution)
    carry_out_as(execution(job, runtime, leaving))


class BackingUp(Execution):
    """Saves the data of an environment, whether its app runs or not."""

    nothing = "There is no backup."

    def __init__(self, job: Job, runtime: Runtime, leaving: Callable[[], bool]) -> None:
        super().__init__(job, runtime, leaving)
        self.taking: Taking | None = None

    def outcome(self) -> str:
        backup = self._taking.backup
        return f"Backup {backup.number} of {self.environment.name} is there."

    def fall_back(self) -> str:
        if self.taking and self.taking.backup.is_completed:
            # Only how the job ended could not be written down
            return "The backup is there."
        if self.taking:
            self.taking.clean_up()
        return self.nothing

    @property
    def _taking(self) -> Taking:
        if self.taking is None:
            backup = lasting(lambda: self.job.backups.select_related("environment__app").first())
            if backup is None:
                raise Cancelled("The backup that it was for is gone.")
            self.taking = Taking(backup, self.runtime, self.journal, self.leaving)
        return self.taking

    def _needs(self) -> list[tuple[Environment, Permission]]:
        return [] if self.job.via == CLOCK else [(self.environment, Permission.BACKUPS)]

    def _check(self) -> None:
        super()._check()
        self._taking.begin(*_named(self.package))

    def _acts(self) -> dict[StepName, Callable[[], None]]:
        return {
            StepName.DATABASE: lambda: self._save(StepName.DATABASE, Part.DATABASE),
            StepName.FILES: lambda: self._save(StepName.FILES, Part.FILES),
            StepName.VERIFY: self._verify,
        }

    def _save(self, step: StepName, part: Part, staged: int = 0) -> None:
        self.journal.note(step, self._taking.save(part, staged))

    def _verify(self) -> None:
        self.journal.note(StepName.VERIFY, self._taking.verify())
        self._taking.complete()


class TakingIn(BackingUp):
    """Unpacks what was uploaded aside, where it is looked through, and makes a backup of what is there then.

    So nothing hostile gets into a backup, and one that was uploaded is restored like any other.
    """

    needs_package = False
    nothing = "Nothing was kept of it."

    def outcome(self) -> str:
        backup = self._taking.backup
        return f"What was uploaded is backup {backup.number} of {self.environment.name} now. Restore it where you want."

    def _acts(self) -> dict[StepName, Callable[[], None]]:
        return {
            StepName.STAGE: self._stage,
            StepName.DATABASE: lambda: self._take(Part.DATABASE),
            StepName.FILES: lambda: self._take(Part.FILES),
        }

    def _stage(self) -> None:
        backup = self._taking.backup
        with storing.open_stored(str(backup.upload.name)) as upload, as_tar(upload) as archive:
            room = Room(settings.PACKAGE_MAX_UNPACKED_BYTES, settings.BACKUP_MAX_ENTRIES, settings.DISK_RESERVE_BYTES)
            found = self.runtime.stage(self.new, _heeding(archive, self._taking.heed), room=room)
        holds = Holds.FULL if found.database and found.files else Holds.DATABASE if found.database else Holds.FILES
        self.journal.note(StepName.STAGE, f"{holds.label}: {found.count:,} entries, {found.size:,} bytes")
        self._taking.keep(holds=holds)

    def _needless(self, name: StepName) -> str | None:
        missing = {StepName.DATABASE: Holds.FILES, StepName.FILES: Holds.DATABASE}
        return "Nothing of it was uploaded." if self._taking.backup.holds == missing.get(name) else None

    def _take(self, part: Part) -> None:
        self._save(StepName(part.value), part, self.job.number)

    def _finish(self) -> None:
        self.runtime.discard(self.new)
        # It was unpacked aside to be here at all
        self._taking.keep(verified_at=timezone.now())
        self._taking.complete()
        storing.remove([str(self._taking.backup.upload.name)])
        self._taking.keep(upload="")


class Restoring(Execution):
    """Gives an environment the data of a backup. Until the app is healthy with them, those before can come back."""

    def __init__(self, job: Job, runtime: Runtime, leaving: Callable[[], bool]) -> None:
        super().__init__(job, runtime, leaving)
        self.data = Instance(self.environment.pk, job.number)
        self.data_switched = self.kept = False

    def outcome(self) -> str:
        words = f"{self.environment.name} has the data of {self._backup.title} now."
        return f"{words} {self.package} runs with them." if self.old else f"{words} {self.package} is stopped."

    def fall_back(self) -> str:
        """Put the data before in place again and start what ran; where that fails, reconciliation does both."""
        if self.kept:
            return f"The data of {self._backup.title} are in place."
        try:
            said = ""
            if self.started and self.old:
                said = self.runtime.output(self.new)
                self.runtime.stop(self.old, settings.STOP_GRACE)
            if self.data_switched:
                self.runtime.swap_back(self.data)
            self.runtime.discard(self.data)
            if self.old and self.old_stopped:
                self._start_instance(self.old, self._package, self.old_options)
                self.runtime.route(self.environment.host, self.old)
            # Last, because it may take minutes where the database is away or full
            if said:
                self.journal.note(StepName.HEALTH, said)
        except Exception:
            log.exception("%s (%s) could not be undone; the worker tries again.", self.job, self.job.pk)
        live = lasting(lambda: Live.objects.filter(environment=self.environment).select_related("package").first())
        return f"The data are as they were. {what_runs(live)}"

    @property
    def _backup(self) -> Backup:
        if self.job.restores is None or not self.job.restores.is_completed:
            raise Cancelled("The backup is gone, or was never completed.")
        return self.job.restores

    @property
    def _package(self) -> Package:
        if self.package is None:
            raise Cancelled(f"Nothing is on {self.environment.name}.")
        return self.package

    def _needs(self) -> list[tuple[Environment, Permission]]:
        """SECURITY: asked again when it begins; what comes from production is guarded as it is there."""
        here = [(self.environment, Permission.TRANSPORT), (self.environment, Permission.BACKUPS)]
        return here + [(each, Permission.BACKUPS) for each in (self._backup.environment, *guarding(self._backup))]

    def _check(self) -> None:
        asker = self.job.asked_by
        if asker and (lack := lasting(lambda: lacks(self._backup, asker))):
            raise Cancelled(f"No longer permitted: {lack}")
        super()._check()
        backup = self._backup
        if reason := misfit(backup, self.environment, self.runtime):
            raise Cancelled(reason)
        if self.old:
            self.new, self.options = self.old, self.old_options
        if backup.version and self.before and backup.version != self.before.version:
            words = f"The backup was made with {backup.package_name}; {self.before} is on {self.environment.name}."
            self.journal.note(StepName.CHECK, words)

    def _acts(self) -> dict[StepName, Callable[[], None]]:
        return {
            StepName.STOP: self._stop,
            StepName.BACK_UP: self._back_up,
            StepName.STAGE: self._stage,
            StepName.SWAP: self._swap,
            StepName.START: self._start,
            StepName.HEALTH: self._wait_until_healthy,
        }

    def _needless(self, name: StepName) -> str | None:
        if self.old is None and name in (StepName.STOP, StepName.START, StepName.HEALTH):
            return f"{self.environment.name} is stopped, and stays so."
        return None

    def _stop(self) -> None:
        assert self.old is not None  # noqa: S101 - else the step is not needed
        self.runtime.route(self.environment.host, None)
        self.old_stopped = True
        self.runtime.stop(self.old, settings.STOP_GRACE)

    def _back_up(self) -> None:
        self._save_first(BackupKind.SAFETY, f"Before {self._backup.title} was restored")

    def _stage(self) -> None:
        backup = self._backup
        with self._reading(Bundle(backup, Choice.FULL)) as archive:
            found = self.runtime.stage(
                self.data, archive, onto=backup.holds != Holds.FULL, room=Room(reserve=settings.DISK_RESERVE_BYTES)
            )
        self.journal.note(StepName.STAGE, f"{found.count:,} entries, {found.size:,} bytes")

    @contextmanager
    def _reading(self, bundle: Bundle) -> Iterator[BinaryIO]:
        taking = Taking(self._backup, self.runtime, self.journal, self.leaving)
        try:
            with bundle.open() as archive:
                yield _heeding(archive, taking.heed)
        except (OSError, EOFError) as error:
            raise Failed(f"What is stored of {self._backup.title} can't be read.") from error

    def _swap(self) -> None:
        self.data_switched = True
        self.runtime.swap(self.data)

    def _start(self) -> None:
        assert self.old is not None  # noqa: S101 - else the step is not needed
        self.started = True
        self._start_instance(self.old, self._package, self.old_options)

    def _finish(self) -> None:
        """From here on the data are those of the backup, whatever happens."""

        def keep() -> None:
            with transaction.atomic():
                self.journal.decide()
                _note_origin(self.environment, self._backup)
                if self.old:
                    self.runtime.route(self.environment.host, self.old)

        lasting(keep)
        self.kept = True
        try:
            self.runtime.discard(self.data)
        except RuntimeFailure as failure:
            log.warning("What lies aside of %s is removed later: %s", self.environment, failure)


def _heeding(stream: BinaryIO, heed: Callable[[], None]) -> BinaryIO:
    """Give a stream that is given up where the job is cancelled or the worker asked to end."""

    def pieces() -> Iterator[bytes]:
        while piece := stream.read(PIECE):
            heed()
            yield piece

    return cast(BinaryIO, Reader(pieces()))


def _named(package: Package | None) -> tuple[str, str]:
    return (str(package), package.version) if package else ("", "")


def _note_origin(environment: Environment, backup: Backup) -> None:
    """Mark an environment that has data of production now; a part of others leaves the mark, all of them take it."""
    rows = ProductionData.objects.filter(environment=environment)
    if environment.is_production:
        rows.delete()
    elif backup.from_production:
        values = {"production": backup.production, "since": timezone.now()}
        ProductionData.objects.update_or_create(environment=environment, defaults=values)
    elif backup.holds == Holds.FULL:
        rows.delete()
