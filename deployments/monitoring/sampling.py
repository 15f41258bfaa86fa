"""Measures what runs, every 15 seconds, and adds it to the rows of the stretches of time that it falls into.

One worker at a time measures: who it is stands in a row, and whoever finds that its time is over takes its place.
Requests are counted up to a cursor that is kept in the same transaction as the counts.
"""

import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from deployments.models import Live
from deployments.monitoring.models import Measurement, Sampling, no_latencies, no_statuses
from deployments.monitoring.ranges import RANGES, Range
from deployments.option_flows import started_with
from deployments.runtimes.base import Health, Instance, Measured, Runtime, RuntimeFailure, Traffic
from deployments.states import EnvironmentState
from environments.models import Environment

log = logging.getLogger(__name__)

TURN = timedelta(seconds=45)  # after three that were left out another worker measures
GAP = 90.0  # seconds; what was used in a longer time between two looks is in no stretch
ANSWER_WITHIN = 5.0  # seconds; a check that takes longer has failed
AT_ONCE = 8  # checks
COUNTED_EVERY = 300.0  # seconds between two counts of what an environment stores, and at least
REST = 20  # times what the last count took


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
class Target:
    """What runs on an environment and where it is asked how it is."""

    instance: Instance
    path: str


@dataclass
class Reading:
    """What an instance had used at a moment, by a clock that only goes forward."""

    measured: Measured
    at: float


@dataclass
class Storage:
    """When what an environment stores is counted next."""

    due: float = 0.0


@dataclass
class Sampler:
    """One worker's part in measuring. What it remembers between two looks it can do without."""

    runtime: Runtime
    name: str
    _readings: dict[int, Reading] = field(default_factory=dict)
    _targets: dict[int, Target] = field(default_factory=dict)
    _storage: dict[int, Storage] = field(default_factory=dict)

    def sample(self, now: datetime | None = None) -> bool:
        """Look once and write it down; False where another worker does."""
        at = now or timezone.now()
        if not self._take_turn(at):
            return False
        cursor = Sampling.objects.values_list("cursor", flat=True).get(pk=1)
        lives = list(Live.objects.exclude(state=EnvironmentState.EMPTY).select_related("package"))
        readings = self._read()
        visits = self.runtime.visits(cursor)
        hosts = dict(
            Environment.objects.filter(host__in=[each.host for each in visits.hosts]).values_list("host", "pk")
        )
        seen = {live.environment_id: Seen() for live in lives}
        for traffic in visits.hosts:
            if traffic.host in hosts:
                seen.setdefault(hosts[traffic.host], Seen()).traffic = traffic
        for environment, reading in readings.items():
            if environment in seen:
                _add_use(seen[environment], self._readings.get(environment), reading)
        self._ask(self._targets_of(lives), seen)
        with transaction.atomic():
            if not Sampling.objects.filter(pk=1, worker=self.name).update(cursor=visits.cursor):
                return False
            write(at, seen)
        self._readings = readings
        return True

    def _take_turn(self, now: datetime) -> bool:
        Sampling.objects.get_or_create(pk=1, defaults={"until": now})
        mine = Sampling.objects.filter(Q(worker=self.name) | Q(until__lte=now), pk=1)
        return bool(mine.update(worker=self.name, until=now + TURN))

    def _read(self) -> dict[int, Reading]:
        """Read what instances use; where two run on an environment, the newer one counts."""
        measured, now = self.runtime.measure(), time.monotonic()
        return {each.instance.environment: Reading(each, now) for each in measured}

    def _targets_of(self, lives: Iterable[Live]) -> list[Target]:
        """Give what is to be checked; its path stays the same for as long as it runs."""
        targets: dict[int, Target] = {}
        for live in lives:
            if not live.is_running or live.instance is None or live.package is None:
                continue
            instance = Instance(live.environment_id, live.instance)
            known = self._targets.get(live.environment_id)
            if known is None or known.instance != instance:
                known = Target(instance, started_with(live).health_path or live.package.contents.health_path)
            targets[live.environment_id] = known
        self._targets = targets
        return list(targets.values())

    def _ask(self, targets: list[Target], seen: dict[int, Seen]) -> None:
        """Check each instance and count what is due to be counted, some at a time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            checks = [pool.submit(self._check, target, seen[target.instance.environment]) for target in targets]
            counts = [pool.submit(self._count, environment, seen[environment]) for environment in self._due(seen)]
            for done in (*checks, *counts):
                done.result()

    def _check(self, target: Target, seen: Seen) -> None:
        seen.health = self.runtime.check(target.instance, target.path, ANSWER_WITHIN)

    def _due(self, environments: Iterable[int]) -> list[int]:
        now = time.monotonic()
        self._storage = {each: self._storage.get(each, Storage()) for each in environments}
        return [each for each, storage in self._storage.items() if storage.due <= now]

    def _count(self, environment: int, seen: Seen) -> None:
        begun = time.monotonic()
        try:
            seen.storage = self.runtime.storage(environment)
        except RuntimeFailure as failure:
            log.info("The environment %s: %s", environment, failure)
        took = time.monotonic() - begun
        self._storage[environment].due = begun + max(COUNTED_EVERY, REST * took)


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
