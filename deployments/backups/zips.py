"""Gives a zip archive of files as a tar archive, read strictly and never whole in memory; other content as it is."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, cast

from django.conf import settings

from deployments.archives import Placed, read_content, read_entries
from deployments.backups.bundle import Reader
from deployments.endings import Failed
from deployments.limits import limits
from deployments.packages import PackageRefused

ZIP = b"PK"
BLOCK = tarfile.BLOCKSIZE


@contextmanager
def as_tar(upload: BinaryIO) -> Iterator[BinaryIO]:
    """Give something to read from; raises Failed, naming the entry, for a zip archive that is not accepted."""
    begin = upload.read(len(ZIP))
    upload.seek(0)
    if begin != ZIP:
        yield upload
        return
    try:
        entries = read_entries(upload, replace(limits(), max_entries=settings.BACKUP_MAX_ENTRIES))
        yield cast(BinaryIO, Reader(_pieces(upload, entries)))
    except PackageRefused as refusal:
        raise Failed(refusal.reason) from refusal


def _pieces(archive: BinaryIO, entries: list[Placed]) -> Iterator[bytes]:
    for placed in entries:
        entry = placed.entry
        info = tarfile.TarInfo(entry.name)
        info.type = tarfile.DIRTYPE if entry.is_folder else tarfile.REGTYPE
        info.size = 0 if entry.is_folder else entry.size
        info.mode = 0o755 if entry.is_folder or entry.is_executable else 0o644
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield from read_content(archive, placed)
        yield bytes(-info.size % BLOCK)
    yield bytes(2 * BLOCK)
