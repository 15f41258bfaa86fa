"""What all that works on an environment's data inside its sandbox shares."""

import os
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import Protocol

DATABASE = "database.sqlite3"
# What SQLite keeps beside it; `-shm` holds nothing that the others don't
OWN = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-journal", f"{DATABASE}-shm")
# Of the archive that the portal gives to download
MANIFEST, FILES, MADE_BY = "backup.json", "files.tar", "developer-portal"
PIECE = 1024 * 1024
BLOCK = tarfile.BLOCKSIZE
LOCKED_FOR = 60.0  # seconds to wait for an app that keeps its database locked
MOST_DEPTH = 1000
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DAMAGED = "The archive is cut short or damaged."


class Refused(Exception):
    """The data can't be read or are not taken; the message is a sentence."""


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Begun:
    """A stream whose first bytes were looked at already."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.begin = b""
        while len(self.begin) < BLOCK and (piece := source.read(BLOCK - len(self.begin))):
            self.begin += piece
        self.kept = self.begin

    def read(self, size: int, /) -> bytes:
        if not self.kept:
            return self.source.read(size)
        piece, self.kept = self.kept[:size], self.kept[size:]
        return piece


class Hashed:
    """A stream that works out its own SHA-256, beside the thread that reads it."""

    def __init__(self, source: Source) -> None:
        self.source, self.sha = source, sha256()
        self.worker = ThreadPoolExecutor(1)
        self.latest: Future[None] | None = None

    def read(self, size: int, /) -> bytes:
        piece = self.source.read(size)
        self.wait()
        self.latest = self.worker.submit(self.sha.update, piece)
        return piece

    def wait(self) -> None:
        if self.latest:
            self.latest.result()

    def hexdigest(self) -> str:
        while self.read(PIECE):
            pass
        self.wait()
        self.worker.shutdown()
        return self.sha.hexdigest()


def write_all(target: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(target, left) :]


def shown(name: str) -> str:
    text = name if len(name) <= 80 else f"{name[:60]}…{name[-19:]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def refused(name: str, problem: str) -> Refused:
    return Refused(f"The entry “{shown(name)}” {problem}.")
