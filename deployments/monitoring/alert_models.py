"""Alerts of environments, and what the worker last saw of each."""

from datetime import timedelta

from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from deployments.monitoring.alert_kinds import PLACES, AlertKind, Place
from deployments.monitoring.alerts import Verdict
from deployments.runtimes.base import Stored
from environments.models import Environment


class AlertQuerySet(models.QuerySet["Alert"]):
    def told(self) -> "AlertQuerySet":
        """Keep those that somebody was told of."""
        return self.filter(opened_at__isnull=False)

    def open(self) -> "AlertQuerySet":
        return self.told().filter(closed_at=None)


class Alert(models.Model):
    """Something that was wrong with an environment from `began_at` on; at most one of a kind that is not over.

    Nobody is told before `opened_at`: what is over by then leaves no row. `quiet_since` is since when it looks as if
    it were over, and from when on it was, once it is `closed_at`. `rank` orders kinds by how bad they are.
    """

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=12, choices=AlertKind.choices)
    rank = models.PositiveSmallIntegerField()
    message = models.CharField(max_length=600)
    advice = models.CharField(max_length=300)
    began_at = models.DateTimeField(default=timezone.now)
    opened_at = models.DateTimeField(null=True)
    quiet_since = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = AlertQuerySet.as_manager()

    locked = False  # set where what it says is kept back until a code was entered

    class Meta:
        ordering = ["-began_at", "-pk"]
        constraints = [
            models.UniqueConstraint("environment", "kind", condition=Q(closed_at=None), name="one_open_alert_per_kind")
        ]
        indexes = [models.Index(fields=["environment", "-began_at"], name="alerts_of_an_environment")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} on {self.environment_id}"

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None and self.closed_at is None

    @property
    def place(self) -> Place:
        """Where to look first."""
        return PLACES[AlertKind(self.kind)]

    @property
    def lasted(self) -> timedelta:
        """How long it lasted, or has lasted until now."""
        return (self.closed_at or timezone.now()) - self.began_at


def worst_open(environment: OuterRef) -> Subquery:
    """Give, for a query over environments, the kind of the worst alert that is open on each."""
    return Subquery(Alert.objects.open().filter(environment=environment).order_by("-rank").values("kind")[:1])


class Watch(models.Model):
    """What a worker last saw of an environment: its health check of `instance`, how far its log was read, its data.

    The check was the `count`th in a row with its verdict, which it has had since `verdict_since`. `critical_at` is
    when its log had a line of the level CRITICAL last, `counted_at` when its data took so many bytes.
    """

    environment = models.OneToOneField(Environment, models.CASCADE, primary_key=True, related_name="watch")
    instance = models.PositiveIntegerField(null=True)
    checked_at = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=8, blank=True, choices=Verdict.choices)
    verdict_since = models.DateTimeField(null=True)
    count = models.PositiveIntegerField(default=0)
    detail = models.CharField(max_length=300, blank=True)
    seconds = models.FloatField(default=0)
    log_read_to = models.CharField(max_length=200, blank=True)
    critical_at = models.DateTimeField(null=True)
    database_bytes = models.BigIntegerField(null=True)
    files_bytes = models.BigIntegerField(null=True)
    counted_at = models.DateTimeField(null=True)

    @property
    def stored(self) -> Stored | None:
        if self.counted_at is None or self.database_bytes is None or self.files_bytes is None:
            return None
        return Stored(self.database_bytes, self.files_bytes)
