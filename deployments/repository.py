"""The app's repository of packages: taking in an upload, or refusing it and leaving nothing behind."""

import re
import shutil
from datetime import timedelta
from pathlib import PurePath
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from deployments.archive_entries import Entry
from deployments.archive_names import has_invisible, shown
from deployments.archives import list_files
from deployments.errors import NoRoom
from deployments.limits import limits
from deployments.models import NAME_LENGTH, Package, expiry_from
from deployments.packages import Manifest, PackageRefused, digest, inspect
from environments.api_keys import need_key_for
from environments.authority import NotPermitted
from environments.models import App, Membership

NAME_AND_VERSION = re.compile(r"(?P<name>.+?)[-_ ]v?(?P<version>[0-9][0-9A-Za-z.+_-]*)")
SHA256 = "sha256"  # set on an uploaded file that was hashed while it came in
NO_ROOM = "The portal's disk is nearly full, so it takes no packages now. Tell whoever operates the portal."


def upload_package(app: App, by: Actor, file: File[bytes], name: str, description: str = "") -> Package:
    """Take a package into the app's repository; the file's name and `description` count where it says nothing itself.

    The same content again gives the package that is there, with `was_there` set, kept as long as a new one. Raises
    PackageRefused (recorded), NoRoom or NotPermitted, and leaves nothing behind then. The file is moved where it can
    be, else streamed.
    """
    if not Membership.objects.filter(app=app, user=by.user, user__is_active=True, role__deploys=True).exists():
        raise NotPermitted("Your role in the team does not let you upload packages.")
    need_key_for(app, by)
    refuse_without_room()
    archive = cast(BinaryIO, file.file)
    sha256 = getattr(file, SHA256, "") or digest(archive)
    if (found := _found(app, sha256)) and _keep_anew(found, by):
        return found
    try:
        manifest = inspect(archive, limits())
        name, version = name_and_version(manifest, name, sha256)
    except PackageRefused as refusal:
        record(Act.PACKAGE_REFUSED, by, shown(name), app=app, reason=refusal.reason)
        raise
    package = Package(
        app=app,
        name=name,
        version=version,
        description=manifest.description or description.strip(),
        size=file.size,
        sha256=sha256,
        manifest=manifest.as_dict(),
        uploaded_by=by.user,
        uploader_name=by.user.name,
    )
    return _store(package, by, file) or _found(app, sha256) or package


def refuse_without_room(more: int = 0) -> None:
    """Raise NoRoom when `more` bytes would eat into the reserve of the portal's disk."""
    if shutil.disk_usage(settings.VAR).free < settings.DISK_RESERVE_BYTES + more:
        raise NoRoom(NO_ROOM)


def search(packages: QuerySet[Package], words: str) -> QuerySet[Package]:
    """Keep the packages that have each of the words in their name, version or description, or in their uploader's."""
    for word in words.split():
        packages = packages.filter(
            Q(name__icontains=word)
            | Q(version__icontains=word)
            | Q(description__icontains=word)
            | Q(uploader_name__icontains=word)
        )
    return packages


def files_of(package: Package, start: int, count: int) -> list[Entry]:
    """Read some of a package's files from its archive; OSError or PackageRefused where that can't be read."""
    with package.file.open("rb") as file:
        return list_files(cast(BinaryIO, file.file), start, count, limits())


def name_and_version(manifest: Manifest, file_name: str, sha256: str) -> tuple[str, str]:
    """Give what the package says of itself; what it leaves out comes from the file's name (`calc-1.2.0.zip`).

    Where that has no version either, the first digits of its SHA-256 tell one from another.
    """
    stem = PurePath(file_name).stem
    match = NAME_AND_VERSION.fullmatch(stem)
    name = manifest.name or (match["name"] if match else stem)
    version = manifest.version or (match["version"] if match else sha256[:8])
    if not name.strip() or max(len(name), len(version)) > NAME_LENGTH or has_invisible(name + version):
        raise PackageRefused("The file's name can't be used as the package's name. Give it a short, plain one.")
    return name, version


def _found(app: App, sha256: str) -> Package | None:
    package = app.packages.filter(sha256=sha256).first()
    if package:
        package.was_there = True
    return package


@transaction.atomic
def _keep_anew(package: Package, by: Actor) -> bool:
    """Let the time until a package expires begin anew, where a day was lost; False when it goes at this moment."""
    until = expiry_from(timezone.now())
    row = Package.objects.filter(pk=package.pk)
    if until - package.expires_at < timedelta(days=1):
        return row.exists()
    if not row.update(expires_at=until):
        return False
    package.expires_at = until
    after = {"SHA-256": package.sha256, "expires": until.isoformat()}
    record(Act.PACKAGE_UPLOADED, by, str(package), app=package.app, after=after)
    return True


def _store(package: Package, by: Actor, file: File[bytes]) -> Package | None:
    """Keep file and row, or neither; None when somebody uploaded the same at this moment."""
    file.seek(0)
    try:
        with transaction.atomic():
            package.file.save(file.name or "package.zip", file, save=False)
            package.save()
            record(Act.PACKAGE_UPLOADED, by, str(package), app=package.app, after={"SHA-256": package.sha256})
    except BaseException as error:
        if package.file.name:
            default_storage.delete(package.file.name)
        if isinstance(error, IntegrityError):
            return None
        raise
    return package
