"""Asks what runs for its health: once for all who want to know, pictures and alerts."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef

from accounts.secrets import Unreadable
from deployments.models import Job, Live
from deployments.monitoring.alert_models import Watch
from deployments.monitoring.alerts import Verdict
from deployments.monitoring.ranges import EVERY
from deployments.option_flows import started_with
from deployments.runtimes.base import Health, Instance, Runtime, RuntimeFailure
from deployments.states import JobState

log = logging.getLogger(__name__)

ANSWER_WITHIN = 5.0  # seconds; a check that takes longer has failed
AT_ONCE = 32  # checks: a hundred apps that hang are asked within 20 seconds, before another worker takes over
LOOKS_APART = timedelta(seconds=EVERY)


@dataclass
class Target:
    """What runs on an environment, where it is asked how it is, and when it was asked last."""

    instance: Instance
    path: str
    asked_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Say whether to ask at this look and not at the next one; looks are never apart to the millisecond."""
        if self.asked_at is None or now < self.asked_at:
            return True
        return now - self.asked_at > timedelta(seconds=settings.HEALTH_EVERY) - LOOKS_APART / 2


class Checker:
    """One worker's checks. What it remembers between two looks it can do without."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._targets: dict[int, Target] = {}

    def ask(self, lives: Iterable[Live], now: datetime) -> dict[Instance, Health]:
        """Check what is due, side by side; of what can't be asked nothing is known."""
        due = [target for target in self._targets_of(lives) if target.is_due(now)]
        found: dict[Instance, Health] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for target, health in zip(due, pool.map(self._check, due), strict=True):
                target.asked_at = now
                if health:
                    found[target.instance] = health
        return found

    def _targets_of(self, lives: Iterable[Live]) -> list[Target]:
        """Give what runs; the path of an instance stays the same for as long as it does."""
        targets: dict[int, Target] = {}
        for live in lives:
            if not live.is_running or live.instance is None or live.package is None:
                continue
            instance, known = Instance(live.environment_id, live.instance), self._targets.get(live.environment_id)
            if known is None or known.instance != instance:
                try:
                    known = Target(instance, started_with(live).health_path or live.package.contents.health_path)
                except Unreadable as failure:
                    log.warning("The environment %s can't be asked for its health: %s", live.environment_id, failure)
                    continue
            targets[live.environment_id] = known
        self._targets = targets
        return list(targets.values())

    def _check(self, target: Target) -> Health | None:
        try:
            return self._runtime.check(target.instance, target.path, ANSWER_WITHIN)
        except (RuntimeFailure, OSError) as failure:
            log.warning("Could not check the health of %s: %s", target.instance, failure)
            return None


def note(found: Mapping[Instance, Health], now: datetime) -> None:
    """Keep for alerts what checks found, in three queries for any number.

    Not of what ended by itself, which is another alert, nor of what a job works on: what that does is meant.
    """
    environments = [instance.environment for instance in found]
    at_work = Job.objects.filter(environment=OuterRef("environment"), state=JobState.RUNNING)
    current = Live.objects.filter(~Exists(at_work), environment__in=environments, trouble="")
    known = Watch.objects.in_bulk(environments)
    rows = []
    for environment, number in current.values_list("environment", "instance"):
        if number is not None and (health := found.get(Instance(environment, number))):
            watch = known.get(environment) or Watch(environment_id=environment)
            _add(watch, number, health, now)
            rows.append(watch)
    # Only these columns: whoever reads the log meanwhile writes others of the same row
    Watch.objects.bulk_create(rows, update_conflicts=True, unique_fields=["environment"], update_fields=_NOTED)


def _add(watch: Watch, instance: int, health: Health, now: datetime) -> None:
    verdict = verdict_of(health)
    again = watch.instance == instance and watch.verdict == verdict
    watch.instance, watch.checked_at, watch.verdict = instance, now, verdict
    watch.verdict_since = watch.verdict_since if again else now
    watch.count = watch.count + 1 if again else 1
    watch.detail, watch.seconds = health.detail[:300], health.seconds


def verdict_of(health: Health) -> Verdict:
    if not health.healthy:
        return Verdict.FAILED
    return Verdict.SLOW if health.seconds >= settings.HEALTH_SLOW else Verdict.GOOD


_NOTED = ["instance", "checked_at", "verdict", "verdict_since", "count", "detail", "seconds"]
