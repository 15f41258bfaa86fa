"""What pages show of backups, read with few queries whatever their number."""

from dataclasses import dataclass, replace

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from deployments.backups.models import Backup
from deployments.models import Live
from deployments.monitoring.alert_models import Watch
from deployments.monitoring.alerts import BACKUP_WITHIN
from deployments.monitoring.unsaved import without_backup_since
from deployments.monitoring.usage import Usage, usage_of
from deployments.runtimes import get_runtime
from deployments.runtimes.base import DatabaseKind
from deployments.states import BackupState, EnvironmentState
from environments.access import AppRequest
from environments.models import Environment, NodePermission
from environments.permissions import Permission, allowed


@dataclass(frozen=True)
class Data:
    """What an environment's data are and take, in words for its team; `largest_file` in bytes."""

    usage: Usage | None
    database: str
    largest_file: int


# What a team knows an environment's database by; what is said of each kind anywhere else goes by these
DATABASES = {
    DatabaseKind.SQLITE: "SQLite, a file among the data",
    DatabaseKind.POSTGRESQL: "PostgreSQL, a database of its own on the portal’s server",
}


@dataclass(frozen=True)
class Place:
    """An environment of the app, with what is on it and whether the person may restore into it."""

    environment: Environment
    live: Live | None
    may: bool

    @property
    def is_empty(self) -> bool:
        return self.live is None or self.live.state == EnvironmentState.EMPTY


def data_of(environment: Environment) -> Data:
    """Give it as it was counted last, in one query."""
    runtime, watch = get_runtime(), Watch.objects.filter(environment=environment).first()
    usage = usage_of(environment.pk, watch, runtime)
    return Data(usage, DATABASES[usage.database] if usage else "", runtime.limits().largest_file)


def last_good(environment: Environment) -> Backup | None:
    """Give the last good backup of what the environment holds, in one query."""
    return environment.backups.good().first()


def trouble(environment: Environment, live: Live | None) -> str:
    """Say that the last night brought no good backup, and why if that is known; empty when all is well.

    The rule is that of the alert, which production has.
    """
    if live is None or live.state == EnvironmentState.EMPTY:
        return ""
    since = without_backup_since([environment]).get(environment.pk)
    if since is None or timezone.now() - since < BACKUP_WITHIN:
        return ""
    words = f"There has been no good backup of {environment.name} since {since:%-d %B, %H:%M} UTC."
    latest = environment.backups.first()
    if latest and latest.state == BackupState.FAILED:
        words += f" The latest one failed: {latest.reason}"
    return words


def places_of(request: AppRequest) -> list[Place]:
    """List all environments of the app, in one query."""
    own = NodePermission.objects.filter(membership=request.membership, environment=OuterRef("pk"))
    needed = (Permission.TRANSPORT, Permission.BACKUPS)
    granted = {f"may_{each}": Subquery(own.filter(permission=each).values("granted")[:1]) for each in needed}
    environments = request.app.environments.select_related("live__package").annotate(**granted)
    return [_place(request, environment, needed) for environment in environments]


def _place(request: AppRequest, environment: Environment, needed: tuple[Permission, ...]) -> Place:
    found = {each: getattr(environment, f"may_{each}") for each in needed}
    settings = {each: granted for each, granted in found.items() if granted is not None}
    standing = replace(request.standing, settings=settings)
    may = all(allowed(each, standing, environment.is_production) for each in needed)
    return Place(environment, getattr(environment, "live", None), may)
