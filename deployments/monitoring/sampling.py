"""Measures what runs, every 15 seconds, and adds it to the rows of the stretches of time that it falls into.

One worker at a time measures: who it is stands in a row, and whoever finds that its time is over takes its place.
Requests are counted up to a cursor that is kept in the same transaction as the counts.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from deployments.models import Live
from deployments.monitoring.checking import Checker, note
from deployments.monitoring.counting import Counter, keep
from deployments.monitoring.models import Measurement, Sampling, no_latencies, no_statuses
from deployments.monitoring.ranges import RANGES, Range
from deployments.runtimes.base import Health, Measured, Runtime, RuntimeFailure, Traffic, Visits
from deployments.states import EnvironmentState
from environments.models import Environment

log = logging.getLogger(__name__)
Found = TypeVar("Found")

TURN = timedelta(seconds=30)  # after two that were left out another worker measures
GAP = 90.0  # seconds; what was used in a longer time between two looks is in no stretch


@dataclass
class Seen:
    """What one look found of one environment."""

    seconds: float = 0.0
    processor: float = 0.0
    memory: int | None = None
    restarts: int = 0
    health: Health | None = None
    storage: int | None = None
    traffic: Traffic | None = None


@dataclass
class Reading:
    """What an instance had used at a moment, by a clock that only goes forward."""

    measured: Measured
    at: float


class Sampler:
    """One worker's part in measuring. What it remembers between two looks it can do without."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self.runtime = runtime
        self.name = name
        self._checker = Checker(runtime)
        self._counter = Counter(runtime)
        self._readings: dict[int, Reading] = {}

    def sample(self, now: datetime | None = None) -> bool:
        """Look once and write it down; False where another worker does."""
        at = now or timezone.now()
        if not self._take_turn(at):
            return False
        cursor = Sampling.objects.values_list("cursor", flat=True).get(pk=1)
        lives = list(Live.objects.exclude(state=EnvironmentState.EMPTY).select_related("package"))
        readings = self._read()
        visits = _trying(lambda: self.runtime.visits(cursor)) or Visits(cursor, ())
        seen = {live.environment_id: Seen() for live in lives}
        _add_traffic(seen, visits)
        for environment, reading in readings.items():
            if environment in seen:
                _add_use(seen[environment], self._readings.get(environment), reading)
        checks = self._checker.ask(lives, at)
        for instance, health in checks.items():
            seen[instance.environment].health = health
        counts = self._counter.count(seen, at)
        for environment, stored in counts.items():
            seen[environment].storage = stored.database + stored.files
        with transaction.atomic():
            if not Sampling.objects.filter(pk=1, worker=self.name).update(cursor=visits.cursor):
                return False
            write(at, seen)
            note(checks, at)
            keep(counts, at)
        self._readings = readings
        return True

    def leave(self) -> None:
        """Let another worker measure from now on."""
        Sampling.objects.filter(pk=1, worker=self.name).update(worker="", until=timezone.now())

    def _take_turn(self, now: datetime) -> bool:
        Sampling.objects.get_or_create(pk=1, defaults={"until": now})
        mine = Sampling.objects.filter(Q(worker=self.name) | Q(until__lte=now), pk=1)
        return bool(mine.update(worker=self.name, until=now + TURN))

    def _read(self) -> dict[int, Reading]:
        """Read what instances use; where two run on an environment, the newer one counts."""
        measured, now = _trying(self.runtime.measure), time.monotonic()
        return {each.instance.environment: Reading(each, now) for each in measured or ()}


def _trying(look: Callable[[], Found]) -> Found | None:
    """One kind of look that is not possible must not keep the others from being made."""
    try:
        return look()
    except (RuntimeFailure, OSError) as failure:
        log.warning("Could not measure: %s", failure)
        return None


def _add_traffic(seen: dict[int, Seen], visits: Visits) -> None:
    hosts = dict(Environment.objects.filter(host__in=[each.host for each in visits.hosts]).values_list("host", "pk"))
    for traffic in visits.hosts:
        if traffic.host in hosts:
            seen.setdefault(hosts[traffic.host], Seen()).traffic = traffic


def _add_use(seen: Seen, before: Reading | None, now: Reading) -> None:
    """Take up what an instance has used since the last look; without one only what it uses now."""
    seen.memory = now.measured.memory
    if before is None or now.at - before.at > GAP:
        return
    seen.seconds = now.at - before.at
    same = before.measured.instance == now.measured.instance
    again = same and now.measured.restarts > before.measured.restarts
    if again:
        seen.restarts = now.measured.restarts - before.measured.restarts
    used = before.measured.processor if same and not again else 0.0
    seen.processor = max(0.0, now.measured.processor - used)


def write(at: datetime, seen: dict[int, Seen]) -> None:
    """Add what was seen to the rows that it belongs to; in three queries for up to a hundred environments."""
    begins = {each: each.begin_of(at) for each in RANGES.values()}
    current = Q()
    for each, begin in begins.items():
        current |= Q(span=each.span, slot=each.slot_of(at), at=begin)
    rows = {(row.environment_id, row.span): row for row in Measurement.objects.filter(current, environment__in=seen)}
    for environment, found in seen.items():
        for each, begin in begins.items():
            row = rows.setdefault((environment, each.span), _new(environment, each, begin))
            add(row, found)
            row.pk = None  # a row is known by its place in the circle, there or not
    there = set(Environment.objects.filter(pk__in=seen).values_list("pk", flat=True))
    Measurement.objects.bulk_create(
        [row for (environment, _), row in rows.items() if environment in there],
        update_conflicts=True,
        unique_fields=["environment", "span", "slot"],
        update_fields=_WRITTEN,
    )


def _new(environment: int, each: Range, begin: datetime) -> Measurement:
    return Measurement(environment_id=environment, span=each.span, slot=each.slot_of(begin), at=begin)


def add(row: Measurement, seen: Seen) -> None:
    """Add what one look found to a row."""
    row.seconds += seen.seconds
    row.processor += seen.processor
    row.restarts += seen.restarts
    if seen.memory is not None:
        row.looks += 1
        row.memory += seen.memory
        row.memory_peak = max(row.memory_peak, seen.memory)
    if seen.storage is not None:
        row.storage = seen.storage
    if seen.health is not None:
        row.checks += 1
        row.failures += not seen.health.healthy
        row.check_seconds += seen.health.seconds
        row.check_slowest = max(row.check_slowest, seen.health.seconds)
    if seen.traffic is not None:
        row.statuses = _sum(row.statuses or no_statuses(), seen.traffic.statuses)
        row.latencies = _sum(row.latencies or no_latencies(), seen.traffic.seconds)


def _sum(one: Iterable[int], other: Iterable[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


_WRITTEN = [
    each.name for each in Measurement._meta.concrete_fields if each.name not in ("id", "environment", "span", "slot")
]
