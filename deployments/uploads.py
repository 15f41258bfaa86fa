"""Takes uploads to disk without ever filling it."""

import errno
import time
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler

from deployments.errors import NoRoom
from deployments.repository import refuse_without_room

NO_ROOM = "no_room"
ABANDONED_AFTER = 24 * 3600  # seconds; no upload takes so long


class ReservingUploadHandler(TemporaryFileUploadHandler):
    """Writes a file to the upload folder; where room runs out the file is passed over and the request told so.

    Django reads uploads before a view is asked, so the reserve must be kept here already.
    """

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

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        try:
            return super().receive_data_chunk(raw_data, start)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._pass_over()

    def _pass_over(self) -> NoReturn:
        setattr(self.request, NO_ROOM, True)
        raise SkipFile


def remove_abandoned() -> None:
    """Remove what uploads left behind whose web process was killed."""
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).glob("*.upload*"):
        if path.stat().st_mtime < time.time() - ABANDONED_AFTER:
            path.unlink(missing_ok=True)
