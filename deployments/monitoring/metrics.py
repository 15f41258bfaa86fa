"""What was measured of an environment, as numbers over time: for pictures and the tables behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from itertools import accumulate

from deployments.monitoring.models import Measurement, no_latencies, no_statuses
from deployments.monitoring.ranges import EVERY, Range
from deployments.runtimes.base import QUICKER_THAN
from environments.models import Environment


@dataclass
class Stretch:
    """What was measured in a stretch of time; several can be added up to a longer one. Fields as `Measurement`'s.

    `length` is how many seconds of it are over.
    """

    looks: int = 0
    seconds: float = 0
    processor: float = 0
    memory: float = 0
    memory_peak: int = 0
    storage: int | None = None
    restarts: int = 0
    checks: int = 0
    failures: int = 0
    check_seconds: float = 0
    check_slowest: float = 0
    statuses: list[int] = field(default_factory=no_statuses)
    latencies: list[int] = field(default_factory=no_latencies)
    length: float = 0

    def __add__(self, other: "Stretch") -> "Stretch":
        return Stretch(
            self.looks + other.looks,
            self.seconds + other.seconds,
            self.processor + other.processor,
            self.memory + other.memory,
            max(self.memory_peak, other.memory_peak),
            self.storage if other.storage is None else other.storage,
            self.restarts + other.restarts,
            self.checks + other.checks,
            self.failures + other.failures,
            self.check_seconds + other.check_seconds,
            max(self.check_slowest, other.check_slowest),
            [a + b for a, b in zip(self.statuses, other.statuses, strict=True)],
            [a + b for a, b in zip(self.latencies, other.latencies, strict=True)],
            self.length + other.length,
        )

    @property
    def processor_share(self) -> float | None:
        """Percent of one processor."""
        return 100 * self.processor / self.seconds if self.seconds else None

    @property
    def memory_mean(self) -> float | None:
        return self.memory / self.looks if self.looks else None

    @property
    def memory_most(self) -> float | None:
        return self.memory_peak if self.looks else None

    @property
    def check_mean(self) -> float | None:
        return self.check_seconds / self.checks if self.checks else None

    @property
    def check_worst(self) -> float | None:
        return self.check_slowest if self.checks else None

    def requests(self, status: int) -> float:
        """Give the requests a minute with a status of that class (2 for 200 to 299)."""
        return 60 * self.statuses[status - 1] / self.length if self.length else 0.0

    def answered_within(self, part: float) -> float | None:
        """Give the seconds within which this part of all requests was answered, between the bounds that are counted."""
        wanted = part * sum(self.latencies)
        if not wanted:
            return None
        bounds = (0.0, *QUICKER_THAN, QUICKER_THAN[-1])
        for place, reached in enumerate(accumulate(self.latencies)):
            if reached >= wanted:
                count = self.latencies[place]
                low, high = bounds[place], bounds[place + 1]
                return low + (high - low) * (1 - (reached - wanted) / count)
        return bounds[-1]


FIELDS = [each.name for each in fields(Stretch) if each.name != "length"]


@dataclass(frozen=True)
class Series:
    """Stretches of time one after the other, from `begin` on; None where nothing was measured."""

    begin: datetime
    span: int
    stretches: list[Stretch | None]

    @property
    def is_empty(self) -> bool:
        return not any(self.stretches)

    def moment(self, place: int) -> datetime:
        return self.begin + timedelta(seconds=self.span * place)

    def values(self, of: Callable[[Stretch], float | None]) -> list[float | None]:
        return [of(each) if each else None for each in self.stretches]

    def carried(self, of: Callable[[Stretch], float | None]) -> list[float | None]:
        """Give values of what is found out less often than the rest: it is as it was until it is found out anew."""
        found: list[float | None] = []
        last: float | None = None
        for each in self.stretches:
            value = of(each) if each else None
            last = last if value is None else value
            found.append(last if each else None)
        return found

    def grouped(self, size: int) -> "Series":
        """Give a series with `size` stretches in one."""
        groups = [self.stretches[place : place + size] for place in range(0, len(self.stretches), size)]
        return Series(self.begin, self.span * size, [_together(group) for group in groups])


def _together(group: Sequence[Stretch | None]) -> Stretch | None:
    found = [each for each in group if each]
    return sum(found[1:], found[0]) if found else None


def read(environment: Environment, wanted: Range, now: datetime) -> Series:
    """Read what a range shows, in one query."""
    first = wanted.first(now)
    rows = Measurement.objects.filter(environment=environment, span=wanted.span, at__gte=first)
    stretches: list[Stretch | None] = [None] * wanted.count
    for at, *values in rows.values_list("at", *FIELDS):
        place = int((at - first).total_seconds()) // wanted.span
        if 0 <= place < wanted.count:
            stretches[place] = stretch = Stretch(*values)
            # Just begun, it is as long as the portal looks for once
            stretch.length = min(wanted.span, max(EVERY, (now - at).total_seconds()))
    return Series(first, wanted.span, stretches)
