"""Packages, what runs where, and the jobs that change it, step by step."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import User
from accounts.secrets import EncryptedText
from deployments.packages import Manifest
from deployments.states import (
    ACTIVE,
    STARTS,
    EnvironmentState,
    JobKind,
    JobState,
    RunState,
    StepName,
    StepState,
    leads_to,
    title_of,
)
from environments.models import ApiKey, App, Environment

NAME_LENGTH = 200  # of a package's name and of its version (manifests.MAX_TEXT)
TITLE_LENGTH = 2 * NAME_LENGTH + 1


_OF_DATA = {
    JobKind.BACKUP: "Back up the data",
    JobKind.RESTORE: "Restore a backup",
    JobKind.UPLOAD: "Check uploaded data",
}


def package_path(package: "Package", filename: str) -> str:
    """Where a package lies in the storage; made by the server, nothing of it comes from the uploader."""
    return f"packages/{package.app.project_id}/{package.key}.zip"


def expiry_from(now: datetime) -> datetime:
    """Say when a package that comes in now expires, unless something keeps it."""
    return now + timedelta(days=settings.PACKAGE_KEPT_DAYS)


class Package(models.Model):
    """A deployment package in an app's repository. `manifest` is what its archive says of itself."""

    app = models.ForeignKey(App, models.CASCADE, related_name="packages")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=NAME_LENGTH)
    version = models.CharField(max_length=NAME_LENGTH)
    description = models.TextField(blank=True)
    file = models.FileField(upload_to=package_path)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    manifest = models.JSONField()
    uploaded_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    uploader_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint("app", "sha256", name="package_once_per_app")]

    was_there = False  # set on what an upload found to be in the repository already

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def contents(self) -> Manifest:
        return Manifest.from_dict(self.manifest)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.expires_at is None:
            self.expires_at = expiry_from(timezone.now())
        super().save(*args, **kwargs)


class JobQuerySet(models.QuerySet["Job"]):
    def active(self) -> "JobQuerySet":
        return self.filter(state__in=ACTIVE)


class Job(models.Model):
    """Something that changes what runs on an environment, asked for by a person, carried out by a worker.

    The row is the truth: state, steps, worker and heartbeat. One table for all kinds, so that one
    constraint keeps an environment from having two jobs running. A deployment is a job of kind transport; a roll
    back is one that goes back to what another job brought (`rolls_back`), with the options of then
    (`restores_options`) or as they are. It can be cancelled until `decided_at`: from then on it is carried through.
    A transport by the Deploy API leaves its package stopped (`stays_stopped`): another call starts it.
    A transport or a restore with `backs_up` saves the environment's data first; `restores` is the backup that a
    restore brings.
    """

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="jobs")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=JobKind.choices)
    state = models.CharField(max_length=12, choices=JobState.choices, default=JobState.QUEUED)
    package = models.ForeignKey(Package, models.SET_NULL, null=True, related_name="jobs")
    package_name = models.CharField(max_length=TITLE_LENGTH, blank=True)
    package_before = models.ForeignKey(Package, models.SET_NULL, null=True, related_name="+")
    name_before = models.CharField(max_length=TITLE_LENGTH, blank=True)
    rolls_back = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+")
    restores_options = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    asker_name = models.CharField(max_length=150)
    via = models.CharField(max_length=20)
    address = models.CharField(max_length=45, blank=True)
    window = models.UUIDField(null=True)
    api_key = models.ForeignKey(ApiKey, models.SET_NULL, null=True, related_name="+")
    key_name = models.CharField(max_length=80, blank=True)
    stays_stopped = models.BooleanField(default=False)
    backs_up = models.BooleanField(default=False)
    restores = models.ForeignKey("deployments.Backup", models.SET_NULL, null=True, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    canceller_name = models.CharField(max_length=150, blank=True)
    result = models.TextField(blank=True)
    worker = models.CharField(max_length=100, blank=True)
    heartbeat = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint("environment", "number", name="job_number_once_per_environment"),
            models.UniqueConstraint(
                "environment", condition=Q(state="running"), name="one_running_job_per_environment"
            ),
            models.UniqueConstraint(
                "environment", "kind", Coalesce("package", 0), condition=Q(state="queued"), name="waiting_once"
            ),
        ]
        indexes = [models.Index("state", "id", name="jobs_to_claim", condition=Q(state__in=("queued", "running")))]

    def __str__(self) -> str:
        if self.kind in _OF_DATA:
            return _OF_DATA[JobKind(self.kind)]
        verb = "Roll back to" if self.is_roll_back else self.get_kind_display()
        return f"{verb} {self.package_name}".strip()

    @property
    def is_roll_back(self) -> bool:
        return self.rolls_back_id is not None

    @property
    def starts(self) -> bool:
        return self.kind in STARTS and not self.stays_stopped

    @property
    def leads_to(self) -> EnvironmentState:
        """What the environment is after it, if it goes well."""
        return EnvironmentState.STOPPED if self.stays_stopped else leads_to(JobKind(self.kind))

    @property
    def may_be_cancelled(self) -> bool:
        """Whether it still changes nothing when it is given up."""
        return self.is_active and not self.decided_at and not self.canceller_name

    @property
    def title(self) -> str:
        """What the job does, in words: "Transport calc 1.2.0 to Production"."""
        if self.is_roll_back:
            return f"Roll back {self.environment.name} to {self.package_name}"
        if self.kind == JobKind.TRANSPORT:
            return f"{self} to {self.environment.name}"
        if self.kind == JobKind.UPLOAD:
            return f"Check the data uploaded to {self.environment.name}"
        return f"{self.get_kind_display()} {self.environment.name}"

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def duration(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.started_at and self.ended_at else None


class Step(models.Model):
    """One step of a job with its output and times."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="steps")
    order = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=12, choices=StepName.choices)
    state = models.CharField(max_length=12, choices=StepState.choices, default=StepState.WAITING)
    output = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["order"]
        constraints = [models.UniqueConstraint("job", "order", name="step_once_per_job")]

    @property
    def title(self) -> str:
        return title_of(JobKind(self.job.kind), StepName(self.name), self.job.stays_stopped)


class Live(models.Model):
    """What is on an environment now; `instance` is the number of the job that started what runs."""

    environment = models.OneToOneField(Environment, models.CASCADE, primary_key=True, related_name="live")
    state = models.CharField(max_length=12, choices=EnvironmentState.choices, default=EnvironmentState.EMPTY)
    package = models.ForeignKey(Package, models.PROTECT, null=True, related_name="live_on")
    instance = models.PositiveIntegerField(null=True)
    since = models.DateTimeField(default=timezone.now)
    trouble = models.CharField(max_length=300, blank=True)

    @property
    def is_running(self) -> bool:
        return self.state == EnvironmentState.RUNNING


class Worker(models.Model):
    """A worker process and when it last gave a sign of life."""

    name = models.CharField(max_length=100, primary_key=True)
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat = models.DateTimeField(default=timezone.now)


class EnvironmentOptions(models.Model):
    """The options of an environment (`deployments.options.Options`); without a row all is as the package says."""

    environment = models.OneToOneField(Environment, models.CASCADE, primary_key=True, related_name="options")
    document = EncryptedText()
    revision = models.PositiveIntegerField(default=1)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.CharField(max_length=150)


class JobOptions(models.Model):
    """The options that a job started something with, as they were then; kept apart, since lists don't need them."""

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="options")
    document = EncryptedText()


class EventRun(models.Model):
    """One run of a scheduled event at the moment it was due, or the reason why there was none."""

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="event_runs")
    event = models.CharField(max_length=NAME_LENGTH)
    due_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=RunState.choices, default=RunState.RUNNING)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=300, blank=True)
    output = models.TextField(blank=True)
    worker = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["-due_at"]
        constraints = [
            models.UniqueConstraint("environment", "event", "due_at", name="event_once_when_due"),
            models.UniqueConstraint(
                "environment", "event", condition=Q(state="running"), name="one_run_of_an_event_at_a_time"
            ),
        ]


class EventClock(models.Model):
    """Until when scheduled events were looked after; one row for all workers."""

    looked_at = models.DateTimeField()


class Nightly(models.Model):
    """Work that is done once a night, by whichever worker is first; `busy_until` is how long that one has for it."""

    name = models.CharField(max_length=40, primary_key=True)
    night = models.DateField()
    busy_until = models.DateTimeField(default=timezone.now)


# They name the models above, by name
from deployments.backups.models import Backup, ProductionData  # noqa: E402
from deployments.monitoring.alert_models import Alert, Watch  # noqa: E402
from deployments.monitoring.models import Measurement, Sampling  # noqa: E402

__all__ = [
    "Alert",
    "Backup",
    "EnvironmentOptions",
    "EventClock",
    "EventRun",
    "Job",
    "JobOptions",
    "Live",
    "Measurement",
    "Nightly",
    "Package",
    "ProductionData",
    "Sampling",
    "Step",
    "Watch",
    "Worker",
]
