"""An environment's log: the last lines and what follows them live, older ones page by page, whole days to download."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from itertools import groupby
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from deployments.monitoring.forms import LogFilter
from deployments.monitoring.logs import Excerpt, Line, Reader, Wanted, day_from, days_of, open_day
from environments.access import AppRequest, requires
from environments.models import Environment
from environments.permissions import Permission
from environments.timeline import day_in_words

log = logging.getLogger(__name__)

ON_PAGE = 2000  # lines that a page which follows keeps; beyond that the oldest go, as fast as new ones come
MOST_CHUNKS = 150
SEEN = "logs_seen"
SEEN_FOR = timedelta(hours=1)
_SHOWN = re.compile(r"\d{1,9}(\.\d{1,4}){0,200}", re.ASCII)


def _in_words(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Say it in words where a log can't be read: its disk fails, or what lies in its place is no file of the portal."""

    @wraps(view)
    def read(request: AppRequest, app: str, environment: str, **names: str) -> HttpResponseBase:
        try:
            return view(request, app, environment, **names)
        except OSError:
            log.exception("The log of %s can't be read.", request.environment)
        if request.htmx:  # type: ignore[attr-defined]
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return render(request, "deployments/monitoring/log_unreadable.html", {"active": "logs"}, status=500)

    return read


@requires(Permission.MONITORING)
@_in_words
@require_safe
def logs(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Show the end of the log and follow it, or a page of earlier lines."""
    _note_viewing(request)
    form, asked = LogFilter(request.GET), request.GET
    wanted = form.wanted()
    reader = Reader(request.environment, wanted)
    onwards = bool(asked.get("after"))
    live = not (asked.get("before") or onwards)
    excerpt = reader.next(asked["after"]) if onwards else reader.last(asked.get("before", ""))
    context = _context(request, wanted, excerpt, _Chunks.first(len(excerpt.lines))) | {
        "live": live,
        "today": datetime.now(UTC).date(),
        "older": _query(wanted, before=excerpt.begin) if excerpt.older else "",
        "newer": _query(wanted, after=excerpt.end) if not live else "",
        "newest": _query(wanted),
        "onwards": onwards,
        "form": form,
        "active": "logs",
    }
    return render(request, "deployments/monitoring/logs.html", context)


@requires(Permission.MONITORING)
@_in_words
@require_safe
def lines(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Give what came since the last answer, for a page that follows; nothing where nothing came.

    The answer holds where to go on. Pausing and resuming answer with the part of the page that says so.
    """
    _note_viewing(request)
    wanted, chunks = LogFilter(request.GET).wanted(), _Chunks.read(request.GET.get("shown", ""))
    after = request.GET.get("after", "")
    if "pause" in request.GET:
        context = _context(request, wanted, Excerpt(end=after), chunks) | {"switched": True, "paused": True}
        return render(request, "deployments/monitoring/_more_lines.html", context)
    excerpt = Reader(request.environment, wanted).follow(after)
    resumes = "resume" in request.GET
    if not excerpt.lines and not excerpt.left_out and excerpt.end == after and not resumes:
        return HttpResponse(status=204)
    gone = chunks.add(len(excerpt.lines)) if excerpt.lines else []
    context = _context(request, wanted, excerpt, chunks) | {"switched": resumes, "gone": gone}
    return render(request, "deployments/monitoring/_more_lines.html", context)


@requires(Permission.MONITORING)
@_in_words
@require_safe
def archive(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """List the days of which a log is kept."""
    context = {
        "days": days_of(request.environment),
        "today": datetime.now(UTC).date(),
        "kept_days": settings.LOG_KEPT_DAYS,
        "active": "logs",
    }
    return render(request, "deployments/monitoring/log_days.html", context)


@requires(Permission.MONITORING)
@_in_words
@require_safe
def download(request: AppRequest, app: str, environment: str, day: str) -> HttpResponseBase:
    """Give the log of one UTC day, piece by piece."""
    wanted = day_from(day)
    if wanted is None:
        raise Http404
    answer = answer_with(request.environment, wanted, Actor.of(request), request.method == "GET")
    if answer is None:
        messages.error(request, f"No log of {wanted:%-d %B %Y} is kept. These are the days of which one is.")
        return redirect("deployments:log_days", app, environment)
    return answer


def answer_with(environment: Environment, day: date, by: Actor, with_record: bool = True) -> FileResponse | None:
    """Answer with a day's log as a download, and record it; None where none is kept."""
    file = open_day(environment, day)
    if file is None:
        return None
    if with_record:
        record(Act.LOG_DOWNLOADED, by, f"{day:%-d %B %Y}", app=environment.app, environment=environment)
    headers = {"Cache-Control": "private, no-store"}
    return FileResponse(
        file.content, as_attachment=True, filename=file.name, content_type=file.content_type, headers=headers
    )


def _note_viewing(request: AppRequest) -> None:
    """Record once per session and hour that somebody looks at the log of a production environment."""
    environment, now = request.environment, time.time()
    seen = request.session.get(SEEN, {})
    key = str(environment.pk)
    if not environment.is_production or now - seen.get(key, 0) < SEEN_FOR.total_seconds():
        return
    record(Act.LOG_VIEWED, Actor.of(request), environment.name, app=request.app, environment=environment)
    request.session[SEEN] = {**seen, key: int(now)}


@dataclass
class _Chunks:
    """The answers whose lines are on a page that follows: the number of the first, and how many lines each has.

    The page sends them along, so that the server can say which are to go: nothing runs in the browser for it.
    """

    number: int
    sizes: list[int]

    @classmethod
    def first(cls, size: int) -> "_Chunks":
        return cls(1, [size])

    @classmethod
    def read(cls, text: str) -> "_Chunks":
        if not _SHOWN.fullmatch(text):
            return cls(int(time.time()) % 10**8, [])
        number, *sizes = map(int, text.split("."))
        return cls(number, sizes)

    def add(self, size: int) -> list[int]:
        """Add one at the end; give the numbers of those that have to go for it."""
        self.sizes.append(size)
        gone = []
        while len(self.sizes) > 1 and (sum(self.sizes) > ON_PAGE or len(self.sizes) > MOST_CHUNKS):
            self.sizes.pop(0)
            gone.append(self.number)
            self.number += 1
        return gone

    @property
    def last(self) -> int:
        return self.number + len(self.sizes) - 1

    def __str__(self) -> str:
        return ".".join(map(str, [self.number, *self.sizes]))


def _context(request: AppRequest, wanted: Wanted, excerpt: Excerpt, chunks: _Chunks) -> dict[str, Any]:
    return {
        "excerpt": excerpt,
        "days": _by_day(excerpt.lines),
        "chunk": chunks.last,
        "shown": str(chunks),
        "wanted": wanted,
        "query": _query(wanted),
    }


def _by_day(lines: list[Line]) -> list[tuple[str, list[Line]]]:
    """Put lines under the day they are from in the reader's zone, which today's need not be told."""
    today = timezone.localdate()

    def day(line: Line) -> str:
        at = timezone.localdate(line.at) if line.at else today
        return "" if at == today else day_in_words(at, today)

    return [(title, list(found)) for title, found in groupby(lines, day)]


def _query(wanted: Wanted, **more: str) -> str:
    level = wanted.level.name.lower() if wanted.level else ""
    return urlencode({name: value for name, value in {"level": level, "q": wanted.words, **more}.items() if value})
