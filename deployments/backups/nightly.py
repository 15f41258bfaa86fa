"""The night's backups, and what expires. Each night is done once, by whichever worker is first."""

import logging
from collections import Counter
from datetime import date, timedelta
from functools import partial

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import User
from deployments.backups import storing
from deployments.backups.flows import THE_PORTAL, request_nightly
from deployments.backups.taking import remove_unfinished
from deployments.errors import AlreadyAsked, Refused
from deployments.models import Backup, Job, Live, Nightly
from deployments.nights import begin, done, night_of, pause
from deployments.removal import stored_in
from deployments.states import CLOCK, BackupKind, EnvironmentState, JobKind, JobState
from environments.models import Environment

log = logging.getLogger(__name__)

TAKING, REMOVING = "backups", "expired-backups"
FOLDER = "backups"  # of the storage, in which deployments.backups.models puts them
AT_ONCE = 2  # nightly backups that wait or run; the other jobs of a night must not wait for all of them
TRIES = 3  # of a backup in a night, where the worker that makes it ends
PORTION = 20  # backups removed at one go
UNKNOWN_AFTER = timedelta(days=1)


def look_after() -> None:
    """Take the night's backups and remove what has expired or failed; called by each worker all the time."""
    remove_unfinished()
    night = night_of(timezone.now())
    # A portal that is new, or was upgraded in the middle of a day, begins with the next night
    Nightly.objects.get_or_create(name=TAKING, defaults={"night": night})
    if begin(TAKING, night):
        done(TAKING, night) if _take(night) else pause(TAKING)
    if begin(REMOVING, night):
        if _remove_expired(PORTION):
            pause(REMOVING)
        else:
            _remove_unknown_files()
            done(REMOVING, night)


def _take(night: date) -> bool:
    """Ask for the backups that the night still lacks, a few at a time; say whether it lacks none any more."""
    there = Live.objects.exclude(state=EnvironmentState.EMPTY).values("environment")
    lacking = Environment.objects.filter(pk__in=there).exclude(pk__in=_had(night)).order_by("pk")
    under_way = Job.objects.active().filter(kind=JobKind.BACKUP, via=CLOCK).count()
    for environment in lacking:
        if under_way >= AT_ONCE:
            return False
        try:
            request_nightly(environment)
            under_way += 1
        except AlreadyAsked:
            # Somebody's own is on its way and then counts for nothing but itself: tried again when it has ended
            return False
        except Refused as reason:
            log.info("No nightly backup of %s: %s", environment, reason)
    # Those that are under way may be interrupted
    return not under_way


def _had(night: date) -> list[int]:
    """List the environments that had their backup of a night, or all their tries: a worker that ends is no failure."""
    mine = Backup.objects.filter(kind=BackupKind.NIGHTLY, created_at__gte=timezone.now() - timedelta(days=2))
    tries = Counter[int]()
    for environment, at, state in mine.values_list("environment", "created_at", "job__state"):
        if night_of(at) == night:
            tries[environment] += 1 if state == JobState.INTERRUPTED else TRIES
    return [environment for environment, count in tries.items() if count >= TRIES]


def _remove_expired(most: int) -> bool:
    """Remove expired backups; True when there may be more than `most` of them.

    The last completed one of an environment stays, however old, and the last good one where that is an upload: there
    would be none to go back to.
    """
    expired = Backup.objects.filter(expires_at__lte=timezone.now()).order_by("pk")
    last: set[int] = set()
    for kept in (Backup.objects.completed(), Backup.objects.good()):
        kept = kept.filter(environment__in=expired.values("environment")).order_by("pk")
        last.update(dict(kept.values_list("environment", "pk")).values())
    removed = 0
    for backup in expired.exclude(pk__in=last).select_related("environment__app")[: most + 1]:
        if removed == most:
            return True
        removed += _remove(backup)
    return False


@transaction.atomic
def _remove(backup: Backup) -> bool:
    # Whoever asks for its restore locks it, too
    if not Backup.objects.select_for_update(of=("self",)).filter(pk=backup.pk).exists():
        return False
    if Job.objects.active().filter(restores=backup).exists() or backup.is_unfinished:
        return False
    names, environment = backup.stored, backup.environment
    title, reason = backup.title, f"Expired on {backup.expires_at:%-d %B %Y}."
    backup.delete()
    if backup.kind != BackupKind.NIGHTLY:  # those come and go by themselves; nobody asked for one
        by = Actor(User(name=THE_PORTAL), CLOCK)
        record(Act.BACKUP_EXPIRED, by, title, app=environment.app, environment=environment, reason=reason)
    transaction.on_commit(partial(storing.remove, names))
    return True


def _remove_unknown_files() -> None:
    """Remove what is stored of backups that no row knows: what a crash left, or a deleted environment."""
    known: set[str] = set()
    for row in Backup.objects.values_list("database", "files", "upload").iterator():
        known.update(row)
    for name in list(stored_in(FOLDER)):
        if name not in known and default_storage.get_modified_time(name) < timezone.now() - UNKNOWN_AFTER:
            log.info("Removing %s: no backup has it.", name)
            storing.remove([name])
