"""Streams a backup's parts into the storage: hashed on the way, never whole in memory, the disk's reserve kept."""

import contextlib
import errno
import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import default_storage

from deployments.endings import Failed
from deployments.errors import NoRoom
from deployments.repository import refuse_without_room
from deployments.uploads import Hash

PIECE = 1024 * 1024  # bytes
ROOM_EVERY = 64 * PIECE  # bytes between two looks at the disk
FULL = "There is not enough room on the portal's disk. Tell whoever operates the portal."


@dataclass(frozen=True)
class Kept:
    """What was stored: under which name, how many bytes, with which SHA-256."""

    name: str
    size: int
    sha256: str


class Incoming(File):  # type: ignore[type-arg]
    """A stream as the storage wants a file; `heed` is asked all the time and raises to give up."""

    def __init__(self, stream: BinaryIO, heed: Callable[[], None]) -> None:
        super().__init__(stream, "incoming")
        self.stream = stream
        self.heed = heed
        self.taken = 0
        self.hash = Hash()

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        checked = 0
        while piece := self.stream.read(PIECE):
            self.hash.add(piece)
            self.taken += len(piece)
            if self.taken - checked >= ROOM_EVERY:
                checked = self.taken
                refuse_without_room()
            self.heed()
            yield piece


def store(name: str, stream: BinaryIO, heed: Callable[[], None]) -> Kept:
    """Keep a stream under a name that is free; raises Failed where there is no room, and leaves nothing then."""
    incoming = Incoming(stream, heed)
    try:
        refuse_without_room()
        stored = default_storage.save(name, incoming)
        _make_durable(stored)
    except BaseException as error:
        remove([name])
        if is_full(error):
            raise Failed(FULL) from error
        raise
    return Kept(stored, incoming.taken, incoming.hash.hexdigest())


def is_full(error: BaseException) -> bool:
    """Say whether an error means that there is no room."""
    return isinstance(error, NoRoom) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def remove(names: list[str]) -> None:
    """Remove what was stored; what can't go now is found by the nightly look for files that nothing knows.

    The folder of a backup goes with the last of it.
    """
    folders = {posixpath.dirname(name) for name in names}
    for name in [*names, *folders]:
        with contextlib.suppress(OSError):
            default_storage.delete(name)


def open_stored(name: str) -> BinaryIO:
    return cast(BinaryIO, default_storage.open(name, "rb"))


def _make_durable(name: str) -> None:
    """Have it written down where the storage is this machine's disk: a power cut must not take what is "completed"."""
    try:
        path = Path(default_storage.path(name))
    except NotImplementedError:
        return
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
