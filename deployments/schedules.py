"""Schedules of events in the five fields of cron: minute, hour, day of the month, month, day of the week (UTC)."""

import functools
import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", re.ASCII)
MAX_LENGTH = 200
FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),  # Sunday is 0 and 7, as in cron
)
LONGEST_MONTHS = {month: max(monthrange(year, month)[1] for year in (2023, 2024)) for month in range(1, 13)}
# The 29th of February falls on a given weekday once in 40 years at least, the turn of a century in between
FAR_AHEAD = timedelta(days=41 * 366)


def schedule_problem(schedule: str) -> str | None:
    """Why this is no schedule, as a sentence; None when it is one. Names of months and days are not read."""
    fields = schedule.split(" ")
    if len(schedule) > MAX_LENGTH or len(fields) != len(FIELDS):
        return "A schedule has five fields with one space between them, such as “30 2 * * *” for 02:30 every day."
    for text, (name, lowest, highest) in zip(fields, FIELDS, strict=True):
        if not all(_is_part(part, lowest, highest) for part in text.split(",")):
            return f"The {name} in the schedule must be *, numbers from {lowest} to {highest}, or ranges of them."
    return None


def _is_part(part: str, lowest: int, highest: int) -> bool:
    match = PART.fullmatch(part)
    if not match:
        return False
    first, last, step = (int(group) if group else None for group in match.groups())
    if first is None:
        return step is None or 1 <= step <= highest
    return lowest <= first <= (first if last is None else last) <= highest and step != 0


class _Times(NamedTuple):
    """When a schedule is due; `either_day`: the day of the month or of the week is enough, as in cron.

    `ever` is False where no month that is meant has a day that is meant.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    ever: bool

    def is_day(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week


def next_after(schedule: str, moment: datetime) -> datetime | None:
    """Give the first full minute after the moment at which the schedule is due, in UTC; None when it never is.

    Raises ValueError for what `schedule_problem` refuses.
    """
    times = _times(schedule)
    if not times.ever:
        # SECURITY: the worker asks this of each event all the time; a package full of such would keep it from the rest
        return None
    first = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    day, last = first.replace(hour=0, minute=0), first + FAR_AHEAD
    while day < last:
        if times.is_day(day):
            for hour in times.hours:
                for minute in times.minutes:
                    at = day.replace(hour=hour, minute=minute)
                    if at >= first:
                        return at
        day = _next_day(day, times)
    return None


def next_interval(seconds: int, moment: datetime) -> datetime:
    """Give the first multiple of the interval after the moment, counted from midnight UTC of 1 January 1970."""
    passed = int(moment.timestamp() // seconds)
    return datetime.fromtimestamp((passed + 1) * seconds, UTC)


def _next_day(day: datetime, times: _Times) -> datetime:
    if day.month in times.months:
        return day + timedelta(days=1)
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


@functools.lru_cache(maxsize=1024)
def _times(schedule: str) -> _Times:
    texts = schedule.split(" ")
    minutes, hours, days, months, weekdays = (
        _numbers(text, lowest, highest) for text, (_, lowest, highest) in zip(texts, FIELDS, strict=True)
    )
    either_day = not texts[2].startswith("*") and not texts[4].startswith("*")
    sundays_once = frozenset(day % 7 for day in weekdays)
    ever = either_day or any(min(days) <= LONGEST_MONTHS[month] for month in months)
    return _Times(tuple(sorted(minutes)), tuple(sorted(hours)), days, months, sundays_once, either_day, ever)


def _numbers(text: str, lowest: int, highest: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = PART.fullmatch(part)
        if not match:
            raise ValueError(f"{text} is no part of a schedule")
        first, last, step = (int(group) if group else None for group in match.groups())
        if first is None:
            first, last = lowest, highest
        if last is None:
            last = highest if step else first
        found.update(range(first, last + 1, step or 1))
    return frozenset(found)
