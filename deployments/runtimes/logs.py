"""Keeps what a package prints within bounds on its way to the log.

SECURITY: a package may print as fast as it can, or one line without an end. Nothing of that may fill the disk, the
memory or a processor of the host: lines are cut, what comes too fast is dropped and counted, and a package that
prints faster than it is read has to wait.
"""

import os
import select
import time
from collections.abc import Callable, Iterator

LINE = 16 * 1024  # bytes of a line that are kept
RATE = 1024 * 1024  # bytes a second that are kept in the long run: a log file of 5 MB in five seconds
BURST = 5 * 1024 * 1024  # bytes that may come at once
PIECE = 64 * 1024
# Bytes a second that are read, which takes the reader about a tenth of a processor
MOST = 200 * 1024 * 1024
QUIET = 0.5  # seconds without output after which is said what was dropped


def pieces(source: int) -> Iterator[bytes]:
    """Read a pipe to its end; an empty piece means that nothing came for a while."""
    begun, taken = time.monotonic(), 0
    while True:
        if not select.select([source], [], [], QUIET)[0]:
            yield b""
            begun, taken = time.monotonic(), 0
            continue
        piece = os.read(source, PIECE)
        if not piece:
            return
        yield piece
        taken += len(piece)
        ahead = taken / MOST - (time.monotonic() - begun)
        if ahead > 0.01:
            time.sleep(ahead)
        elif ahead < -1:
            begun, taken = time.monotonic(), 0


def pump(source: int, sink: int, log: Callable[[bytes], None]) -> None:
    """Pass everything on within bounds, until the last writer has closed the pipe."""
    bounds = Bounds(time.monotonic())

    def keep(text: bytes) -> None:
        log(text)
        _write(sink, text)

    try:
        for piece in pieces(source):
            keep(bounds.keep(piece, time.monotonic()) if piece else bounds.note())
        keep(bounds.end())
    except OSError:
        # Nobody keeps the log any more; the package must not hang on it
        for _ in pieces(source):
            continue


class Bounds:
    """Decides what is kept. `now` is in seconds, by any clock that only goes forward."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._allowance = float(BURST)
        self._flooded = False
        self._dropped = 0  # lines
        # Of the line that has not ended yet: bytes kept, bytes cut, whether it is dropped as a whole
        self._length = self._cut = 0
        self._dropping = False

    def keep(self, piece: bytes, now: float) -> bytes:
        """Give what is kept of the next piece, with a note wherever something is missing."""
        self._allowance = min(BURST, self._allowance + (now - self._now) * RATE)
        self._now = now
        if self._allowance >= RATE:
            self._flooded = False
        if self._flooded and self._between_lines():
            self._dropped += piece.count(b"\n")
            self._dropping = not piece.endswith(b"\n")
            return b""
        *whole, rest = piece.split(b"\n")
        kept = [self._part(part, ends=True) for part in whole]
        if rest:
            kept.append(self._part(rest, ends=False))
        return b"".join(kept)

    def note(self) -> bytes:
        """Say how many lines were dropped since this was said last, unless a line is just being written."""
        if not self._dropped or not self._between_lines():
            return b""
        lines, self._dropped = self._dropped, 0
        return f"… {lines} lines were dropped here: they came faster than a log can take.\n".encode()

    def end(self) -> bytes:
        """Give what is to be said when nothing more comes."""
        ended = b"" if self._between_lines() or not (self._cut or self._dropped) else self._end_of_line()
        return ended + self.note()

    def _between_lines(self) -> bool:
        return not self._length and not self._cut

    def _part(self, part: bytes, ends: bool) -> bytes:
        """Take a part of a line; nothing but its last part ends it."""
        begins = self._between_lines() and not self._dropping
        if begins and (self._flooded or self._allowance < min(len(part), LINE) + 1):
            self._flooded = self._dropping = True
        if self._dropping:
            self._dropping = not ends
            self._dropped += ends
            return b""
        said = self.note() if begins else b""
        kept = part[: LINE - self._length]
        self._length += len(kept)
        self._cut += len(part) - len(kept)
        self._allowance -= len(kept) + 1
        return said + kept + (self._end_of_line() if ends else b"")

    def _end_of_line(self) -> bytes:
        words = f" … cut, {self._cut} bytes more".encode() if self._cut else b""
        self._length = self._cut = 0
        return words + b"\n"


def _write(sink: int, text: bytes) -> None:
    while text:
        text = text[os.write(sink, text) :]
