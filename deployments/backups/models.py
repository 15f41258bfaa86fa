"""Backups of environments' data, and which environments hold data that come from production."""

import uuid

from django.db import models
from django.utils import timezone

from accounts.models import User
from deployments.runtimes.base import DatabaseKind
from deployments.states import BackupKind, BackupState, Holds
from environments.models import Environment

TEXT_LENGTH = 200  # of a package's version, as deployments.models.NAME_LENGTH
COMMENT_LENGTH = 300
# Under these names a database is stored and lies in what is given to download
DATABASE_NAMES = {DatabaseKind.SQLITE: "database.sqlite3", DatabaseKind.POSTGRESQL: "database.dump"}


def _place(backup: "Backup", name: str) -> str:
    return f"backups/{backup.environment.app.project_id}/{backup.key}/{name}"


def database_path(backup: "Backup", filename: str) -> str:
    """Where the database lies in the storage; `filename` is one of DATABASE_NAMES.

    Made by the server, nothing of it comes from the app or a person.
    """
    known = filename in DATABASE_NAMES.values()
    return _place(backup, filename if known else DATABASE_NAMES[DatabaseKind.SQLITE])


def files_path(backup: "Backup", filename: str) -> str:
    return _place(backup, "files.tar")


def upload_path(backup: "Backup", filename: str) -> str:
    return _place(backup, "upload")


class BackupQuerySet(models.QuerySet["Backup"]):
    def completed(self) -> "BackupQuerySet":
        return self.filter(state=BackupState.COMPLETED)

    def good(self) -> "BackupQuerySet":
        """Keep those that saved what the environment held; what somebody uploaded is no backup of that."""
        return self.completed().exclude(kind=BackupKind.UPLOADED)

    def unfinished(self) -> "BackupQuerySet":
        return self.filter(state__in=(BackupState.QUEUED, BackupState.RUNNING))


class Backup(models.Model):
    """A snapshot of an environment's data, made by `job`: its database and its files, stored apart.

    `package_name` and `version` are what was on the environment then. Sizes in bytes. Data that come from production
    keep that mark wherever they go (`from_production`), `production` being the environment they come from. `upload`
    is what somebody uploaded, until it was looked through. `verified_at`: when it was last restored aside.
    """

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="backups")
    number = models.PositiveIntegerField()
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    job = models.ForeignKey("deployments.Job", models.SET_NULL, null=True, related_name="backups")
    kind = models.CharField(max_length=12, choices=BackupKind.choices)
    state = models.CharField(max_length=12, choices=BackupState.choices, default=BackupState.QUEUED)
    reason = models.TextField(blank=True)
    comment = models.CharField(max_length=COMMENT_LENGTH, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    creator_name = models.CharField(max_length=150)
    completed_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    holds = models.CharField(max_length=12, choices=Holds.choices, default=Holds.FULL)
    package_name = models.CharField(max_length=2 * TEXT_LENGTH + 1, blank=True)
    version = models.CharField(max_length=TEXT_LENGTH, blank=True)
    database = models.FileField(upload_to=database_path, blank=True, max_length=200)
    database_size = models.BigIntegerField(default=0)
    database_sha256 = models.CharField(max_length=64, blank=True)
    files = models.FileField(upload_to=files_path, blank=True, max_length=200)
    files_size = models.BigIntegerField(default=0)
    files_sha256 = models.CharField(max_length=64, blank=True)
    upload = models.FileField(upload_to=upload_path, blank=True, max_length=200)
    from_production = models.BooleanField(default=False)
    production = models.ForeignKey(Environment, models.SET_NULL, null=True, related_name="+")

    objects = BackupQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint("environment", "number", name="backup_number_once_per_environment")]
        indexes = [models.Index("environment", "state", name="backups_by_state")]

    def __str__(self) -> str:
        return f"Backup {self.number}"

    @property
    def is_completed(self) -> bool:
        return self.state == BackupState.COMPLETED

    @property
    def is_unfinished(self) -> bool:
        return self.state in (BackupState.QUEUED, BackupState.RUNNING)

    @property
    def size(self) -> int:
        return self.database_size + self.files_size

    @property
    def database_kind(self) -> DatabaseKind | None:
        """What its database is, which the name says under which it is stored; None where it has none."""
        if not self.database:
            return None
        return DatabaseKind.POSTGRESQL if str(self.database.name).endswith(".dump") else DatabaseKind.SQLITE

    @property
    def title(self) -> str:
        """Name it with its environment: "backup 12 of Production"."""
        return f"backup {self.number} of {self.environment.name}"

    @property
    def stored(self) -> list[str]:
        """The names under which something of it lies in the storage."""
        return [str(file.name) for file in (self.database, self.files, self.upload) if file.name]


class ProductionData(models.Model):
    """Marks an environment that is not production but holds data restored from there; gone when they are.

    SECURITY: production data keep their protection wherever they go: backups of this environment are guarded as
    those of `production` are (`deployments.backups.access`).
    """

    environment = models.OneToOneField(Environment, models.CASCADE, primary_key=True, related_name="production_data")
    production = models.ForeignKey(Environment, models.SET_NULL, null=True, related_name="+")
    since = models.DateTimeField(default=timezone.now)
