"""The file that an upload brings: as a form's field, or as the bare body. Either goes to disk as it comes in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files import File
from django.core.files.uploadhandler import SkipFile
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict

from deployments.api.bodies import chunks_of
from deployments.errors import NoRoom
from deployments.repository import NO_ROOM as NO_ROOM_WORDS
from deployments.uploads import NO_ROOM, PIECE, ReservingUploadHandler
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code

FIELD = "file"
UNNAMED = "package.zip"
NO_FILE = "Send the package as a form with the field “file” (multipart/form-data), or as the bare body."
CUT_OFF = "The upload broke off before its end."


@contextmanager
def file_of(request: ApiRequest, name: str) -> Iterator[File[bytes]]:
    """Give the uploaded file; it is gone afterwards, unless a flow moved it. Raises NoRoom or ApiRefused."""
    form = (request.content_type or "").lower() == "multipart/form-data"
    file = _of_form(request) if form else _bare(request, name or UNNAMED)
    try:
        yield file
    finally:
        file.close()


def _of_form(request: ApiRequest) -> File[bytes]:
    try:
        file = _files_of(request).get(FIELD)
    except MultiPartParserError as problem:
        raise ApiRefused(Code.INVALID_REQUEST, f"The form can't be read. {NO_FILE}") from problem
    except SuspiciousOperation as problem:
        raise ApiRefused(Code.INVALID_REQUEST, "The form has too much beside its file.") from problem
    if getattr(request, NO_ROOM, False):
        raise NoRoom(NO_ROOM_WORDS)
    if not isinstance(file, File):
        raise ApiRefused(Code.INVALID_REQUEST, NO_FILE)
    return file


def _files_of(request: ApiRequest) -> MultiValueDict[str, Any]:
    chunks = chunks_of(request, settings.PACKAGE_MAX_BYTES + settings.FORM_MAX_BYTES)
    if chunks is None:
        return request.FILES
    # The parser takes a form without a length for an empty one; it reads to the end whatever the number says
    meta = {**request.META, "CONTENT_LENGTH": "1"}
    _, files = MultiPartParser(meta, chunks, [ReservingUploadHandler(request)]).parse()
    return files


def _bare(request: ApiRequest, name: str) -> File[bytes]:
    read, announced = _body(request)
    handler = ReservingUploadHandler(request)
    handler.handle_raw_input(None, request.META, announced, None)
    try:
        handler.new_file(FIELD, name, "application/zip", announced, None, None)
        size = 0
        while piece := read(PIECE):
            if size + len(piece) > settings.PACKAGE_MAX_BYTES:
                raise ApiRefused(Code.TOO_LARGE)
            handler.receive_data_chunk(piece, size)
            size += len(piece)
    except BaseException as problem:
        handler.upload_interrupted()
        if isinstance(problem, SkipFile):
            raise NoRoom(NO_ROOM_WORDS) from problem
        raise
    return _complete(handler, size, announced)


def _complete(handler: ReservingUploadHandler, size: int, announced: int) -> File[bytes]:
    if size < announced or not size:
        handler.upload_interrupted()
        raise ApiRefused(Code.INVALID_REQUEST, CUT_OFF if size < announced else NO_FILE)
    file = handler.file_complete(size)
    if file is None:
        raise ApiRefused(Code.UPLOAD_COPY_FAILED)
    return file


def _body(request: ApiRequest) -> tuple[Callable[[int], bytes], int]:
    """Give how the body is read, and its length where that is known."""
    if chunks := chunks_of(request, settings.PACKAGE_MAX_BYTES):
        return chunks.read, 0
    return request.read, int(request.META.get("CONTENT_LENGTH") or 0)
