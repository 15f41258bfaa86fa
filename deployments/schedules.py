"""Schedules of events in the five fields of cron: minute, hour, day of the month, month, day of the week (UTC)."""

import re

PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?", re.ASCII)
MAX_LENGTH = 200
FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),  # Sunday is 0 and 7, as in cron
)


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
