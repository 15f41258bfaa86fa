"""How environments fared: a row for each environment and stretch of time, used again when its time has come round."""

from django.db import models
from django.utils import timezone

from deployments.runtimes.base import QUICKER_THAN
from environments.models import Environment

CLASSES = 5  # of a status: 1xx to 5xx


def no_statuses() -> list[int]:
    return [0] * CLASSES


def no_latencies() -> list[int]:
    return [0] * (len(QUICKER_THAN) + 1)


class Measurement(models.Model):
    """What was measured of an environment in the `span` seconds from `at` on.

    `slot` counts the spans of a range in a circle (`deployments.monitoring.ranges`), so that there are never more rows
    than fit on the pictures. Sums go with what they are summed over: `seconds` for the processor, `looks` for memory,
    `checks` for health checks.
    """

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="measurements")
    span = models.PositiveIntegerField()
    slot = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    looks = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    processor = models.FloatField(default=0)
    memory = models.FloatField(default=0)
    memory_peak = models.BigIntegerField(default=0)
    storage = models.BigIntegerField(null=True)
    restarts = models.PositiveIntegerField(default=0)
    checks = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    check_seconds = models.FloatField(default=0)
    check_slowest = models.FloatField(default=0)
    statuses = models.JSONField(default=no_statuses)
    latencies = models.JSONField(default=no_latencies)

    class Meta:
        constraints = [models.UniqueConstraint("environment", "span", "slot", name="measurement_once_per_slot")]


class Sampling(models.Model):
    """Who measures, until when nobody else does, and up to where visits were counted; one row for all workers."""

    worker = models.CharField(max_length=100, blank=True)
    until = models.DateTimeField(default=timezone.now)
    cursor = models.CharField(max_length=100, blank=True)
