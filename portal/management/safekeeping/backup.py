"""Takes a backup of the whole portal while it runs: database, stored files, environments' data; never the keys."""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import FileField

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import User
from portal.env import BASE_DIR
from portal.management.safekeeping import NotDone, data, databases, keys
from portal.management.safekeeping.archive import Writer, writing
from portal.management.safekeeping.databases import Rows
from portal.management.safekeeping.keys import Needed

FORMAT = 1  # of the archive; a portal refuses a higher one than its own
DATABASE, STORED, DATA, DEMO = "database", "storage/", "environments/", "demo.json"
ROUNDS = 20
THE_OPERATOR = "The operator"
RACED = "Files were deleted again and again while they were read. Type this again when less is going on."


@dataclass(frozen=True)
class Kept:
    """What a backup holds and needs; `lost` are the files that the database speaks of and the storage has not got."""

    path: Path
    size: int
    files: int
    environments: int
    keys: Needed
    lost: list[str]


def operator() -> Actor:
    return Actor(User(name=THE_OPERATOR), "shell")


def target_of(path: Path, now: datetime) -> Path:
    """Give the file to write: `path`, or one named after the moment where that is a folder."""
    target = path / f"portal-{now:%Y-%m-%dT%H%M%SZ}.tar" if path.is_dir() else path
    if target.exists():
        raise NotDone(f"{target} is there already. Name another file.")
    if not target.parent.is_dir():
        raise NotDone(f"There is no folder {target.parent}. Make it, or name another one.")
    return target


def back_up(path: Path) -> Kept:
    """Write a backup to a file or into a folder. NotDone where that can't be, and nothing is left behind then."""
    now = datetime.now(UTC)
    target = target_of(path.expanduser().absolute(), now)
    with _private_folder() as folder, writing(target) as backup:
        environments = data.save_all(backup, DATA, folder)
        needed, lost, about = _save_database(backup, folder)
        if settings.DEMO and (demo := settings.VAR / DEMO).exists():
            _add_file(backup, DEMO, demo)
        files, size = backup.count, backup.size
        backup.finish(
            about
            | {
                "format": FORMAT,
                "taken_at": now.isoformat(timespec="seconds"),
                "portal": version(),
                "django": django.get_version(),
                "environments": environments,
                "files": files,
                "size": size,
            }
        )
    with transaction.atomic():
        record(Act.PORTAL_BACKED_UP, operator(), target.name)
    return Kept(target, target.stat().st_size, files, environments, needed, lost)


def version() -> str:
    with (BASE_DIR / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _save_database(backup: Writer, folder: Path) -> tuple[Needed, list[str], dict[str, Any]]:
    """Add the database with every file that it speaks of; give the names of those that the storage has lost, too.

    Files first: where one was deleted meanwhile the database is out of date, and another snapshot is taken.
    """
    saved: set[str] = set()
    lost: set[str] = set()
    for _ in range(ROUNDS):
        with databases.snapshot(folder) as snapshot:
            missing = {name for name in stored_files(snapshot.rows) if not _save_stored(backup, name, saved)}
            if missing <= lost:
                needed = keys.needed(snapshot.rows)
                about = {"database": databases.vendor(), "keys": needed.fingerprints}
                _add_file(backup, DATABASE, snapshot.file)
                return needed, sorted(missing), about | {"migrations": snapshot.rows.migrations()}
        with databases.current() as rows:
            lost = missing & set(stored_files(rows))
    raise NotDone(RACED)


def stored_files(rows: Rows) -> Iterator[str]:
    """Give the name in the storage of every file that a database speaks of, found by the type of its column."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, FileField) and field.column:
                yield from rows.texts(model, field.column)


def _save_stored(backup: Writer, name: str, saved: set[str]) -> bool:
    """Add a stored file, once; False where it is gone."""
    if name in saved:
        return True
    try:
        with default_storage.open(name, "rb") as file:
            backup.add(STORED + name, file, file.size)
    except FileNotFoundError:
        return False
    saved.add(name)
    return True


def _add_file(backup: Writer, name: str, path: Path) -> None:
    with path.open("rb") as file:
        backup.add(name, file, os.fstat(file.fileno()).st_size)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder beside the portal's data, for what has to be whole before its size is known."""
    folder = Path(tempfile.mkdtemp(prefix=".backup.", dir=settings.VAR))  # made with mode 0700
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
