"""Asking for backups and restores, and taking in uploaded data: rows and activity, no processes.

Each is one transaction with its activity record, and checks once more what the page's guard has checked.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.files import File
from django.db import transaction
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from deployments.backups import storing
from deployments.backups.access import mark_of, need_access
from deployments.backups.bundle import LARGEST_MANIFEST, SIGNS, Choice, key_in
from deployments.backups.fitting import misfit, misfit_of_upload
from deployments.backups.models import COMMENT_LENGTH, Backup, upload_path
from deployments.backups.taking import make_row
from deployments.errors import NoRoom, Refused
from deployments.flows import Wish, put_in_queue
from deployments.models import Job
from deployments.repository import refuse_without_room
from deployments.rights import permitted
from deployments.states import CLOCK, BackupKind, JobKind
from environments.access import may
from environments.authority import NotPermitted, need_window_on
from environments.models import App, Environment
from environments.permissions import Permission

__all__ = ["note_download", "request_backup", "request_nightly", "request_restore", "take_in_upload"]

THE_PORTAL = "The portal"
RESUMED_WITHIN = 3600  # seconds in which a download that goes on is the one that was recorded
NEITHER = (
    "This is no archive that can be restored. Choose what was downloaded from a backup, an SQLite database, a dump of"
    " a PostgreSQL database in pg_dump's custom format, or a .zip or .tar.gz archive of the app's files."
)


@transaction.atomic
def request_backup(environment: Environment, by: Actor, comment: str = "") -> Backup:
    """Queue a backup of an environment's data; `backup.job` is what makes it.

    Raises NotPermitted, AlreadyAsked while one is under way or waiting, or Refused on an empty environment.
    """
    environment = permitted(environment, by, Permission.BACKUPS)
    job = put_in_queue(environment, by, Wish(JobKind.BACKUP, note=comment))
    return _add(environment, job, BackupKind.MANUAL, by.user, comment)


@transaction.atomic
def request_nightly(environment: Environment) -> Backup:
    """Queue the backup of the night, in the portal's own name; raises AlreadyAsked or Refused."""
    by = Actor(User(name=THE_PORTAL), CLOCK)
    rows = Environment.objects.select_for_update(of=("self",), no_key=True).select_related("app")
    environment = rows.get(pk=environment.pk)
    job = put_in_queue(environment, by, Wish(JobKind.BACKUP))
    return _add(environment, job, BackupKind.NIGHTLY, None, "")


@transaction.atomic
def request_restore(environment: Environment, by: Actor, backup: Backup, back_up_first: bool = True) -> Job:
    """Queue the restore of a backup into an environment of its app; what is overwritten is saved first, if wished.

    Raises NotPermitted without Transport Rights and Access to Backups here, or Access to Backups where the backup is
    and on production where its data come from, each production with its window; AlreadyAsked while another restore is
    active; Refused for a backup that was not completed, on an empty environment, or where its database does not fit.
    """
    environment = permitted(environment, by, Permission.TRANSPORT, Permission.BACKUPS)
    # Whoever removes it when it has expired locks it, too
    backup = Backup.objects.select_for_update(of=("self",)).select_related("environment__app").get(pk=backup.pk)
    if backup.environment.app_id != environment.app_id:
        raise NotPermitted("A backup is restored into environments of its own app.")
    need_access(backup, by)
    if not backup.is_completed:
        raise Refused(f"There is nothing to restore: {backup.title} was not completed.")
    if reason := misfit(backup, environment):
        raise Refused(reason)
    what = f"{backup.title[0].upper()}{backup.title[1:]}, taken on {backup.created_at:%-d %B %Y at %H:%M} UTC."
    wish = Wish(JobKind.RESTORE, note=what, backs_up=back_up_first, backup=backup)
    return put_in_queue(environment, by, wish)


def take_in_upload(environment: Environment, by: Actor, file: File, comment: str = "") -> Backup:  # type: ignore[type-arg]
    """Keep what somebody uploaded and queue the look through it, after which it is a backup of the environment.

    Raises NotPermitted, AlreadyAsked while another upload waits, NoRoom, or Refused for what is no archive at all or
    has another kind of database; it leaves nothing behind then. What is wrong inside is found by the job and said by
    the backup.
    """
    if not may(by.user, environment, Permission.BACKUPS):
        raise NotPermitted(f"You need {Permission.BACKUPS.label} on {environment.name} for this.")
    need_window_on(environment, by)
    refuse_without_room()
    file.seek(0)
    begin = file.read(LARGEST_MANIFEST)
    if not _may_be_data(begin):
        raise Refused(NEITHER)
    if reason := misfit_of_upload(begin, environment):
        raise Refused(reason)
    file.seek(0)
    return _keep_upload(environment, by, file, comment, begin)


def note_download(backup: Backup, by: Actor, choice: Choice, resumed: bool) -> None:
    """Record a download; one that goes on where it broke off is the one that was recorded."""
    need_access(backup, by)
    what = f"{backup.title} ({choice.label.lower()})"
    if resumed:
        since = timezone.now() - timedelta(seconds=RESUMED_WITHIN)
        mine = Activity.objects.filter(act=Act.BACKUP_DOWNLOADED, actor_id=by.user.pk, target=what, at__gt=since)
        if mine.filter(environment_id=backup.environment_id).exists():
            return
    record(Act.BACKUP_DOWNLOADED, by, what, app=backup.environment.app, environment=backup.environment)


def _add(environment: Environment, job: Job, kind: BackupKind, creator: User | None, comment: str) -> Backup:
    backup = make_row(environment, kind, creator, creator.name if creator else THE_PORTAL, comment[:COMMENT_LENGTH])
    backup.job, backup.environment = job, environment
    backup.from_production, backup.production = _mark_by_then(backup)
    backup.save(update_fields=["job", "from_production", "production"])
    return backup


def _mark_by_then(backup: Backup) -> tuple[bool, Environment | None]:
    """Say what `mark_of` will when it is the backup's turn.

    SECURITY: a restore of production's data that is before it brings them, and who waits behind it would get at them
    without the right and the code. Where that restore fails, the backup is guarded for nothing.
    """
    restores = Job.objects.active().filter(environment=backup.environment, restores__from_production=True)
    before = restores.select_related("restores__production").order_by("pk").last()
    if before and before.restores:
        return True, before.restores.production
    return mark_of(backup.environment)  # read after that: one that has just ended has left its mark


def _may_be_data(begin: bytes) -> bool:
    known = (*SIGNS, b"PK\3\4", b"\x1f\x8b")
    return begin.startswith(known) or begin[257:262] == b"ustar"


def _keep_upload(environment: Environment, by: Actor, file: Any, comment: str, begin: bytes) -> Backup:
    backup: Backup | None = None
    try:
        with transaction.atomic():
            environment = permitted(environment, by, Permission.BACKUPS)
            job = put_in_queue(environment, by, Wish(JobKind.UPLOAD, note=comment))
            backup = _add(environment, job, BackupKind.UPLOADED, by.user, comment)
            backup.from_production, backup.production = _origin(environment.app, environment, begin)
            backup.upload.save("upload", file, save=False)
            backup.save()
    except BaseException as error:
        if backup:
            storing.remove([upload_path(backup, "")])
        if storing.is_full(error):
            raise NoRoom(storing.FULL) from error
        raise
    return backup


def _origin(app: App, environment: Environment, begin: bytes) -> tuple[bool, Environment | None]:
    """Find where uploaded data come from: what left production by a download is still production's when it is back."""
    if environment.is_production:
        return mark_of(environment)
    key, from_production = key_in(begin)
    known = Backup.objects.filter(environment__app=app, key=key).first() if _is_key(key) else None
    if known and known.from_production:
        return True, known.production
    return from_production, None


def _is_key(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
