"""Brings an environment to where backups make sense, and carries jobs out on the spot."""

from django.core.files.storage import default_storage

from accounts.actor import Actor
from accounts.models import User
from deployments.backups.flows import request_backup, request_restore
from deployments.flows import request_job
from deployments.models import Backup, Job
from deployments.states import JobKind
from deployments.worker import Worker
from environments.models import Environment
from environments.permissions import Permission
from tests.cast import Cast
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package


def work(runtime: FakeRuntime, job: Job | None = None) -> Job | None:
    """Let a worker carry out what waits, one job."""
    Worker(runtime, "tester").run_once()
    if job:
        job.refresh_from_db()
    return job


def on(
    cast: Cast, runtime: FakeRuntime, environment: Environment, version: str = "1.0.0", by: User | None = None
) -> None:
    """Transport a package there, without a backup before."""
    actor = actor_with_window(cast.alice) if environment.is_production else Actor(by or cast.alice)
    job = request_job(JobKind.TRANSPORT, environment, actor, make_package(cast.app, cast.alice, version))
    Job.objects.filter(pk=job.pk).update(backs_up=False)
    work(runtime, job)
    assert job.state == "done", job.result


def backed_up(cast: Cast, runtime: FakeRuntime, environment: Environment, by: Actor | None = None) -> Backup:
    """Take a backup there."""
    by = by or (actor_with_window(cast.alice) if environment.is_production else Actor(cast.alice))
    backup = request_backup(environment, by, "by hand")
    work(runtime, backup.job)
    backup.refresh_from_db()
    assert backup.state == "completed", backup.reason
    return backup


def restored(runtime: FakeRuntime, environment: Environment, by: Actor, backup: Backup, first: bool = True) -> Job:
    job = request_restore(environment, by, backup, first)
    work(runtime, job)
    return job


def may_all(cast: Cast, user: User, *environments: Environment) -> None:
    for environment in environments:
        cast.grant(user, environment, Permission.TRANSPORT, Permission.BACKUPS)


def folders_of(cast: Cast) -> list[str]:
    """The folders in the storage of the app's backups, one for each that has anything there."""
    top = f"backups/{cast.app.project_id}"
    return default_storage.listdir(top)[0] if default_storage.exists(top) else []


def stored_of(cast: Cast) -> list[str]:
    """What lies in the storage of the app's backups."""
    top = f"backups/{cast.app.project_id}"
    folders = folders_of(cast)
    return sorted(f"{folder}/{name}" for folder in folders for name in default_storage.listdir(f"{top}/{folder}")[1])
