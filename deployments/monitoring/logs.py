"""Reads an environment's log for people: the last lines, what follows them, only those that are looked for.

However large a log is, each answer reads a bounded part of it and says what it left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import BinaryIO

from django.utils import timezone

from deployments.monitoring.levels import Level, goes_on, level_of
from deployments.runtimes import get_runtime
from deployments.runtimes.base import LogDay, LogPart, Runtime
from environments.models import Environment

SHOWN = 200  # lines at once: some screens full, and drawn by the server in a few milliseconds
READ = 64 * 1024  # bytes read at once at first, which hold 200 lines of usual length
READ_MORE = 1024 * 1024
SEARCHED = 16 * 1024 * 1024  # bytes looked through for lines in one answer: a quarter of a second
FOLLOWED = 2 * 1024 * 1024  # the same for an answer that is asked for every second
LONGEST = 20_000  # characters of a line, which the runtime promises; a broken file may hold anything
CONTEXT = 16 * 1024  # bytes before a part in which the line that a stack trace belongs to is looked for
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True)
class Line:
    """One line; `at` is None where it does not say when."""

    at: datetime | None
    instance: str
    text: str
    level: Level | None = None

    @cached_property
    def moment(self) -> str:
        """The time in UTC, for machines."""
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" if self.at else ""

    @cached_property
    def clock(self) -> str:
        """The time in the reader's zone, with milliseconds."""
        return f"{timezone.localtime(self.at):%H:%M:%S.%f}"[:-3] if self.at else ""


@dataclass(frozen=True)
class Wanted:
    """Which lines are looked for: those of a level or worse, those with a text, whatever its case."""

    level: Level | None = None
    words: str = ""

    @property
    def is_all(self) -> bool:
        return self.level is None and not self.words


@dataclass(frozen=True)
class Excerpt:
    """Lines, oldest first, and where they begin and end in the log.

    `older` and `newer` say whether there is more on that side; `left_out` counts bytes between the place that was
    asked for and the lines, `crowded` lines that were found beyond `SHOWN`. `searched` says that looking ended early.
    """

    lines: list[Line] = field(default_factory=list)
    begin: str = ""
    end: str = ""
    older: bool = False
    newer: bool = False
    left_out: int = 0
    crowded: int = 0
    searched: bool = False


class Reader:
    """Reads one environment's log."""

    def __init__(self, environment: Environment, wanted: Wanted, runtime: Runtime | None = None) -> None:
        self._key = environment.pk
        self._wanted = wanted
        self._runtime = runtime or get_runtime()

    def last(self, before: str = "") -> Excerpt:
        """Give the last lines that end at the cursor, or at the end of the log."""
        found: list[Line] = []
        most, looked, end = READ, 0, ""
        while True:
            part = self._runtime.log_before(self._key, before, most)
            end, before, looked = end or part.end, part.begin, looked + most
            lines = self._chosen(part)
            # Where more are found than shown, what is older begins at the first one that is shown
            if len(found) + len(lines) > SHOWN:
                cut = len(found) + len(lines) - SHOWN
                begin = self._begin_of(part, lines[cut][0])
                return _excerpt([line for _, line in lines[cut:]] + found, begin, end, older=True)
            found = [line for _, line in lines] + found
            if not part.more or looked >= SEARCHED:
                return _excerpt(found, before, end, older=part.more, searched=part.more)
            most = READ_MORE

    def next(self, after: str) -> Excerpt:
        """Give the lines that follow the cursor."""
        found: list[Line] = []
        most, looked, begin = READ, 0, ""
        while True:
            part = self._runtime.log_after(self._key, after, most)
            begin, after, looked = begin or part.begin, part.end, looked + most
            lines = self._chosen(part, from_end=False)
            if len(found) + len(lines) > SHOWN:
                cut = SHOWN - len(found)
                end = self._begin_of(part, lines[cut][0])
                return _excerpt(found + [line for _, line in lines[:cut]], begin, end, older=True, newer=True)
            found += [line for _, line in lines]
            if not part.more or looked >= SEARCHED:
                return _excerpt(found, begin, after, older=True, newer=part.more, searched=part.more)
            most = READ_MORE

    def follow(self, after: str) -> Excerpt:
        """Give what came since the cursor, up to the end; where that is too much, the end of it."""
        budget = READ if self._wanted.is_all else FOLLOWED
        left = self._runtime.log_left(self._key, after) if after else 0
        if after and left <= budget:
            parts = list(self._parts_after(after))
        else:
            parts = [self._runtime.log_before(self._key, "", budget)]
        lines = [line for part in parts for _, line in self._chosen(part)]
        left_out = max(0, left - sum(len(part.text) for part in parts))
        found = sum(part.text.count(b"\n") for part in parts) if self._wanted.is_all else len(lines)
        return Excerpt(
            lines[-SHOWN:],
            parts[0].begin,
            parts[-1].end or after,
            older=True,
            left_out=left_out,
            crowded=max(0, found - SHOWN),
        )

    def _parts_after(self, after: str) -> Iterator[LogPart]:
        more = True
        while more:
            part = self._runtime.log_after(self._key, after, READ_MORE)
            yield part
            after, more = part.end, part.more

    def _chosen(self, part: LogPart, from_end: bool = True) -> list[tuple[int, Line]]:
        """Give the lines of a part that are looked for, each with its place among all of them."""
        text = part.text.decode("utf-8", "replace")
        words = self._wanted.words.lower()
        if not text or (words and words not in text.lower()):
            return []
        raw = text[:-1].split("\n")
        if self._wanted.is_all:
            # Only what may be shown is taken apart
            first = max(0, len(raw) - SHOWN - 1) if from_end else 0
            return [
                (number, _line(raw[number])) for number in range(first, min(len(raw), first + SHOWN + 1)) if raw[number]
            ]
        return list(self._filtered(raw, words, self._levels_before(part)))

    def _filtered(self, raw: list[str], words: str, levels: dict[str, Level | None]) -> Iterator[tuple[int, Line]]:
        wanted = self._wanted.level
        for number, whole in enumerate(raw):
            if wanted is None:
                if words in whole.lower() and words in (line := _line(whole)).text.lower():
                    yield number, line
                continue
            _, instance, text = _split(whole)
            level = _follow_level(levels, instance, text)
            if level is not None and level >= wanted and words in text.lower():
                yield number, _line(whole, level)

    def _levels_before(self, part: LogPart) -> dict[str, Level | None]:
        """Give the level of what each instance wrote last before the part."""
        levels: dict[str, Level | None] = {}
        if self._wanted.level is not None:
            before = self._runtime.log_before(self._key, part.begin, CONTEXT).text.decode("utf-8", "replace")
            for whole in before.split("\n")[:-1]:
                _, instance, text = _split(whole)
                _follow_level(levels, instance, text)
        return levels

    def _begin_of(self, part: LogPart, number: int) -> str:
        """Give the cursor at which one of a part's lines begins."""
        rest = part.text.split(b"\n", number)[-1] if number else part.text
        return self._runtime.log_before(self._key, part.end, len(rest) + 1).begin if number else part.begin


def _follow_level(levels: dict[str, Level | None], instance: str, text: str) -> Level | None:
    level = level_of(text)
    if level is None and goes_on(text):
        return levels.get(instance)
    levels[instance] = level
    return level


def _split(whole: str) -> tuple[str, str, str]:
    at, _, rest = whole.partition(" ")
    instance, _, text = rest.partition(" ")
    return at, instance, text


def _line(whole: str, level: Level | None = None) -> Line:
    at, instance, text = _split(whole)
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        return Line(None, "", whole[:LONGEST])
    if when.tzinfo is None:
        return Line(None, "", whole[:LONGEST])
    return Line(when, instance, text[:LONGEST].removesuffix("\r"), level or level_of(text))


def _excerpt(
    lines: list[Line], begin: str, end: str, older: bool, newer: bool = False, searched: bool = False
) -> Excerpt:
    return Excerpt(lines, begin, end, older, newer, searched=searched)


def days_of(environment: Environment) -> list[LogDay]:
    """List the UTC days of which the environment's log is kept, newest first."""
    return get_runtime().log_days(environment.pk)


@dataclass(frozen=True)
class DayFile:
    """A day's log to download: `content` is to be read to its end and closed; the name is the portal's own."""

    content: BinaryIO
    name: str
    content_type: str


def open_day(environment: Environment, day: date) -> DayFile | None:
    """Open the log of a UTC day (of today what there is by now), packed once it is over; None where none is kept."""
    listed = next((each for each in days_of(environment) if each.day == day), None)
    if listed is None:
        return None
    try:
        content = get_runtime().open_day(environment.pk, day)
    except FileNotFoundError:  # removed meanwhile
        return None
    name = f"{environment.app.slug}-{environment.slug}-{day.isoformat()}.log"
    if listed.packed:
        return DayFile(content, f"{name}.gz", "application/gzip")
    return DayFile(content, name, "text/plain; charset=utf-8")


def day_from(text: str) -> date | None:
    """Read a day as addresses have it, YYYY-MM-DD and nothing else."""
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None
