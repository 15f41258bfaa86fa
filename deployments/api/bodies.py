"""Bodies that come in chunks (Node's `http.request`, Go's `io.Pipe`, `curl -T -`): Django takes them for empty ones."""

from io import BufferedIOBase
from typing import IO, Any

from django.http import HttpRequest, UnreadablePostError

from environments.api_errors import ApiRefused, Code


class Chunks(BufferedIOBase):
    """The body of a request whose length nobody announced, up to `most` bytes.

    `read` raises ApiRefused beyond them, UnreadablePostError where the body breaks off.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, size: int | None = -1, /) -> bytes:
        most = self._left + 1
        try:
            piece = self._stream.read(most if size is None or size < 0 else min(size, most))
        except OSError as problem:  # as gunicorn calls chunks that are cut off or are none
            raise UnreadablePostError(*problem.args) from problem
        self._left -= len(piece)
        if self._left < 0:
            raise ApiRefused(Code.TOO_LARGE)
        return piece


def chunks_of(request: HttpRequest, most: int) -> Chunks | None:
    """Give the body that comes in chunks; None where its length was announced."""
    environ: dict[str, Any] = request.META
    chunked = environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked"
    return Chunks(environ["wsgi.input"], most) if chunked and environ.get("wsgi.input_terminated") else None
