"""Puts right what a job left aside that was cut off: data that it unpacked, or switched before it was done."""

import logging
from collections.abc import Container

from django.conf import settings

from deployments.models import Job, Live
from deployments.runtimes.base import Instance, Runtime, RuntimeFailure
from deployments.states import JobKind

log = logging.getLogger(__name__)


def settle_others(runtime: Runtime, busy: Container[int]) -> None:
    """Do so for all environments on which no job runs."""
    for instance in runtime.aside():
        if instance.environment not in busy:
            try:
                _settle(runtime, instance)
            except (RuntimeFailure, OSError) as failure:
                log.warning("Could not settle the data of %s: %s", instance, failure)


def settle(runtime: Runtime, environment: int, but: int) -> None:
    """Do so for one environment, before the job of the number `but` works on it."""
    for instance in runtime.aside():
        if instance.environment == environment and instance.number != but:
            _settle(runtime, instance)


def _settle(runtime: Runtime, instance: Instance) -> None:
    job = Job.objects.filter(environment=instance.environment, number=instance.number).first()
    if job is None or job.is_active:
        # A database that was put back knows fewer jobs than there were; what they left may be all that there is
        return
    if job.kind == JobKind.RESTORE and not job.decided_at:
        _switch_back(runtime, instance)
    runtime.discard(instance)


def _switch_back(runtime: Runtime, instance: Instance) -> None:
    """A restore counts from the moment on when the app was found healthy with its data; until then it never was."""
    try:
        runtime.swap_back(instance)
    except RuntimeFailure:
        live = Live.objects.filter(environment=instance.environment).first()
        if live is None or live.instance is None:
            raise
        # Reconciliation starts it again, with the data that it had before
        runtime.stop(Instance(instance.environment, live.instance), settings.STOP_GRACE)
        runtime.swap_back(instance)
