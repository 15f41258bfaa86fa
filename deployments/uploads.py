"""Takes uploads to disk without ever filling it."""

import errno
import hashlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler

from deployments.errors import NoRoom
from deployments.repository import SHA256, refuse_without_room

NO_ROOM = "no_room"
PIECE = 512 * 1024  # bytes taken from the connection at once: least time for a large file (make bench)
ABANDONED_AFTER = 24 * 3600  # seconds; no upload takes so long


hashing = ThreadPoolExecutor(thread_name_prefix="hashing")


class Hash:
    """The SHA-256 of what comes in, worked out beside the thread that takes it in, one piece at a time."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._latest: Future[None] | None = None

    def add(self, piece: bytes) -> None:
        self._wait()
        self._latest = hashing.submit(self._sha.update, piece)

    def hexdigest(self) -> str:
        self._wait()
        return self._sha.hexdigest()

    def _wait(self) -> None:
        if self._latest:
            self._latest.result()


class ReservingUploadHandler(TemporaryFileUploadHandler):
    """Writes a file to the upload folder; where room runs out the file is passed over and the request told so.

    Django reads uploads before a view is asked, so the reserve must be kept here already. The file's SHA-256 is
    known when its last byte is in: it is not read for that again.
    """

    chunk_size = PIECE

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: str | None = None
    ) -> None:
        self.announced = content_length

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        try:
            refuse_without_room(self.announced)
        except NoRoom:
            self._pass_over()
        super().new_file(*args, **kwargs)
        self.hash = Hash()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        try:
            refuse_without_room(len(raw_data))  # others may write meanwhile, and not every upload says how long it is
            super().receive_data_chunk(raw_data, start)
        except NoRoom:
            self._pass_over()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._pass_over()
        self.hash.add(raw_data)
        return None

    def file_complete(self, file_size: int) -> "UploadedFile[bytes] | None":
        file = super().file_complete(file_size)
        setattr(file, SHA256, self.hash.hexdigest())
        return file

    def _pass_over(self) -> NoReturn:
        setattr(self.request, NO_ROOM, True)
        raise SkipFile


def remove_abandoned() -> None:
    """Remove what uploads left behind whose web process was killed."""
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).glob("*.upload*"):
        if path.stat().st_mtime < time.time() - ABANDONED_AFTER:
            path.unlink(missing_ok=True)
