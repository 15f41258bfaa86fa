"""What is given to download of a backup, as one row of bytes that is made while it is read, from any byte on.

The whole of a backup is a tar archive of `backup.json`, which says what it is and what the SHA-256 of each part is,
the database as an SQLite file or as a dump from a PostgreSQL server, and the files as a tar archive of their own. It is
also what a restore reads, so what was downloaded can always be uploaded again.
"""

import io
import json
import re
import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO, cast

from django.core.files.storage import default_storage
from django.db.models import TextChoices

from deployments.backups.models import DATABASE_NAMES, Backup
from deployments.runtimes.base import DatabaseKind

MANIFEST, MADE_BY, FORMAT = "backup.json", "developer-portal", 1
FILES = "files.tar"
DATABASE_TYPES = {
    DatabaseKind.SQLITE: "application/vnd.sqlite3",
    # A dump has no type of its own
    DatabaseKind.POSTGRESQL: "application/octet-stream",
}
SIGNS = {b"SQLite format 3\0": DatabaseKind.SQLITE, b"PGDMP": DatabaseKind.POSTGRESQL}  # how a database begins
PIECE = 1024 * 1024  # bytes
LARGEST_MANIFEST = 64 * 1024  # bytes
BLOCK = tarfile.BLOCKSIZE
PLAIN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class Choice(TextChoices):
    """What of a backup somebody downloads."""

    FULL = "full", "Database and files"
    DATABASE = "database", "Database only"
    FILES = "files", "Files only"


@dataclass(frozen=True)
class Stored:
    """Bytes that lie in the storage under a name."""

    name: str
    size: int


Piece = bytes | Stored


class Bundle:
    """One choice of a backup. `size` in bytes; `etag` names the content, so that a download can be resumed safely."""

    def __init__(self, backup: Backup, choice: Choice) -> None:
        database = Stored(str(backup.database.name), backup.database_size)
        files = Stored(str(backup.files.name), backup.files_size)
        kind = backup.database_kind or DatabaseKind.SQLITE
        suffix = DATABASE_NAMES[kind].partition(".")[2]
        ending = {Choice.FULL: "tar", Choice.DATABASE: suffix, Choice.FILES: "files.tar"}[choice]
        self.content_type = DATABASE_TYPES[kind] if choice is Choice.DATABASE else "application/x-tar"
        self.filename = _filename(backup, ending)
        if choice is Choice.FULL:
            self.pieces = _archive(backup, database, files)
        else:
            self.pieces = [database if choice is Choice.DATABASE else files]
        self.size = sum(_size(piece) for piece in self.pieces)
        what = f"{backup.key} {choice} {backup.database_sha256} {backup.files_sha256}"
        self.etag = f'"{sha256(what.encode()).hexdigest()}"'

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give the bytes from `start` to `end` (not included), in pieces of at most PIECE."""
        begins, end = 0, self.size if end is None else end
        for piece in self.pieces:
            ends = begins + _size(piece)
            first, last = max(start, begins) - begins, min(end, ends) - begins
            if first < last:
                yield from _read(piece, first, last)
            begins = ends

    def open(self) -> BinaryIO:
        """Give all of it as something to read from."""
        return cast(BinaryIO, io.BufferedReader(Reader(self.read()), PIECE))


class Reader(io.RawIOBase):
    """Reads what an iterator gives."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if isinstance(self._pieces, Generator):
            self._pieces.close()
        super().close()


def choices_of(backup: Backup) -> list[Choice]:
    """List what can be downloaded of a backup."""
    if not backup.is_completed:
        return []
    parts = [(Choice.DATABASE, backup.database), (Choice.FILES, backup.files)]
    return [Choice.FULL, *(choice for choice, file in parts if file)]


def key_in(begin: bytes) -> tuple[str, bool]:
    """Give, from the first bytes of an archive, the key of the backup that it is of, and whether that says production.

    Nothing where it is no archive of the portal. Nobody is to rely on it for more than to keep what is production's
    from losing that mark by mistake.
    """
    found = _manifest_in(begin)
    return str(found.get("key", "")), bool(found.get("from-production"))


def kind_in(begin: bytes) -> DatabaseKind | None:
    """Give what the database is, from the first bytes of it or of an archive of the portal; None where there is none.

    Nobody is to rely on it for more than to say so early.
    """
    for sign, kind in SIGNS.items():
        if begin.startswith(sign):
            return kind
    parts = _manifest_in(begin).get("parts")
    named = parts if isinstance(parts, dict) else {}
    return next((kind for kind, name in DATABASE_NAMES.items() if name in named), None)


def _manifest_in(begin: bytes) -> dict[str, Any]:
    try:
        header = tarfile.TarInfo.frombuf(begin[:BLOCK], "utf-8", "replace")
        if header.name != MANIFEST or header.size > LARGEST_MANIFEST:
            return {}
        found = json.loads(begin[BLOCK : BLOCK + header.size])
    except (tarfile.HeaderError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("made-by") == MADE_BY else {}


def _archive(backup: Backup, database: Stored, files: Stored) -> list[Piece]:
    parts = [
        (DATABASE_NAMES[backup.database_kind or DatabaseKind.SQLITE], database, backup.database_sha256),
        (FILES, files, backup.files_sha256),
    ]
    there = [part for part in parts if part[1].name]
    manifest = {
        "made-by": MADE_BY,
        "format": FORMAT,
        "key": str(backup.key),
        "app": backup.environment.app.slug,
        "environment": backup.environment.slug,
        "number": backup.number,
        "created": backup.created_at.isoformat(),
        "package": backup.package_name,
        "from-production": backup.from_production,
        "holds": backup.holds,
        "parts": {name: digest for name, _, digest in there},
    }
    text = json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n"
    pieces: list[Piece] = [_header(backup, MANIFEST, len(text)), text, _padding(len(text))]
    for name, stored, _ in there:
        pieces += [_header(backup, name, stored.size), stored, _padding(stored.size)]
    return [*pieces, bytes(2 * BLOCK)]


def _header(backup: Backup, name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(backup.created_at.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _size(piece: Piece) -> int:
    return piece.size if isinstance(piece, Stored) else len(piece)


def _read(piece: Piece, start: int, end: int) -> Iterator[bytes]:
    if not isinstance(piece, Stored):
        yield piece[start:end]
        return
    with default_storage.open(piece.name, "rb") as file:
        file.seek(start)
        left = end - start
        while left:
            content = file.read(min(left, PIECE))
            if not content:
                raise EOFError(f"{piece.name} is shorter than it was.")
            left -= len(content)
            yield content


def _filename(backup: Backup, ending: str) -> str:
    """SECURITY: the name is made here; what a person typed could hold quotes and line breaks."""
    names = f"{backup.environment.app.slug}-{backup.environment.slug}-{backup.number}"
    return f"{PLAIN_NAME.sub('-', names)}-{backup.created_at:%Y-%m-%d-%H%M}.{ending}"
