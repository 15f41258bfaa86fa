"""Makes what runs agree with what the rows say: after a crash, a restart of the host, an interrupted job."""

import logging
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.db import transaction

from deployments.backups.settling import settle_others
from deployments.endings import Failed
from deployments.models import Job, Live
from deployments.option_flows import started_with
from deployments.releases import spec_of, unpack
from deployments.runtimes.base import Instance, InstanceState, Runtime, RuntimeFailure
from deployments.states import EnvironmentState, JobState

log = logging.getLogger(__name__)


def reconcile(runtime: Runtime) -> None:
    """Stop what nobody knows, start and route what should run, note what ended by itself.

    Environments with a running job are left alone. What is there is listed before the rows are read: an instance
    that a job started by then is either known to the rows or that job is still seen running.
    """
    there, routes = runtime.instances(), runtime.routes()
    busy = set(Job.objects.filter(state=JobState.RUNNING).values_list("environment_id", flat=True))
    lives = list(Live.objects.exclude(state=EnvironmentState.EMPTY).select_related("environment", "package"))
    known = {instance for live in lives if (instance := instance_of(live))}
    for instance in there:
        if instance not in known and instance.environment not in busy:
            _attempt(partial(runtime.stop, instance, settings.STOP_GRACE), f"stop {instance}")
    # Before anything is started: a restore that was cut off may have left no data, or data that were not to stay
    settle_others(runtime, busy)
    for live in lives:
        if live.environment_id not in busy:
            _attempt(partial(_repair, runtime, live, routes), f"repair {live.environment}")


def instance_of(live: Live) -> Instance | None:
    return Instance(live.environment_id, live.instance) if live.is_running and live.instance is not None else None


def _attempt(act: Callable[[], None], what: str) -> None:
    """One environment's trouble must not keep the others from being looked after."""
    try:
        act()
    except (RuntimeFailure, Failed, OSError) as failure:
        log.warning("Could not %s: %s", what, failure)


def _repair(runtime: Runtime, live: Live, routes: dict[str, Instance | None]) -> None:
    instance = instance_of(live)
    trouble = ""
    if instance and live.package:
        status = runtime.status(instance)
        if status.state is InstanceState.ABSENT:
            unpack(runtime, live.package)
            _agree(runtime, live, start=True)
        trouble = f"It ended by itself: {status.ended}." if status.state is InstanceState.ENDED else ""
    if routes.get(live.environment.host) != instance:
        _agree(runtime, live)
    if trouble != live.trouble:
        Live.objects.filter(pk=live.pk, instance=live.instance).update(trouble=trouble[:300])


@transaction.atomic
def _agree(runtime: Runtime, live: Live, start: bool = False) -> None:
    """Act under the row's lock, which a job's switch takes too, and only while the row says what it said."""
    unchanged = Live.objects.select_for_update().filter(pk=live.pk, state=live.state, instance=live.instance).exists()
    if not unchanged or Job.objects.filter(environment=live.environment_id, state=JobState.RUNNING).exists():
        return
    instance = instance_of(live)
    if start and instance and live.package:
        # What was set since waits for a restart by a person: an accident never brings newer options
        runtime.start(spec_of(instance, live.package, live.environment.host, started_with(live)))
    runtime.route(live.environment.host, instance)
