"""Into which stretches time is cut for measurements: fine for what is new, coarse for what is old."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EVERY = 15.0  # seconds between two looks
MINUTE, HOUR = 60, 3600  # seconds


@dataclass(frozen=True)
class Range:
    """A range of time that a picture shows: `count` stretches of `span` seconds; its table puts `rows_of` in a row."""

    name: str
    label: str
    span: int
    count: int
    rows_of: int

    def begin_of(self, at: datetime) -> datetime:
        """Give the beginning of the stretch that a moment is in."""
        seconds = int(at.timestamp()) // self.span * self.span
        return datetime.fromtimestamp(seconds, UTC)

    def slot_of(self, at: datetime) -> int:
        """Give the place in the circle: the same one comes again after `count` stretches."""
        return int(at.timestamp()) // self.span % self.count

    def first(self, now: datetime) -> datetime:
        """Give the beginning of the oldest stretch that is shown."""
        return self.begin_of(now) - timedelta(seconds=self.span * (self.count - 1))


# 496 rows for an environment in all, some 300 bytes each. None of them has more than 200 points, which is what fits
# side by side on a screen.
RANGES = {
    each.name: each
    for each in (
        Range("hour", "Hour", MINUTE, 60, 5),
        Range("day", "Day", 10 * MINUTE, 144, 6),
        Range("week", "Week", HOUR, 168, 6),
        Range("month", "Month", 6 * HOUR, 124, 4),
    )
}
