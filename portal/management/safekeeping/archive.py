"""The file of a backup: a tar whose last two members list what is in it, with hashes, and say what made it.

Both are written last, so that a backup that was cut off is known by their absence. Whatever the number and size of
files, neither writing nor reading holds more than one piece of one of them in memory.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from portal.management.safekeeping import NotDone

LIST, ABOUT = "contents.jsonl", "about.json"
PIECE = 1024 * 1024  # bytes read at a time
LONGEST_ABOUT = 1024 * 1024  # bytes
INCOMPLETE = "{path} is not a complete backup of a portal."
DAMAGED = "{path} is damaged: {what}. Take another backup."


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Hashed:
    """A stream that works out its own SHA-256 and size."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._source.read(size)
        self._digest.update(piece)
        self.size += len(piece)
        return piece

    def hexdigest(self) -> str:
        """Read what is left and give the hash of all."""
        while self.read(PIECE):
            pass
        return self._digest.hexdigest()


class Writer:
    """Writes a backup piece by piece. What it is given must not change while it is read."""

    def __init__(self, file: BinaryIO, contents: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._contents = contents
        self.count = self.size = 0

    def add(self, name: str, file: Source, size: int) -> None:
        hashed = Hashed(file)
        self._put(name, hashed, size)
        self._contents.write(_line(name, size, hashed.hexdigest()))
        self.count += 1
        self.size += size

    def finish(self, about: dict[str, Any]) -> None:
        """Write what the backup holds and what made it; from then on it is complete."""
        size = self._contents.seek(0, os.SEEK_END)
        self._contents.seek(0)
        self._put(LIST, self._contents, size)
        said = json.dumps(about, indent=2, sort_keys=True).encode() + b"\n"
        self._put(ABOUT, io.BytesIO(said), len(said))
        self._tar.close()

    def _put(self, name: str, file: Any, size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, int(time.time())
        self._tar.addfile(info, file)
        self._tar.members = []  # type: ignore[attr-defined]  # it would remember every one of many


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """Write a backup to `target`, for its owner only, so that it is there as a whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        # SECURITY: it holds everything but the keys
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, tempfile.TemporaryFile(dir=target.parent) as contents:
            yield Writer(file, contents)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


class Reader:
    """Reads a backup. Raises NotDone for what is none, is cut off or was changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about = self._about()

    def entries(self) -> Iterator[tuple[str, Hashed]]:
        """Give each file by its name, then make sure that all are what was written.

        SECURITY: nothing of them may be used before the end was reached.
        """
        seen = hashlib.sha256()
        listed = ""
        for info, file in self._members():
            if info.name == LIST and file:
                listed = Hashed(file).hexdigest()
                break
            if file is None or unsafe(info.name):
                raise self._damaged(f"{info.name!r} has no place in it")
            hashed = Hashed(file)
            yield info.name, hashed
            seen.update(_line(info.name, info.size, hashed.hexdigest()))
        if seen.hexdigest() != listed:
            raise self._damaged("its files are not those that were written")

    def _about(self) -> dict[str, Any]:
        complete = False
        with self._readable():
            for info, file in self._members():
                complete |= info.name == LIST
                found = info.name == ABOUT and complete and file and info.size <= LONGEST_ABOUT
                if found and (about := _object(file.read())):
                    return about
        raise NotDone(INCOMPLETE.format(path=self.path))

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, Any]]:
        with self._readable(), tarfile.open(self.path, "r:") as tar:
            while info := tar.next():
                tar.members = []  # type: ignore[attr-defined]
                yield info, tar.extractfile(info) if info.isreg() else None

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, EOFError) as error:
            raise NotDone(INCOMPLETE.format(path=self.path)) from error

    def _damaged(self, what: str) -> NotDone:
        return NotDone(DAMAGED.format(path=self.path, what=what))


def unsafe(name: str) -> bool:
    """Say whether a name could lead out of the folder that it is unpacked to."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or str(path) != name or "\0" in name or name == "."


def _line(name: str, size: int, sha256: str) -> bytes:
    return json.dumps({"name": name, "size": size, "sha256": sha256}).encode() + b"\n"


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
