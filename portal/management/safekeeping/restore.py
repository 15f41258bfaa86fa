"""Puts a backup of the whole portal in place, all of it or nothing.

Everything is unpacked and looked through beside what is there; then it changes places, written down beforehand
(`moves`), so that whatever breaks off is put back: at once, or by `restore_portal --undo` after a power cut.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader

from deployments.runtimes import files
from deployments.runtimes.base import RuntimeFailure
from deployments.runtimes.node import Node
from deployments.worker import is_alive
from environments.models import Environment
from portal.checks import RESTORE
from portal.management.safekeeping import NotDone, data, databases, keys, settling
from portal.management.safekeeping.archive import PIECE, Hashed, Reader
from portal.management.safekeeping.backup import DATA, DATABASE, DEMO, FORMAT, STORED
from portal.management.safekeeping.moves import Move, Switch, remove

RUNS = "The portal runs. Stop it everywhere (Ctrl-C, or the service and its workers), then type this again."
IN_USE = (
    "This portal is in use: {what}. Restore into an empty one, or add --replace to give up everything that is in this"
    " one for what is in the backup."
)
NEWER = "The backup was made by a newer release of the portal ({what}). Install that release, then restore."
OTHER_DATABASE = "The backup holds a database of {there}, and DATABASE_URL names one of {here}. Set another one."
NO_ROOM = "There is not enough room in {folder}: the backup needs {needed:,} MiB and {free:,} MiB are free."
BROKEN_OFF = "A restore of the portal was broken off. Type: manage.py restore_portal --undo"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True)
class Restored:
    """What was restored, and what the operator has to know of it."""

    taken_at: str
    files: int
    environments: int
    settled: settling.Settled


def switch() -> Switch:
    return Switch(Path(settings.VAR) / RESTORE)


def look_through(path: Path, without_keys: bool = False) -> dict[str, Any]:
    """Read a backup to its end and give what it says of itself; NotDone where it could not be restored here."""
    backup = _readable(path, without_keys)
    for _ in backup.entries():
        pass
    return backup.about


def restore(path: Path, replace: bool = False, without_keys: bool = False) -> Restored:
    """Put a backup in place. NotDone where it can't be, and everything is as it was then."""
    if switch().is_under_way:
        raise NotDone(BROKEN_OFF)
    _refuse_while_it_runs()
    backup = _readable(path, without_keys)
    if not replace and (what := _what_is_there()):
        raise NotDone(IN_USE.format(what=what))
    with _aside() as aside:
        _refuse_without_room(aside, backup.about)
        files_ = _unpack(backup, aside)
        try:
            data.forget_what_ran()
            settled = _switch(backup.about, aside, data.stage_all(aside / DATA))
        except RuntimeFailure as failure:
            undo()
            raise NotDone(str(failure)) from failure
        except BaseException:
            undo()
            raise
    data.forget_but(Environment.objects.values_list("pk", flat=True))
    return Restored(backup.about["taken_at"], files_, backup.about["environments"], settled)


def undo() -> bool:
    """Put back what a restore that broke off has changed; False where there is nothing to put back."""
    if not switch().is_under_way:
        return False
    connection.close()
    for name in switch().read().get("stored", []):
        default_storage.delete(name)
    data.swap_back_all()
    databases.put_back()
    switch().put_back()
    switch().end()
    return True


def _readable(path: Path, without_keys: bool) -> Reader:
    if not path.is_file():
        raise NotDone(f"There is no file {path}.")
    backup = Reader(path)
    about = backup.about
    known = {tuple(migration) for migration in MigrationLoader(None).disk_migrations}
    newer = [f"{app} {name}" for app, name in about["migrations"] if (app, name) not in known]
    if about["format"] > FORMAT or newer:
        raise NotDone(NEWER.format(what=", ".join(newer[:3]) or f"format {about['format']}"))
    if about["database"] != databases.vendor():
        here, there = (NAMES.get(name, name) for name in (databases.vendor(), about["database"]))
        raise NotDone(OTHER_DATABASE.format(here=here, there=there))
    if not without_keys:
        keys.refuse_without(about["keys"])
    return backup


def _refuse_while_it_runs() -> None:
    node = Node(settings.VAR, settings.APPS_PORT, settings.APPS_DOMAIN)
    if node.is_running_elsewhere() or (databases.in_use() and is_alive()):
        raise NotDone(RUNS)


def _what_is_there() -> str:
    if databases.in_use():
        return "its database has people"
    if data.is_there():
        return "there are data of environments"
    return ""


@contextmanager
def _aside() -> Iterator[Path]:
    """A folder that nothing looks at; what a restore left there that was killed goes first."""
    folder = Path(settings.VAR) / ".restored"
    _clean(folder)
    files.make_private(folder)
    try:
        yield folder
    finally:
        _clean(folder)


def _clean(folder: Path) -> None:
    """Remove what lies aside, unpacked or from before; not where that is still to be put back."""
    if not switch().is_under_way:
        remove(folder)
        data.discard_all()
        databases.forget_before()


def _refuse_without_room(folder: Path, about: dict[str, Any]) -> None:
    # Environments' data are there twice for a moment: as they were stored, and staged
    needed, free = 2 * about["size"] + settings.DISK_RESERVE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        mib = 1024**2
        raise NotDone(NO_ROOM.format(folder=folder, needed=needed // mib + 1, free=free // mib))


def _unpack(backup: Reader, aside: Path) -> int:
    """Unpack everything and make sure of it; give the number of files."""
    count = 0
    for name, content in backup.entries():
        target = aside / name
        files.make_private(target.parent)
        with target.open("xb") as file:
            while piece := content.read(PIECE):
                file.write(piece)
        count += 1
    return count


def _switch(about: dict[str, Any], aside: Path, environments: list[int]) -> settling.Settled:
    """Let everything change places, bring the database up to this release and settle what was under way."""
    moves = databases.moves(aside / DATABASE)
    if (aside / DEMO).exists() and settings.DEMO:
        moves.append(Move(settings.VAR / DEMO, aside / DEMO))
    stored = _to_store(aside / STORED)
    connection.close()
    switch().begin(moves, stored=list(stored))
    for name, path in stored.items():
        _store(name, path)
    data.swap_all(environments)
    databases.load(aside / DATABASE)
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise NotDone(f"The database could not be brought up to this release: {error}") from error
    with transaction.atomic():
        settled = settling.settle(datetime.fromisoformat(about["taken_at"]))
    connection.close()
    switch().end()
    return settled


def _to_store(folder: Path) -> dict[str, Path]:
    """Give what the storage lacks: stored files never change, so one that is there under its name is left alone."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: path for name, path in names.items() if not _is_stored(name, path)}


def _is_stored(name: str, path: Path) -> bool:
    if not default_storage.exists(name):
        return False
    with path.open("rb") as ours, default_storage.open(name, "rb") as theirs:
        if Hashed(ours).hexdigest() == Hashed(theirs).hexdigest():
            return True
    default_storage.delete(name)  # damaged, and of no use to anybody
    return False


def _store(name: str, path: Path) -> None:
    with path.open("rb") as file:
        if default_storage.save(name, _Whole(file)) != name:
            raise NotDone(f"The storage did not take {name} under its name.")


class _Whole(File[bytes]):
    """A file that a storage on the same disk may move to its place instead of copying it."""

    def temporary_file_path(self) -> str:
        return str(self.name)
