"""Answers a download: streamed from the storage, in parts where a browser goes on after a lost connection."""

import re

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from deployments.backups.bundle import Bundle, Stored

# RFC 9110, 14.2: one range; whoever asks for several gets all of it
RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def asked_range(request: HttpRequest, bundle: Bundle) -> tuple[int, int] | None:
    """Give the bytes that are asked for, as start and end (not included); None for a range that there is not.

    A range of another content than this one (`If-Range`) is all of it.
    """
    found = RANGE.fullmatch(request.headers.get("Range", "").strip())
    if not found or request.headers.get("If-Range", bundle.etag) != bundle.etag or not any(found.groups()):
        return 0, bundle.size
    first, last = found.groups()
    if not first:
        return (max(0, bundle.size - int(last)), bundle.size) if int(last) else None
    end = min(int(last) + 1, bundle.size) if last else bundle.size
    return (int(first), end) if int(first) < end else None


def answer(request: HttpRequest, bundle: Bundle) -> HttpResponseBase:
    """Stream what is asked for of a bundle; memory stays flat."""
    headers = {"Accept-Ranges": "bytes", "ETag": bundle.etag, "Cache-Control": "private, no-store"}
    wanted = asked_range(request, bundle)
    if wanted is None:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{bundle.size}"})
    start, end = wanted
    part = end - start < bundle.size
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{bundle.size}"
    headers |= {
        "Content-Length": str(end - start),
        "Content-Disposition": f'attachment; filename="{bundle.filename}"',
    }
    content = iter(()) if request.method == "HEAD" else bundle.read(start, end)
    return StreamingHttpResponse(
        content, status=206 if part else 200, content_type=bundle.content_type, headers=headers
    )


def is_there(bundle: Bundle) -> bool:
    """Say whether all of it lies in the storage, whole."""
    stored = [piece for piece in bundle.pieces if isinstance(piece, Stored)]
    try:
        return all(default_storage.size(piece.name) == piece.size for piece in stored)
    except OSError:
        return False
