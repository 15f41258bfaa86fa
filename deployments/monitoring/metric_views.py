"""How an environment fares, as pictures over an hour, a day, a week or a month, with a table behind each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from deployments.monitoring import metrics
from deployments.monitoring.charts import Drawing, Line, draw
from deployments.monitoring.metrics import Series, Stretch
from deployments.monitoring.ranges import RANGES, Range
from deployments.monitoring.usage import usage_of
from deployments.runtimes import get_runtime
from environments.access import AppRequest, requires
from environments.models import Environment
from environments.permissions import Permission, allowed
from portal.templatetags.portal import filesize

LABELS = 4  # moments below a picture
Value = Callable[[Stretch], float | None]


@dataclass(frozen=True)
class Column:
    """One line of a picture and the column of its table; `lasts` until it is found out anew."""

    name: str
    value: Value
    kind: str = "a"
    lasts: bool = False

    def of(self, series: Series) -> list[float | None]:
        return series.carried(self.value) if self.lasts else series.values(self.value)


@dataclass(frozen=True)
class Picture:
    """What one picture shows: its columns, how a value is written, what a screen reader and a hint say.

    `bound` says what holds for it, as far as that is known.
    """

    name: str
    hint: str
    columns: Sequence[Column]
    words: Callable[[float], str]
    base: float = 10
    bound: Callable[[Environment], str] = lambda environment: ""


@dataclass(frozen=True)
class Shown:
    """A picture with its drawing, what is so now, and the parts of the page that are many: written here, not in a
    template, which takes five times as long.
    """

    picture: Picture
    drawing: Drawing
    bound: str
    now: str
    ticks: SafeString
    lines: SafeString
    heads: SafeString
    rows: SafeString


@requires(Permission.MONITORING)
@require_safe
def metrics_page(request: AppRequest, app: str, environment: str) -> HttpResponse:
    wanted = RANGES.get(request.GET.get("range", ""), RANGES["day"])
    series = metrics.read(request.environment, wanted, timezone.now())
    context = {
        "wanted": wanted,
        "ranges": RANGES.values(),
        "pictures": [] if series.is_empty else _shown(request.environment, series, wanted),
        "may_back_up": allowed(Permission.BACKUPS, request.standing, request.environment.is_production),
        "moments": _spans(_short(series.moment(wanted.count * part // LABELS), wanted) for part in range(LABELS + 1)),
        "active": "metrics",
    }
    return render(request, "deployments/monitoring/metrics.html", context)


def _shown(environment: Environment, series: Series, wanted: Range) -> list[Shown]:
    rows = series.grouped(wanted.rows_of)
    moments = [escape(_short(rows.moment(place), wanted, whole=True)) for place in range(len(rows.stretches))]
    return [_show(picture, picture.bound(environment), series, rows, moments) for picture in PICTURES]


def _show(picture: Picture, bound: str, series: Series, rows: Series, moments: list[SafeString]) -> Shown:
    lines = [Line(column.name, column.of(series), column.kind) for column in picture.columns]
    drawing = draw(lines, picture.words, picture.base)
    now = [f"{line.name.lower()} {picture.words(last)}" for line in lines if (last := _last(line.values)) is not None]
    return Shown(
        picture,
        drawing,
        bound,
        ", ".join(now),
        ticks=_spans(drawing.ticks),
        lines=format_html_join(
            "", '<path class="line {}" d="{}"/>', ((each.kind, each.path) for each in drawing.paths)
        ),
        heads=format_html_join("", '<th scope="col">{}</th>', ((column.name,) for column in picture.columns)),
        rows=_table(picture, rows, moments),
    )


def _spans(texts: Iterable[str]) -> SafeString:
    return format_html_join("", "<span>{}</span>", ((text,) for text in texts))


def _table(picture: Picture, rows: Series, moments: list[SafeString]) -> SafeString:
    """Write the rows, newest first, and all at once: one by one they take twice as long."""
    columns = [column.of(rows) for column in picture.columns]
    places = [place for place in reversed(range(len(moments))) if rows.stretches[place]]
    row = f'<tr><th scope="row">{{}}</th>{"<td>{}</td>" * len(columns)}</tr>'
    cells = [(moments[place], *(_word(picture, each[place]) for each in columns)) for place in places]
    return format_html(row * len(places), *chain.from_iterable(cells))


def _word(picture: Picture, value: float | None) -> str:
    return "–" if value is None else picture.words(value)


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _short(at: datetime, wanted: Range, whole: bool = False) -> str:
    local = timezone.localtime(at)
    if wanted.name in ("hour", "day"):
        return f"{local:%H:%M}"
    return f"{local:%a %-d %b}, {local:%H:%M}" if whole else f"{local:%-d %b}"


def _number(value: float) -> str:
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    if value >= 1:
        return f"{value:.1f}"
    return f"{value:.2g}" if value >= 0.001 else "less than 0.001"


def _percent(value: float) -> str:
    return f"{_number(value)} %"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{_number(seconds * 1000)} ms"


def _bytes(value: float) -> str:
    return filesize(int(value))


def _rate(status: int) -> Value:
    return lambda stretch: stretch.requests(status)


def _most_memory(environment: Environment) -> str:
    limits = get_runtime().limits()
    return f"{_bytes(limits.memory)} at most{'' if limits.together else ' for each'}"


def _room(environment: Environment) -> str:
    usage = usage_of(environment.pk, None, get_runtime())
    return f"room for {_bytes(usage.room)} more" if usage else ""


PICTURES = [
    Picture(
        "Requests",
        "A minute, by status",
        [
            Column("2xx", _rate(2), "a"),
            Column("3xx", _rate(3), "b"),
            Column("4xx", _rate(4), "c"),
            Column("5xx", _rate(5), "d"),
        ],
        _number,
    ),
    Picture(
        "Answer time",
        "Of the requests of visitors",
        [
            Column("Half within", lambda stretch: stretch.answered_within(0.5), "a"),
            Column("95 % within", lambda stretch: stretch.answered_within(0.95), "b"),
        ],
        _time,
    ),
    Picture(
        "Health check",
        "How long the app takes to say that it is well",
        [
            Column("Mean", lambda stretch: stretch.check_mean, "a"),
            Column("Slowest", lambda stretch: stretch.check_worst, "b"),
        ],
        _time,
    ),
    Picture("Processor", "Of one processor", [Column("Used", lambda stretch: stretch.processor_share)], _percent),
    Picture(
        "Memory",
        "Of all processes of the app",
        [
            Column("Mean", lambda stretch: stretch.memory_mean, "a"),
            Column("Most", lambda stretch: stretch.memory_most, "b"),
        ],
        _bytes,
        1024,
        _most_memory,
    ),
    Picture(
        "Storage",
        "Files and database",
        [Column("Used", lambda stretch: stretch.storage, lasts=True)],
        _bytes,
        1024,
        _room,
    ),
    Picture(
        "Restarts and failed checks",
        "The app ended by itself and was started again, or was not well",
        [
            Column("Restarts", lambda stretch: stretch.restarts, "d"),
            Column("Failed checks", lambda stretch: stretch.failures, "c"),
        ],
        _number,
    ),
]
