"""Packages that go: deleted by somebody, or removed in the night because they have expired.

A package's row is locked before it is decided, and whoever asks for a transport locks it too: one of them is first,
and the other one is told.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from deployments import keeping
from deployments.deletion import forget_unknown
from deployments.errors import Refused
from deployments.models import Job, Live, Package
from deployments.nights import begin, done, night_of, pause
from deployments.runtimes.base import Runtime, RuntimeFailure
from environments.api_keys import need_key_for
from environments.authority import NotPermitted, need_window_for
from environments.models import App, Membership

log = logging.getLogger(__name__)

NAME = "packages"
PACKAGES = "packages"  # the folder of the storage in which deployments.models.package_path puts them
PORTION = 20  # packages removed at one go, so that the worker's other duties don't wait long
UNKNOWN_AFTER = timedelta(days=1)  # a file without a row may be one whose upload is about to end
THE_PORTAL = "The portal"


def delete_package(package: Package, by: Actor) -> None:
    """Delete a package and, once that is certain, its file.

    Raises NotPermitted, or Refused while it is on an environment or on its way to one, or when it is gone already.
    """
    app = package.app
    if not Membership.objects.filter(app=app, user=by.user, user__is_active=True, role__deploys=True).exists():
        raise NotPermitted("Your role in the team does not let you delete packages.")
    # An environment may want to go back to it, and production is one of them
    need_window_for(app, by)
    need_key_for(app, by)
    with transaction.atomic():
        if not Package.objects.select_for_update().filter(pk=package.pk).exists():
            raise Refused(f"{package} is not in the repository any more.")
        if reason := in_use(package):
            raise Refused(reason)
        _remove(package, Act.PACKAGE_DELETED, by)


def in_use(package: Package) -> str:
    """Say why a package can't be deleted now, in a sentence; empty when it can."""
    live = Live.objects.filter(package=package).select_related("environment").first()
    if live:
        return f"{package} is on {live.environment.name}. Transport another version there first."
    job = Job.objects.active().filter(package=package).select_related("environment").first()
    if job:
        return f"{package} is on its way to {job.environment.name}. Wait until that has ended."
    return ""


def tidy_up(runtime: Runtime) -> None:
    """Once a night, remove what has expired and what was left of earlier packages.

    Called by each worker all the time; a night that was missed is made up for. What is too much for one go is
    continued at the next call.
    """
    night = night_of(timezone.now())
    if not begin(NAME, night):
        return
    if _remove_expired(PORTION):
        pause(NAME)
        return
    _remove_unknown_files()
    _remove_releases(runtime)
    forget_unknown(runtime)
    done(NAME, night)


def removed_lately(app: App) -> list[Activity]:
    """Give what the last night removed from an app's repository, the latest first."""
    since = timezone.now() - timedelta(days=1)
    return list(Activity.objects.filter(app_id=app.pk, act=Act.PACKAGE_EXPIRED, at__gt=since))


def _remove_expired(most: int) -> bool:
    """Remove expired packages that nothing keeps; True when there may be more than `most` of them."""
    left = most
    expired = Package.objects.filter(expires_at__lte=timezone.now())
    for app in App.objects.filter(packages__in=expired).distinct():
        kept = keeping.of_app(app)
        for package in expired.filter(app=app).order_by("pk").exclude(pk__in=list(kept)):
            if not left:
                return True
            left -= _remove_one(package)
    return False


@transaction.atomic
def _remove_one(package: Package) -> bool:
    # Uploaded again meanwhile, it is kept anew
    expired = Package.objects.select_for_update().filter(pk=package.pk, expires_at__lte=timezone.now())
    if not expired.exists() or in_use(package):
        return False
    reason = f"Expired on {package.expires_at:%-d %B %Y}; it is on no environment and not among the last"
    reason += f" {keeping.LATEST_KEPT} of one."
    _remove(package, Act.PACKAGE_EXPIRED, Actor(User(name=THE_PORTAL), "clock"), reason)
    return True


def _remove(package: Package, act: Act, by: Actor, reason: str = "") -> None:
    """Remove the row with its record; the file goes once both are certain, and the next night where that fails."""
    title, name = str(package), str(package.file.name)
    package.delete()
    record(act, by, title, app=package.app, before={"SHA-256": package.sha256}, reason=reason)
    transaction.on_commit(partial(_remove_file, name))


def _remove_file(name: str) -> None:
    try:
        default_storage.delete(name)
    except OSError as error:
        log.warning("%s could not be removed yet: %s", name, error)


def _remove_unknown_files() -> None:
    """Remove stored packages that no row knows: what a crash left between a file and its row."""
    for name in list(stored_in(PACKAGES)):
        if default_storage.get_modified_time(name) > timezone.now() - UNKNOWN_AFTER:
            continue
        if not Package.objects.filter(file=name).exists():
            log.info("Removing %s: no package has it.", name)
            _remove_file(name)


def stored_in(folder: str) -> Iterator[str]:
    """List what lies below a folder of the storage."""
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    yield from (f"{folder}/{name}" for name in files)
    for name in folders:
        yield from stored_in(f"{folder}/{name}")


def _remove_releases(runtime: Runtime) -> None:
    """Remove what was unpacked of packages that no repository has any more; what still runs is left."""
    for release in runtime.releases():
        if Package.objects.filter(sha256=release).exists():
            continue
        try:
            runtime.remove_release(release)
        except RuntimeFailure as failure:
            log.info("The release %s stays: %s", release[:12], failure)
