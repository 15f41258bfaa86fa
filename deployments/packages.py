"""Deployment packages as files: what is in one, whether it is accepted, unpacking it, making one.

No database and no models here. An archive is any seekable binary file.
"""

import contextlib
import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

from deployments.archive_entries import DEFAULT, MIB, Entry, Limits
from deployments.archive_names import PackageRefused, shown
from deployments.archives import CHUNK, Placed, read_content, read_entries
from deployments.manifests import (
    PROCFILE,
    Constant,
    Manifest,
    Metadata,
    ScheduledEvent,
    read_metadata,
    read_procfile,
)
from deployments.metadata import METADATA

__all__ = [
    "DEFAULT",
    "Constant",
    "Limits",
    "Manifest",
    "PackageRefused",
    "ScheduledEvent",
    "build_archive",
    "digest",
    "inspect",
    "unpack",
]

KEPT_BYTES = {PROCFILE: 64 * 1024, METADATA: MIB}
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o644, 0o755, 0o755
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
EARLIEST_TIME = (1980, 1, 1, 0, 0, 0)  # the first that zip can express


def inspect(archive: BinaryIO, limits: Limits = DEFAULT) -> Manifest:
    """What the package is; PackageRefused when it is not accepted.

    Reads all content once, so that checksums are known to be right, and keeps none but the two files about the
    package. Memory stays below a few MiB plus the names; time grows with `limits.max_unpacked_bytes` at most.
    """
    entries = read_entries(archive, limits)
    texts: dict[str, bytes] = {}
    for placed in entries:
        if placed.entry.name in KEPT_BYTES:
            texts[placed.entry.name] = _read_text(archive, placed)
        else:
            for _ in read_content(archive, placed):
                pass
    if PROCFILE not in texts:
        raise PackageRefused(_no_procfile([placed.entry for placed in entries]))
    web = read_procfile(texts[PROCFILE])
    metadata = read_metadata(texts[METADATA]) if METADATA in texts else Metadata()
    files = sum(not placed.entry.is_folder for placed in entries)
    unpacked = sum(placed.entry.size for placed in entries)
    return Manifest(**vars(metadata), web=web, files=files, unpacked_bytes=unpacked)


def _read_text(archive: BinaryIO, placed: Placed) -> bytes:
    name, most = placed.entry.name, KEPT_BYTES[placed.entry.name]
    if placed.entry.size > most:
        raise PackageRefused(f"{name} is larger than {most // 1024:,} KiB.", name)
    return b"".join(read_content(archive, placed))


def _no_procfile(entries: list[Entry]) -> str:
    reason = "The archive has no Procfile, so the portal can't tell how to start the app."
    inside = {entry.parts[0] for entry in entries if len(entry.parts) == 2 and entry.parts[1] == PROCFILE}
    if inside:
        return reason + f" There is one in the folder “{shown(min(inside))}”: pack the content of that folder instead."
    return reason


def unpack(archive: BinaryIO, into: Path, limits: Limits = DEFAULT) -> None:
    """Writes the archive's files into a folder that is new or empty; checks the archive again while doing so.

    Files get mode 0644, or 0755 when their owner may run them, folders 0755; times and owners are not kept.
    PackageRefused or OSError (a full disk) leave nothing behind.
    """
    entries = read_entries(archive, limits)
    made = not into.exists()
    into.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if any(into.iterdir()):
        raise FileExistsError(f"{into} is not empty")
    try:
        _write_all(archive, entries, into)
    except BaseException:
        _remove(into, itself=made)
        raise


def _write_all(archive: BinaryIO, entries: list[Placed], into: Path) -> None:
    top = os.open(into, FOLDER)
    try:
        os.fchmod(top, FOLDER_MODE)
        for placed in entries:
            entry = placed.entry
            folders = entry.parts if entry.is_folder else entry.parts[:-1]
            folder = _open_folder(top, folders)
            try:
                _write_file(archive, placed, folder)
            finally:
                os.close(folder)
    finally:
        os.close(top)


def _open_folder(top: int, parts: list[str]) -> int:
    """A descriptor of the folder, made where it is missing.

    SECURITY: each step is taken from the descriptor of the one before and follows no link, so that nothing that
    appears on disk meanwhile leads out of the folder.
    """
    current = os.dup(top)
    for part in parts:
        above = current
        try:
            current = _enter(above, part)
        finally:
            os.close(above)
    return current


def _enter(above: int, part: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.open(part, FOLDER, dir_fd=above)
    os.mkdir(part, FOLDER_MODE, dir_fd=above)
    folder = os.open(part, FOLDER, dir_fd=above)
    os.fchmod(folder, FOLDER_MODE)
    return folder


def _write_file(archive: BinaryIO, placed: Placed, folder: int) -> None:
    """The entry's content as a new file of the folder; a folder's empty content is only checked."""
    entry = placed.entry
    if entry.is_folder:
        for _ in read_content(archive, placed):
            pass
        return
    with os.fdopen(os.open(entry.parts[-1], NEW_FILE, 0o600, dir_fd=folder), "wb", buffering=0) as target:
        for piece in read_content(archive, placed):
            _write(target.fileno(), piece)
        os.fchmod(target.fileno(), PROGRAM_MODE if entry.is_executable else FILE_MODE)


def _write(target: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(target, left) :]


def _remove(folder: Path, *, itself: bool) -> None:
    if itself:
        shutil.rmtree(folder)
        return
    for child in folder.iterdir():
        shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()


def digest(archive: BinaryIO) -> str:
    """The SHA-256 of the whole file, in hexadecimal."""
    archive.seek(0)
    sha = hashlib.sha256()
    while piece := archive.read(CHUNK):
        sha.update(piece)
    return sha.hexdigest()


def build_archive(folder: Path, target: Path) -> None:
    """Zips a folder's files: the same content gives the same bytes. Python's caches are left out.

    ValueError when something in it is neither a file nor a folder.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ValueError(f"{path} is neither a file nor a folder")
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EARLIEST_TIME)
                entry.create_system = 3  # Unix, whatever this runs on
                mode = PROGRAM_MODE if path.stat().st_mode & 0o100 else FILE_MODE
                entry.external_attr = (0o100000 | mode) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                with path.open("rb") as source, archive.open(entry, "w") as place:
                    shutil.copyfileobj(source, place)
