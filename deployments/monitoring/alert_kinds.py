"""What an environment can raise an alert about, and how each kind looks and lasts. Pure: no database."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import TextChoices

AT_ONCE = timedelta()


class AlertKind(TextChoices):
    """The worst first. The values are states that `portal.looks` draws."""

    OFFLINE = "offline", "Went offline"
    RESTARTS = "restarts", "Restarts again and again"
    UNHEALTHY = "unhealthy", "Health check fails"
    LOGGED = "logged", "Logged CRITICAL"
    STORAGE = "storage", "Storage nearly full"
    SLOW = "slow", "Health check is slow"
    BACKUP = "no-backup", "No good backup"

    @property
    def rank(self) -> int:
        """Rise with how bad it is, so that a database can find the worst."""
        kinds = list(AlertKind)
        return len(kinds) - kinds.index(self)


@dataclass(frozen=True)
class Place:
    """Where to look first: the name of a page of the environment, what its link says, how its address ends."""

    page: str
    label: str
    query: str = ""


_LOG, _METRICS = Place("deployments:logs", "Open its log"), Place("deployments:metrics", "Open its metrics")
PLACES: dict[AlertKind, Place] = {
    AlertKind.OFFLINE: _LOG,
    AlertKind.RESTARTS: _LOG,
    AlertKind.UNHEALTHY: _LOG,
    AlertKind.LOGGED: Place("deployments:logs", "Open its critical lines", "?level=critical"),
    AlertKind.STORAGE: _METRICS,
    AlertKind.SLOW: _METRICS,
    AlertKind.BACKUP: Place("deployments:backups", "Open its backups"),
}


@dataclass(frozen=True)
class Patience:
    """How long something must be true before anybody is told, and be over before they are told of that.

    What flaps faster makes one alert that stays open, not a mail for each time.
    """

    opens_after: timedelta = AT_ONCE
    closes_after: timedelta = AT_ONCE


PATIENCE: dict[AlertKind, Patience] = {
    # The worker looks every ten seconds; while an app is stopped or started again it looks like this for less
    AlertKind.OFFLINE: Patience(timedelta(seconds=15), timedelta(minutes=2)),
    AlertKind.RESTARTS: Patience(),
    # How many checks in a row it takes stands in `alerts`
    AlertKind.UNHEALTHY: Patience(closes_after=timedelta(minutes=5)),
    AlertKind.LOGGED: Patience(),
    AlertKind.STORAGE: Patience(),
    AlertKind.SLOW: Patience(closes_after=timedelta(minutes=5)),
    AlertKind.BACKUP: Patience(),
}
