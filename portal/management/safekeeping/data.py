"""The data of environments: saved as they are at one moment, staged beside those that are there, switched together."""

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

from deployments.backups.models import DATABASE_NAMES
from deployments.runtimes import files, get_runtime
from deployments.runtimes.base import DatabaseKind, Instance, Part, Room
from deployments.runtimes.inside.words import FILES, MADE_BY, MANIFEST
from deployments.runtimes.layout import Layout
from portal.management.safekeeping import NotDone
from portal.management.safekeeping.archive import PIECE, Writer
from portal.management.safekeeping.moves import remove

NAMES = (*DATABASE_NAMES.values(), FILES)
SWITCHED_WITHIN = 60  # seconds; two renames, or the next look of a worker at what was cut off
RESTORE = 2_000_000_000  # stands where the runtime expects a job's number; no environment has had so many


def save_all(backup: Writer, prefix: str, folder: Path) -> int:
    """Add the data of every environment, running or not, and give how many there are."""
    kept = [number for number in get_runtime().environments() if _has_data(number)]
    for number in kept:
        database = DATABASE_NAMES[get_runtime().database(number)]
        for part, name in ((Part.DATABASE, database), (Part.FILES, FILES)):
            spooled = folder / name
            with get_runtime().take(number, part) as source, spooled.open("wb") as target:
                while piece := source.read(PIECE):
                    target.write(piece)
            with spooled.open("rb") as source:
                backup.add(f"{prefix}{number}/{name}", source, spooled.stat().st_size)
            spooled.unlink()
    return len(kept)


def _has_data(number: int) -> bool:
    """Say whether an environment has data; those that a restore of it just switches are waited for."""
    data, until = _layout().data(number), time.monotonic() + SWITCHED_WITHIN
    while not data.is_dir() and any(data.parent.glob("before-*")):
        if time.monotonic() > until:
            raise NotDone(f"A restore of the environment {number} was cut off. Let the portal's worker put it right.")
        time.sleep(0.05)
    return data.is_dir()


def is_there() -> bool:
    folders = (_layout().data(number) for number in get_runtime().environments())
    return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)


def stage_all(unpacked: Path) -> list[int]:
    """Make data out of what was unpacked, beside those that are there; nothing for environments without any.

    Gives the environments, for `swap_all`.
    """
    runtime = get_runtime()
    folders = {_number(path): path for path in unpacked.iterdir()} if unpacked.is_dir() else {}
    numbers = sorted({*folders, *runtime.environments()})
    for number in numbers:
        bundle = unpacked.parent / "bundle"
        _bundle(bundle, folders.get(number))
        _keep_as_file(number, folders.get(number))
        with bundle.open("rb") as archive:
            runtime.stage(_instance(number), archive, room=Room(reserve=settings.DISK_RESERVE_BYTES))
        bundle.unlink()
    return numbers


def swap_all(numbers: Iterable[int]) -> None:
    for number in numbers:
        get_runtime().swap(_instance(number))


def swap_back_all() -> None:
    """Bring back the data that were there before, wherever they were switched."""
    for instance in _aside():
        get_runtime().swap_back(instance)


def discard_all() -> None:
    """Remove all that lies aside for a restore."""
    for instance in _aside():
        get_runtime().discard(instance)


def forget_but(numbers: Iterable[int]) -> None:
    """Remove data and logs of environments that the restored database does not know."""
    for number in set(get_runtime().environments()) - set(numbers):
        get_runtime().forget(number)


def forget_what_ran() -> None:
    """Forget which processes the portal keeps on this machine: the database says from now on what is to run."""
    run = _layout().run
    for path in run.iterdir() if run.is_dir() else ():
        remove(path)
    _layout().make()


def _aside() -> Iterator[Instance]:
    return (instance for instance in get_runtime().aside() if instance.number == RESTORE)


def _instance(number: int) -> Instance:
    return Instance(number, RESTORE)


def _layout() -> Layout:
    return Layout(Path(settings.VAR))


def _number(folder: Path) -> int:
    if not folder.name.isdecimal():
        raise NotDone(f"The backup has data of “{folder.name}”, which is no environment.")
    return int(folder.name)


def _keep_as_file(number: int, folder: Path | None) -> None:
    """Let an environment that is new here have its database in a file, as it was, though there is a server."""
    held = folder is not None and (folder / DATABASE_NAMES[DatabaseKind.SQLITE]).exists()
    if held and not _layout().database(number).exists():
        own = _layout().own_database(number)
        files.make_private(own.parent)
        own.touch()


def _bundle(target: Path, folder: Path | None) -> None:
    """Write the archive that the runtime unpacks: both parts, behind a list of their hashes."""
    parts = [folder / name for name in NAMES if (folder / name).exists()] if folder else []
    parts = [path for path in parts if path.stat().st_size]
    listed = {}
    for path in parts:
        with path.open("rb") as file:
            listed[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    said = json.dumps({"made-by": MADE_BY, "parts": listed}).encode()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        manifest = tarfile.TarInfo(MANIFEST)
        manifest.size = len(said)
        archive.addfile(manifest, io.BytesIO(said))
        for path in parts:
            archive.add(path, path.name)
