"""What is done once a night: which night a moment belongs to, and which worker does a night's work."""

from datetime import date, datetime, time, timedelta

from django.conf import settings
from django.utils import timezone

from deployments.models import Nightly

TIME_FOR_IT = timedelta(minutes=10)  # after so long a worker that began and was not heard of again is taken for dead


def night_of(now: datetime) -> date:
    """Give the night that a moment belongs to: the last one whose time (NIGHTLY_AT, in UTC) has come."""
    at: time = settings.NIGHTLY_AT
    return (now - timedelta(hours=at.hour, minutes=at.minute)).date()


def begin(name: str, night: date) -> bool:
    """Say whether a night's work is to be done now, by this worker; say `done` or `pause` afterwards."""
    now = timezone.now()
    if Nightly.objects.filter(name=name, night__gte=night).exists():
        return False
    Nightly.objects.get_or_create(name=name, defaults={"night": date.min, "busy_until": now})
    waiting = Nightly.objects.filter(name=name, night__lt=night, busy_until__lte=now)
    return bool(waiting.update(busy_until=now + TIME_FOR_IT))


def done(name: str, night: date) -> None:
    """Say that a night's work is done."""
    Nightly.objects.filter(name=name).update(night=night, busy_until=timezone.now())


def pause(name: str) -> None:
    """Say that there is more to do, for whoever is next."""
    Nightly.objects.filter(name=name).update(busy_until=timezone.now())
