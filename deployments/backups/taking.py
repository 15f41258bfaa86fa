"""Takes one backup: saves the database and the files, restores them aside to be sure, and keeps the row true."""

import contextlib
import time
from collections.abc import Callable

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import User
from deployments.backups import storing
from deployments.backups.access import mark_of
from deployments.backups.bundle import Bundle, Choice
from deployments.backups.models import DATABASE_NAMES, Backup, database_path, files_path
from deployments.backups.retention import kept_until
from deployments.endings import Leaving
from deployments.errors import NoRoom
from deployments.journal import Journal, lasting
from deployments.models import Job
from deployments.nights import night_of
from deployments.repository import refuse_without_room
from deployments.runtimes.base import Instance, NoRoomLeft, Part, Room, Runtime, RuntimeFailure
from deployments.states import BackupKind, BackupState
from environments.models import Environment

HEED_EVERY = 0.5  # seconds
UNVERIFIED = "There is not enough room to restore it aside, so it was not verified."


def make_row(environment: Environment, kind: BackupKind, creator: User | None, name: str, comment: str = "") -> Backup:
    """Add a backup that is still to be made. Call it in a transaction; the environment's row is locked for it."""
    locked = Environment.objects.select_for_update(of=("self",), no_key=True).select_related("app")
    environment = locked.get(pk=environment.pk)
    number = (environment.backups.aggregate(last=Max("number"))["last"] or 0) + 1
    now = timezone.now()
    from_production, production = mark_of(environment)
    return Backup.objects.create(
        environment=environment,
        number=number,
        kind=kind,
        comment=comment,
        created_at=now,
        created_by=creator,
        creator_name=name,
        expires_at=kept_until(kind, now, night_of(now)),
        from_production=from_production,
        production=production,
    )


def make_row_for(job: Job, kind: BackupKind, comment: str) -> Backup:
    """Add the backup that a job makes before it changes something."""
    with transaction.atomic():
        backup = make_row(job.environment, kind, job.asked_by, job.asker_name, comment)
        backup.job = job
        backup.save(update_fields=["job"])
    return backup


class Taking:
    """One backup on its way; `leaving` says whether the worker is asked to end."""

    def __init__(self, backup: Backup, runtime: Runtime, journal: Journal, leaving: Callable[[], bool]) -> None:
        self.backup = backup
        self.runtime = runtime
        self.journal = journal
        self.leaving = leaving
        self._heeded = 0.0
        self.instance = Instance(backup.environment_id, journal.job.number)

    def begin(self, package_name: str, version: str) -> None:
        self.keep(state=BackupState.RUNNING, package_name=package_name, version=version)

    def save(self, part: Part, staged: int = 0) -> str:
        """Save a part of the data and give what there is to say of it; the row knows the place before it is filled."""
        name = self._place(part)
        self.keep(**{part.value: name})
        with self.runtime.take(self.instance.environment, part, staged) as stream:
            kept = storing.store(name, stream, self.heed)
        if not kept.size:
            storing.remove([kept.name])
            self.keep(**{part.value: ""})
            return "There is none."
        values = {part.value: kept.name, f"{part}_size": kept.size, f"{part}_sha256": kept.sha256}
        self.keep(**values)
        return f"{kept.size:,} bytes, SHA-256 {kept.sha256}"

    def _place(self, part: Part) -> str:
        if part is Part.FILES:
            return files_path(self.backup, "")
        return database_path(self.backup, DATABASE_NAMES[self.runtime.database(self.instance.environment)])

    def verify(self) -> str:
        """Restore the backup aside and look through it; gives what there is to say of that."""
        try:
            refuse_without_room(self.backup.size)
            with Bundle(self.backup, Choice.FULL).open() as archive:
                self.runtime.stage(self.instance, archive, room=Room(reserve=settings.DISK_RESERVE_BYTES))
        except (NoRoom, NoRoomLeft):
            # A full disk is when a backup may be wanted most
            return UNVERIFIED
        self.runtime.discard(self.instance)
        self.keep(verified_at=timezone.now())
        return "It can be restored."

    def complete(self) -> None:
        self.keep(state=BackupState.COMPLETED, completed_at=timezone.now())

    def all_at_once(self, package_name: str, version: str) -> str:
        """Take the whole backup in one step of a job; gives what there is to say of it."""
        self.begin(package_name, version)
        try:
            said = [f"The {part}: {self.save(part)}" for part in Part]
            said.append(self.verify())
        except BaseException:
            self.clean_up()
            raise
        self.complete()
        return "\n".join([f"Backup {self.backup.number}", *said])

    def clean_up(self) -> None:
        """Leave nothing of a backup that did not come about; its row says why once the job has ended."""
        storing.remove(self.backup.stored)
        with contextlib.suppress(RuntimeFailure):
            self.runtime.discard(self.instance)

    def heed(self) -> None:
        """Raise where the job was cancelled or the worker is asked to end; asks the database now and then only."""
        if time.monotonic() < self._heeded + HEED_EVERY:
            return
        self._heeded = time.monotonic()
        if self.leaving():
            raise Leaving
        self.journal.heed()

    def keep(self, **values: object) -> None:
        """Keep values of the row, while the job still is this worker's."""

        def write() -> None:
            with transaction.atomic():
                self.journal.hold()
                Backup.objects.filter(pk=self.backup.pk).update(**values)

        lasting(write)
        for name, value in values.items():
            setattr(self.backup, name, value)


def remove_unfinished() -> None:
    """Remove what is stored of backups that failed, and uploads that a backup was made of: nobody can use either."""
    for backup in Backup.objects.filter(state=BackupState.FAILED).exclude(database="", files="", upload="")[:100]:
        storing.remove(backup.stored)
        Backup.objects.filter(pk=backup.pk).update(database="", files="", upload="")
    for backup in Backup.objects.completed().exclude(upload="")[:100]:
        storing.remove([str(backup.upload.name)])
        Backup.objects.filter(pk=backup.pk).update(upload="")
