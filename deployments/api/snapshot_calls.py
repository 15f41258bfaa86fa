"""Calls on backups, which this interface calls snapshots: list, take, download, restore."""

from typing import Any
from uuid import UUID

from accounts.actor import Actor
from deployments.api import links
from deployments.api.answers import KEY, TEXT, TIME, a_list, an_object, milliseconds
from deployments.api.app_calls import live_on
from deployments.api.calls import body_of, call, text_of
from deployments.backups.access import need_access
from deployments.backups.bundle import Choice
from deployments.backups.flows import request_backup, request_restore
from deployments.backups.models import COMMENT_LENGTH, Backup
from deployments.errors import AlreadyAsked
from deployments.states import ABOUT_DATA, BackupState, EnvironmentState
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.models import App, Environment
from environments.permissions import Permission

SNAPSHOT = an_object(
    SnapshotID=KEY,
    Comment=TEXT,
    State={"type": "string", "enum": [state.label for state in BackupState]},
    ExpiresOn=TIME,
    CreatedOn=TIME,
    ModelVersion=TEXT,
)
LINKS = an_object(FilesOnly=TEXT, DatabaseOnly=TEXT, DatabaseAndFiles=TEXT)
COMMENT = {"type": "object", "properties": {"Comment": {"type": ["string", "null"], "maxLength": COMMENT_LENGTH}}}


@call("The backups of an environment, the newest first", a_list(SNAPSHOT), permission=Permission.BACKUPS)
def snapshots(request: ApiRequest) -> list[dict[str, Any]]:
    return [_answer(backup) for backup in request.environment.backups.all()]


@call(
    "Take a backup; it is made in the background",
    SNAPSHOT,
    Code.ERROR_NOT_ALLOWED,
    permission=Permission.BACKUPS,
    changes=True,
    refused=Code.ERROR_NOT_ALLOWED,
    body=COMMENT,
    example={"Comment": "Before the migration"},
)
def create(request: ApiRequest) -> dict[str, Any]:
    body = body_of(request)
    comment = text_of(body, "Comment", COMMENT_LENGTH, required=False) if body.get("Comment") != "" else ""
    try:
        backup = request_backup(request.environment, Actor.of(request), comment)
    except AlreadyAsked as asked:
        under_way = Backup.objects.filter(job=asked.job).first()
        if under_way is None:
            raise
        backup = under_way
    return _answer(backup)


@call(
    "Links to download a backup, good for ten minutes",
    LINKS,
    Code.SNAPSHOT_NOT_FOUND,
    Code.SNAPSHOT_NOT_READY,
    permission=Permission.BACKUPS,
)
def snapshot(request: ApiRequest, snapshot: str) -> dict[str, Any]:
    backup = find(request.app, snapshot)
    if backup is None or backup.environment_id != request.environment.pk:
        raise ApiRefused(Code.SNAPSHOT_NOT_FOUND)
    if backup.is_unfinished:
        raise ApiRefused(Code.SNAPSHOT_NOT_READY)
    if not backup.is_completed:
        raise ApiRefused(Code.SNAPSHOT_NOT_FOUND, f"It was not completed. {backup.reason}".strip())
    need_access(backup, Actor.of(request))
    key = request.api_key
    return {
        "FilesOnly": links.to_backup(key, backup, Choice.FILES),
        "DatabaseOnly": links.to_backup(key, backup, Choice.DATABASE),
        "DatabaseAndFiles": links.to_backup(key, backup, Choice.FULL),
    }


@call(
    "Restore a backup, of this environment or another one of the app, into an environment that is stopped",
    SNAPSHOT,
    Code.NO_SUCH_SNAPSHOT,
    Code.ERROR_NOT_ALLOWED,
    permission=Permission.TRANSPORT,
    changes=True,
    refused=Code.ERROR_NOT_ALLOWED,
)
def restore(request: ApiRequest, snapshot: str) -> dict[str, Any]:
    backup = find(request.app, snapshot)
    if backup is None:
        raise ApiRefused(Code.NO_SUCH_SNAPSHOT)
    _need_stopped(request.environment)
    try:
        request_restore(request.environment, Actor.of(request), backup)
    except AlreadyAsked as asked:
        if asked.job.restores_id != backup.pk:
            raise ApiRefused(Code.ERROR_NOT_ALLOWED, str(asked)) from asked
    return _answer(backup)


def find(app: App, key: str) -> Backup | None:
    """Find a backup of any environment of the app, whose rows come with it."""
    try:
        found = Backup.objects.select_related("environment__app").filter(key=UUID(key), environment__app=app)
    except ValueError:
        return None
    return found.first()


def _need_stopped(environment: Environment) -> None:
    """Refuse where the app runs, or will when it is the restore's turn."""
    changing = environment.jobs.active().exclude(kind__in=ABOUT_DATA).order_by("-pk").first()
    live = live_on(environment)
    state = changing.leads_to if changing else EnvironmentState(live.state) if live else EnvironmentState.EMPTY
    if state is EnvironmentState.RUNNING:
        raise ApiRefused(Code.ERROR_NOT_ALLOWED, f"{environment.name} runs. Stop it before you restore a backup.")


def _answer(backup: Backup) -> dict[str, Any]:
    return {
        "SnapshotID": str(backup.key),
        "Comment": backup.comment,
        "State": BackupState(backup.state).label,
        "ExpiresOn": milliseconds(backup.expires_at),
        "CreatedOn": milliseconds(backup.created_at),
        "ModelVersion": backup.version,
    }
