"""Reads an environment's log, and keeps its days: archived once they are over, removed when they are old.

`lines` says how it is written. An archive, `2026-05-02.log.gz`, holds a whole day. The pieces of today and yesterday
stay beside, so that the last hours can be read from the end without unpacking anything.
"""

import contextlib
import gzip
import io
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from deployments.runtimes import files
from deployments.runtimes.base import LogDay, LogPart
from deployments.runtimes.lines import name_of, pieces

logger = logging.getLogger(__name__)

ARCHIVE = re.compile(r"(\d{4}-\d\d-\d\d)\.log\.gz", re.ASCII)
CURSOR = re.compile(r"(\d{4}-\d\d-\d\d)\.([1-9]\d{0,8})\.(\d{1,15})", re.ASCII)
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
COPIED = 256 * 1024  # bytes at once
END = 10**15  # beyond any file's size
LEVEL = 6  # of compression: zlib's own balance of time and size
Piece = tuple[str, int]


class Days:
    """The log of one environment, in its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def before(self, cursor: str, most: int) -> LogPart:
        """Give the whole lines that end at the cursor (at the end without one), at most `most` bytes of them."""
        there = pieces(self._folder)
        place = _place(cursor, there)
        if place is None:
            if not there:
                return LogPart(b"", "", "", False)
            place = there[-1], END
        piece, end = place[0], min(place[1], self._size(place[0]))
        while not end and (earlier := [each for each in there if each < piece]):
            piece = earlier[-1]
            end = self._size(piece)
        start = max(0, end - most)
        text = self._read(piece, start, end - start)
        if start:
            # Where no line begins in it, it is what a crash of the host left there; reading goes on before it
            cut = (text.find(b"\n") + 1) % len(text)
            start, text = start + cut, text[cut:] if cut else b""
        text = text[: text.rfind(b"\n") + 1]
        return LogPart(text, _cursor(piece, start), _cursor(piece, start + len(text)), bool(start) or piece > there[0])

    def after(self, cursor: str, most: int) -> LogPart:
        """Give the whole lines that follow the cursor (from the start without one), at most `most` bytes of them."""
        there = pieces(self._folder)
        if not there:
            return LogPart(b"", "", "", False)
        piece, start = _place(cursor, there) or (there[0], 0)
        size = self._size(piece)
        while start >= size and (later := [each for each in there if each > piece]):
            piece, start = later[0], 0
            size = self._size(piece)
        start = min(start, size)
        read = self._read(piece, start, min(most, size - start))
        text = read[: read.rfind(b"\n") + 1]
        # As above; but the last line may just be written
        end = start + len(text if text or len(read) < most else read)
        return LogPart(
            text, _cursor(piece, start), _cursor(piece, end), end > start and (end < size or piece < there[-1])
        )

    def left(self, cursor: str) -> int:
        """Say how many bytes lie between the cursor and the end."""
        there = pieces(self._folder)
        place = _place(cursor, there)
        if place is None:
            return 0
        return max(0, sum(self._size(each) for each in there if each >= place[0]) - place[1])

    def listed(self) -> list[LogDay]:
        """List the days of which anything is kept, newest first, with their size as a download in bytes."""
        plain: dict[str, int] = {}
        for piece in pieces(self._folder):
            plain[piece[0]] = plain.get(piece[0], 0) + self._size(piece)
        packed = self._archives()
        return [
            LogDay(date.fromisoformat(day), packed.get(day, plain.get(day, 0)), day in packed)
            for day in sorted({*plain, *packed}, reverse=True)
        ]

    def open(self, day: date) -> BinaryIO:
        """Open a day as it is listed; FileNotFoundError where nothing is kept of it."""
        with contextlib.suppress(FileNotFoundError):
            return os.fdopen(self._descriptor(archive_name(day.isoformat())), "rb")
        names = [name_of(piece) for piece in pieces(self._folder) if piece[0] == day.isoformat()]
        if not names:
            raise FileNotFoundError(day.isoformat())
        return io.BufferedReader(_Joined([self._descriptor(name) for name in names]), COPIED)

    def keep(self, kept: int, most: int, today: date | None = None) -> None:
        """Archive the days that are over, then remove what is older than `kept` days or more than `most` bytes."""
        now = today or datetime.now(UTC).date()
        yesterday = (now - timedelta(days=1)).isoformat()
        for name in self._names():
            if name.startswith("."):  # what was being written when a worker was killed
                self._remove(name)
        for day in sorted({piece[0] for piece in pieces(self._folder) if piece[0] < now.isoformat()}):
            self._archive(day)
            if day < yesterday:
                self._remove(*(name_of(piece) for piece in pieces(self._folder) if piece[0] == day))
        oldest = (now - timedelta(days=kept)).isoformat()
        self._remove(*(archive_name(day) for day in self._archives() if day < oldest))
        self._fit(most)

    def _archive(self, day: str) -> None:
        """Write the day's archive where there is none, or something was written since; all of it or nothing."""
        names = [name_of(piece) for piece in pieces(self._folder) if piece[0] == day]
        written = max((self._folder / name).lstat().st_mtime_ns for name in names)
        target = self._folder / archive_name(day)
        with contextlib.suppress(FileNotFoundError):
            if target.lstat().st_mtime_ns == written:
                return
        aside = self._folder / f".{target.name}"
        with os.fdopen(os.open(aside, WRITING, 0o600), "wb") as file:
            with gzip.GzipFile(target.name, "wb", LEVEL, file, 0) as packed, self._plain(names) as source:
                shutil.copyfileobj(source, packed, COPIED)
            file.flush()
            os.fsync(file.fileno())
        # What is written from here on makes the archive one that is to be written again
        os.utime(aside, ns=(written, written))
        aside.replace(target)

    def _fit(self, most: int) -> None:
        """Remove the oldest until the rest is not more than `most` bytes; what is written to now stays."""
        there, archives = pieces(self._folder), self._archives()
        names: list[str] = []
        for day in sorted({*archives, *(piece[0] for piece in there)}):
            # Of yesterday, which is there twice, the pieces go first
            names += [name_of(piece) for piece in there[:-1] if piece[0] == day]
            names += [archive_name(day)] if day in archives else []
        sizes = {name: (self._folder / name).lstat().st_size for name in names}
        total = sum(sizes.values()) + (self._size(there[-1]) if there else 0)
        while names and total > most:
            name = names.pop(0)
            self._remove(name)
            total -= sizes[name]

    def _plain(self, names: list[str]) -> BinaryIO:
        return io.BufferedReader(_Joined([self._descriptor(name) for name in names]), COPIED)

    def _archives(self) -> dict[str, int]:
        names = [match for name in self._names() if (match := ARCHIVE.fullmatch(name))]
        return {match[1]: (self._folder / match[0]).lstat().st_size for match in names}

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._folder)  # noqa: PTH208 - names only
        except FileNotFoundError:
            return []

    def _remove(self, *names: str) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _size(self, piece: Piece) -> int:
        try:
            return (self._folder / name_of(piece)).lstat().st_size
        except FileNotFoundError:
            return 0

    def _read(self, piece: Piece, start: int, length: int) -> bytes:
        try:
            with os.fdopen(self._descriptor(name_of(piece)), "rb", 0) as file:
                return os.pread(file.fileno(), length, start)
        except FileNotFoundError:  # removed meanwhile
            return b""

    def _descriptor(self, name: str) -> int:
        """Open one of the folder's files.

        SECURITY: neither folder nor file is followed as a link, wherever one was planted, and only a plain file counts.
        """
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor = os.open(name, READING, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{name} is not a file.")
        return descriptor


class _Joined(io.RawIOBase):
    """Files one after the other, each as long as it was when they were opened: a log that grows comes to an end."""

    def __init__(self, descriptors: list[int]) -> None:
        super().__init__()
        self._left = [(descriptor, os.fstat(descriptor).st_size) for descriptor in descriptors]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # SECURITY: a slice of a bytearray is a copy; what is read would go there, and memory of old be given out
        view = memoryview(buffer)
        while self._left:
            descriptor, size = self._left[0]
            read = os.readv(descriptor, [view[: min(size, len(view))]]) if size else 0
            if read:
                self._left[0] = descriptor, size - read
                return read
            os.close(self._left.pop(0)[0])
        return 0

    def close(self) -> None:
        for descriptor, _ in self._left:
            os.close(descriptor)
        self._left = []
        super().close()


def every(root: Path) -> Iterator[tuple[int, Days]]:
    """Give the log of each environment that has one."""
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(root.iterdir()):
            if folder.name.isdecimal():
                yield int(folder.name), Days(folder)


def keep_all(root: Path, locks: Path, kept: int, most: int) -> None:
    """Keep every environment's log (`Days.keep`); one that another process is at is left to it."""
    for environment, log in every(root):
        lock = files.hold(locks / f"log-{environment}")
        if lock is not None:
            try:
                log.keep(kept, most)
            except OSError as failure:  # of one environment; those of the others are kept all the same
                logger.warning("The log of environment %s could not be kept: %s", environment, failure)
            finally:
                os.close(lock)


def _place(cursor: str, there: list[Piece]) -> tuple[Piece, int] | None:
    """Find where a cursor points to; where its piece is gone, the beginning of what came next, or the end."""
    match = CURSOR.fullmatch(cursor)
    if match is None:
        return None
    piece = match[1], int(match[2])
    if piece in there:
        return piece, int(match[3])
    later = [each for each in there if each > piece]
    if later:
        return later[0], 0
    return (there[-1], END) if there else None


def _cursor(piece: Piece, offset: int) -> str:
    return f"{piece[0]}.{piece[1]}.{offset}"


def archive_name(day: str) -> str:
    return f"{day}.log.gz"
