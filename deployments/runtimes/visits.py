"""Counts what visitors met, from the router's access log: a line of JSON for each request, see Caddy's `logging`."""

import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from deployments.runtimes.base import QUICKER_THAN, Traffic, Visits

CURSOR = re.compile(r"(\d{1,20})\.(\d{1,15})", re.ASCII)
NAME = "access.log"
ROLLED = "access-*.log"  # as Caddy calls what it puts aside when the log is too large
EMPTY = "0.0"
PIECE = 1024 * 1024
CLASSES = 5  # of a status: 1xx to 5xx


class _Count:
    def __init__(self) -> None:
        self.statuses = [0] * CLASSES
        self.seconds = [0] * (len(QUICKER_THAN) + 1)

    def add(self, status: int, seconds: float) -> None:
        self.statuses[min(max(status // 100, 1), CLASSES) - 1] += 1
        self.seconds[next((place for place, bound in enumerate(QUICKER_THAN) if seconds < bound), -1)] += 1


def since(folder: Path, cursor: str, known: Collection[str]) -> Visits:
    """Count the requests to known hosts since the cursor; without one, or where it is gone, from now on."""
    current = folder / NAME
    match = CURSOR.fullmatch(cursor)
    number, offset = (int(match[1]), int(match[2])) if match else (0, 0)
    counts: dict[str, _Count] = {}
    try:
        now = current.stat()
    except FileNotFoundError:
        # Nobody has come yet; whoever does counts
        return Visits(cursor or EMPTY, ())
    if cursor == EMPTY:
        offset = 0
    elif number != now.st_ino:
        rolled = next((path for path in folder.glob(ROLLED) if path.stat().st_ino == number), None)
        if rolled is None:
            return Visits(f"{now.st_ino}.{now.st_size}", ())
        _read(rolled, offset, known, counts)
        offset = 0
    end = _read(current, offset, known, counts)
    hosts = [Traffic(host, tuple(count.statuses), tuple(count.seconds)) for host, count in sorted(counts.items())]
    return Visits(f"{now.st_ino}.{end}", tuple(hosts))


def _read(path: Path, offset: int, known: Collection[str], counts: dict[str, _Count]) -> int:
    """Count a file's whole lines from the offset on; give where they end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        file.seek(offset)
        for line in _whole_lines(file.fileno(), offset):
            offset += len(line)
            try:
                said = json.loads(line)
                host = said["request"]["host"].partition(".")[0].lower()
                status, seconds = int(said["status"]), float(said["duration"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # what a crash left, or a line about something else
            # SECURITY: a visitor can ask for any number of hosts; only those that lead somewhere are counted
            if host in known:
                counts.setdefault(host, _Count()).add(status, seconds)
    return offset


def _whole_lines(file: int, offset: int) -> Iterator[bytes]:
    begun = b""
    while piece := os.pread(file, PIECE, offset):
        offset += len(piece)
        *whole, begun = (begun + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
