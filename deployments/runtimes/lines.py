"""Writes an environment's log: whole lines, each with its UTC time and the number of the instance that wrote it.

A file holds a piece of one UTC day: `2026-05-03.1.log`, then `2026-05-03.2.log` and so on. Several instances append to
the same one, so what one of them writes at once ends with a line.
"""

import contextlib
import os
import re
import threading
import time
from pathlib import Path

from deployments.runtimes import files

PIECE = re.compile(r"(\d{4}-\d\d-\d\d)\.([1-9]\d{0,8})\.log", re.ASCII)
# Bytes after which the next piece begins: small enough to be dropped one by one where a log is too large
SIZE = 16 * 1024 * 1024
PATIENCE = 3.0  # seconds; a program that asks or waits in the middle of a line is seen to do so
OPENING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def stamp(now: float) -> str:
    """Write a time, in seconds since 1970, as ISO 8601 in UTC with milliseconds."""
    whole = int(now)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((now - whole) * 1000):03}Z"


def pieces(folder: Path) -> list[tuple[str, int]]:
    """List the pieces that are there as pairs of day and number, oldest first."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only
    except FileNotFoundError:
        return []
    return sorted((match[1], int(match[2])) for name in names if (match := PIECE.fullmatch(name)))


def name_of(piece: tuple[str, int]) -> str:
    return f"{piece[0]}.{piece[1]}.log"


class Lines:
    """What one instance writes into its environment's log.

    It never fails: where nothing can be written, on a full disk for example, lines are lost and the app goes on.
    """

    def __init__(self, folder: Path, instance: int) -> None:
        self._folder = folder
        self._instance = instance
        self._begun = b""
        self._begun_at = 0.0
        self._lock = threading.Lock()
        self._piece = "", 0
        self._file: int | None = None
        self._torn = self._has_begun = False

    def take(self, text: bytes) -> None:
        """Write the lines that are whole; what is begun waits for its end, or a while for nothing more to come."""
        with self._lock:
            whole, end, self._begun = (self._begun + text).rpartition(b"\n")
            if end:
                self._write(whole)
            if text:
                self._begun_at = time.monotonic()
            elif self._begun and time.monotonic() - self._begun_at > PATIENCE:
                self._write(self._begun)
                self._begun = b""

    def flush(self) -> None:
        """Write what is begun as a line of its own."""
        if self._begun:
            self.take(b"\n")

    def say(self, sentence: str) -> None:
        """Write a line of the portal's own."""
        with self._lock:
            self._write(f"[portal] {sentence}".encode())

    def _write(self, whole: bytes) -> None:
        now = time.time()
        before = f"{stamp(now)} {self._instance} ".encode()
        text = before + whole.replace(b"\n", b"\n" + before) + b"\n"
        try:
            file = self._open(time.strftime("%Y-%m-%d", time.gmtime(now)))
            text = b"\n" + text if self._torn else text
            self._torn = True  # until all of it is written
            while text:
                text = text[os.write(file, text) :]
            self._torn = False
        except OSError:
            self._close()

    def _open(self, day: str) -> int:
        """Give the file that is to be written to now: of this day, still there, and not too large."""
        if self._file is not None and self._piece[0] == day:
            status = os.fstat(self._file)
            if status.st_nlink and status.st_size < SIZE:
                return self._file
        self._close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = max((number for each, number in pieces(self._folder) if each == day), default=1)
        with contextlib.suppress(FileNotFoundError):
            number += (self._folder / name_of((day, number))).lstat().st_size >= SIZE
        self._piece = day, number
        path = self._folder / name_of(self._piece)
        self._file = os.open(path, OPENING, 0o600)
        if not self._has_begun:
            # A crash of the host may have cut off a line, and may have left zeros in its place
            self._torn = files.tail(path, 1) not in (b"", b"\n")
            self._has_begun = True
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
