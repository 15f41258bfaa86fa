"""What a restored database says that is not true any more: what was under way, and who was signed in."""

from dataclasses import dataclass
from datetime import datetime

from django.core.files.storage import default_storage
from django.utils import timezone

from accounts.activity import record
from accounts.acts import Act
from accounts.models import Interrupted, MailCode, ProductionWindow, Session
from deployments.execution import what_runs
from deployments.journal import end
from deployments.models import Job, Live, Worker
from deployments.states import EnvironmentState, JobState
from portal.management.safekeeping.backup import operator

WAITED = "It waited when the backup was taken from which the portal was restored ({taken_at}). Ask for it again."
WAS_UNDER_WAY = "It was under way when the backup was taken from which the portal was restored ({taken_at}). {now}"


@dataclass(frozen=True)
class Settled:
    """`running` are the environments that start again with the portal, `without_package` those that can't."""

    cancelled: int
    interrupted: int
    running: list[str]
    without_package: list[str]


def settle(taken_at: datetime) -> Settled:
    """Cancel what waited, mark what was under way, sign everybody out, and record it.

    SECURITY: sessions and windows may have been ended since the backup was taken, for cause; they don't come back.
    A job was asked for in another situation; nobody expects it to be carried out now.
    """
    at = f"{taken_at:%-d %B %Y, %H:%M} UTC"
    active = list(Job.objects.active().select_related("environment__app", "asked_by").order_by("pk"))
    by = operator()
    for job in active:
        if job.state == JobState.QUEUED:
            end(job, JobState.CANCELLED, WAITED.format(taken_at=at), by)
        else:
            live = Live.objects.filter(environment=job.environment_id).select_related("package").first()
            end(job, JobState.INTERRUPTED, WAS_UNDER_WAY.format(taken_at=at, now=what_runs(live)), by)
    Worker.objects.all().delete()
    Session.objects.all().delete()
    Interrupted.objects.all().delete()
    MailCode.objects.all().delete()
    open_windows = ProductionWindow.objects.filter(ended_at=None)
    open_windows.update(ended_at=timezone.now(), ended_why=ProductionWindow.End.SIGNED_OUT)
    record(Act.PORTAL_RESTORED, by, at)
    waiting = sum(job.state == JobState.CANCELLED for job in active)
    return Settled(waiting, len(active) - waiting, *_what_runs())


def _what_runs() -> tuple[list[str], list[str]]:
    running: list[str] = []
    without: list[str] = []
    lives = Live.objects.exclude(state=EnvironmentState.EMPTY).select_related("environment__app", "package")
    for live in lives.order_by("environment__app__name", "environment__order"):
        name = f"{live.environment.app} {live.environment.name}"
        if live.package and not default_storage.exists(str(live.package.file.name)):
            without.append(name)
        elif live.is_running:
            running.append(name)
    return running, without
