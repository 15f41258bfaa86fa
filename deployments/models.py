"""Packages, what runs where, and the jobs that change it, step by step."""

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import User
from deployments.packages import Manifest
from deployments.states import ACTIVE, EnvironmentState, JobKind, JobState, StepName, StepState, title_of
from environments.models import App, Environment

NAME_LENGTH = 200  # of a package's name and of its version (manifests.MAX_TEXT)
TITLE_LENGTH = 2 * NAME_LENGTH + 1


def package_path(package: "Package", filename: str) -> str:
    """Where a package lies in the storage; made by the server, nothing of it comes from the uploader."""
    return f"packages/{package.app.project_id}/{package.key}.zip"


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
            self.expires_at = timezone.now() + timedelta(days=settings.PACKAGE_KEPT_DAYS)
        super().save(*args, **kwargs)


class JobQuerySet(models.QuerySet["Job"]):
    def active(self) -> "JobQuerySet":
        return self.filter(state__in=ACTIVE)


class Job(models.Model):
    """Something that changes what runs on an environment, asked for by a person, carried out by a worker.

    The row is the truth: state, steps, worker and heartbeat. One table for all kinds, so that one
    constraint keeps an environment from having two jobs running. A deployment is a job of kind transport.
    """

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="jobs")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=JobKind.choices)
    state = models.CharField(max_length=12, choices=JobState.choices, default=JobState.QUEUED)
    package = models.ForeignKey(Package, models.SET_NULL, null=True, related_name="jobs")
    package_name = models.CharField(max_length=TITLE_LENGTH, blank=True)
    package_before = models.ForeignKey(Package, models.SET_NULL, null=True, related_name="+")
    name_before = models.CharField(max_length=TITLE_LENGTH, blank=True)
    note = models.TextField(blank=True)
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    asker_name = models.CharField(max_length=150)
    via = models.CharField(max_length=20)
    address = models.CharField(max_length=45, blank=True)
    window = models.UUIDField(null=True)
    asked_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
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
        return f"{self.get_kind_display()} {self.package_name}".strip()

    @property
    def title(self) -> str:
        """What the job does, in words: "Transport calc 1.2.0 to Production"."""
        if self.kind == JobKind.TRANSPORT:
            return f"{self} to {self.environment.name}"
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
        return title_of(JobKind(self.job.kind), StepName(self.name))


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
