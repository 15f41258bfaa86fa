"""Looks after environments for alerts: reads what their logs have new, gathers the facts.

What health checks say and what is stored is found with the measurements (`sampling`): nothing is
asked twice. Any number of workers do it all the time. Environments with a running job are left alone: what a deployment
or a stop does to them is meant.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum

from deployments.models import Job, Live
from deployments.monitoring.alert_flow import settle
from deployments.monitoring.alert_kinds import AlertKind
from deployments.monitoring.alert_models import Alert, Watch
from deployments.monitoring.alerts import RESTARTS_WITHIN, Check, Facts, Verdict, findings
from deployments.monitoring.levels import Level
from deployments.monitoring.logs import Reader, Wanted
from deployments.monitoring.models import Measurement
from deployments.monitoring.ranges import MINUTE
from deployments.monitoring.unsaved import without_backup_since
from deployments.monitoring.usage import usage_of
from deployments.runtimes.base import Runtime, RuntimeFailure
from deployments.states import EnvironmentState, JobState
from environments.models import Environment

log = logging.getLogger(__name__)

CRITICAL = Wanted(Level.CRITICAL)


def look(runtime: Runtime, now: datetime) -> None:
    """Look at every environment once, and open and close alerts accordingly."""
    busy = _busy()
    lives = [live for live in _lives() if live.is_running and live.environment_id not in busy]
    for live in lives:
        _attempt(partial(_read_log, runtime, live.environment, now), live)
    _settle_all(runtime, now)


def _lives() -> QuerySet[Live]:
    return Live.objects.select_related("environment__app", "environment__watch", "package").order_by("pk")


def _busy() -> set[int]:
    return set(Job.objects.filter(state=JobState.RUNNING).values_list("environment_id", flat=True))


def _attempt(act: Callable[[], None], live: Live) -> None:
    """One environment's trouble must not keep the others from being looked after."""
    try:
        act()
    except (RuntimeFailure, OSError) as failure:
        log.warning("Could not look at %s: %s", live.environment, failure)


def watch_of(environment: Environment) -> Watch:
    found: Watch | None = getattr(environment, "watch", None)
    return found or Watch.objects.get_or_create(environment=environment)[0]


# Log


def _read_log(runtime: Runtime, environment: Environment, now: datetime) -> None:
    """Look for lines of the level CRITICAL in what was written since the last look; the first one finds the end."""
    watch = watch_of(environment)
    unread = Watch.objects.filter(pk=watch.pk, log_read_to=watch.log_read_to)
    if not watch.log_read_to:
        unread.update(log_read_to=Reader(environment, Wanted(), runtime).follow("").end)
        return
    excerpt = Reader(environment, CRITICAL, runtime).follow(watch.log_read_to)
    if excerpt.lines:
        unread.update(log_read_to=excerpt.end, critical_at=excerpt.lines[-1].at or now)
    elif excerpt.end != watch.log_read_to:
        unread.update(log_read_to=excerpt.end)


# Facts


def _settle_all(runtime: Runtime, now: datetime) -> None:
    busy, lives = _busy(), list(_measured(_lives(), now))
    unclosed: dict[int, set[AlertKind]] = {}
    for key, kind in Alert.objects.filter(closed_at=None).values_list("environment_id", "kind"):
        unclosed.setdefault(key, set()).add(AlertKind(kind))
    production = [live for live in lives if live.environment.is_production and live.state != EnvironmentState.EMPTY]
    unsaved = without_backup_since(live.environment for live in production)
    for live in lives:
        key = live.environment_id
        if key in busy:
            continue
        facts = _facts(live, now, frozenset(unclosed.get(key, ())), unsaved.get(key))
        found = findings(_with_storage(facts, live, runtime))
        if found or key in unclosed:
            settle(live.environment, found, now)


def _measured(lives: QuerySet[Live], now: datetime) -> QuerySet[Live]:
    """Add how often each was started again lately, as it was measured (`deployments.monitoring.sampling`)."""
    minutes = Measurement.objects.filter(environment=OuterRef("environment"), span=MINUTE)
    lately = minutes.filter(at__gt=now - RESTARTS_WITHIN).order_by().values("environment")
    return lives.annotate(restarts=Subquery(lately.annotate(sum=Sum("restarts")).values("sum")))


def _with_storage(facts: Facts, live: Live, runtime: Runtime) -> Facts:
    """Add what is stored where the files are, and that with the room that is left there."""
    watch: Watch | None = getattr(live.environment, "watch", None)
    if watch is None or watch.stored is None or live.state == EnvironmentState.EMPTY:
        return facts
    usage = usage_of(live.environment_id, watch, runtime)
    return replace(facts, used=usage.used, limit=usage.limit) if usage else facts


def _facts(live: Any, now: datetime, unclosed: frozenset[AlertKind], unsaved: datetime | None) -> Facts:
    watch: Watch | None = getattr(live.environment, "watch", None)
    check = None
    if watch and watch.verdict and watch.verdict_since and watch.instance == live.instance:
        check = Check(Verdict(watch.verdict), watch.detail, watch.seconds, watch.count, watch.verdict_since)
    return Facts(
        now=now,
        running=live.is_running,
        trouble=live.trouble,
        check=check,
        critical_at=watch.critical_at if watch else None,
        restarts=live.restarts,
        without_backup_since=unsaved,
        open=unclosed,
    )
