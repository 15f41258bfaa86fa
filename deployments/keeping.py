"""Why a package is kept: it is on an environment, on its way to one, or one that an environment could go back to.

Everything else goes when it has expired.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.db.models import F, Max, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from deployments.models import Job, Live, Package
from deployments.overview import Card
from deployments.states import JobState
from environments.models import App, Environment

LATEST_KEPT = 5  # of each environment, so that it can go back (issue 5, point 1)
DAY = 24 * 3600  # seconds


@dataclass(frozen=True)
class Places:
    """The environments of one app that need a package: it is on them, on its way there, or was there lately."""

    on: list[Environment] = field(default_factory=list)
    awaited: list[Environment] = field(default_factory=list)
    lately: list[Environment] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.on or self.awaited or self.lately)

    @property
    def reason(self) -> str:
        """Why the package is kept, to follow "kept: "; empty when nothing keeps it."""
        if self.on:
            return f"on {names(self.on)}"
        if self.awaited:
            return f"on its way to {names(self.awaited)}"
        return f"one of the last five of {names(self.lately)}" if self.lately else ""


@dataclass(frozen=True)
class Listed:
    """A package as a list shows it."""

    package: Package
    places: Places

    @property
    def days_left(self) -> int:
        """Whole days until a package that nothing keeps expires; 0 when it goes with the next night."""
        return max(0, math.ceil((self.package.expires_at - timezone.now()).total_seconds() / DAY))


def of_app(app: App) -> dict[int, Places]:
    """Give where the packages of an app are needed, by the package's number; in four queries."""
    live = Live.objects.filter(environment__app=app, package__isnull=False)
    active = Job.objects.active().filter(environment__app=app, package__isnull=False)
    return _places(
        {environment.pk: environment for environment in app.environments.all()},
        live.values_list("package_id", "environment_id"),
        active.order_by().values_list("package_id", "environment_id"),
    )


def of_cards(cards: Iterable[Card]) -> dict[int, Places]:
    """Give the same from what a page has read already; in one query."""
    cards = list(cards)
    return _places(
        {card.environment.pk: card.environment for card in cards},
        ((card.live.package_id, card.environment.pk) for card in cards if card.live),
        ((job.package_id, card.environment.pk) for card in cards for job in card.active),
    )


def listed(packages: Iterable[Package], places: dict[int, Places]) -> list[Listed]:
    return [Listed(package, places.get(package.pk, Places())) for package in packages]


def _places(
    environments: dict[int, Environment],
    on: Iterable[tuple[int | None, int]],
    awaited: Iterable[tuple[int | None, int]],
) -> dict[int, Places]:
    found: dict[int, Places] = {}

    def add(which: Callable[[Places], list[Environment]], pairs: Iterable[tuple[int | None, int]]) -> None:
        known = {(package, key) for package, key in pairs if package is not None}
        for key, environment in environments.items():
            for package in (package for package, where in known if where == key):
                which(found.setdefault(package, Places())).append(environment)

    add(lambda places: places.on, on)
    add(lambda places: places.awaited, awaited)
    add(lambda places: places.lately, ((package, key) for key, package in _deployed_lately(environments)))
    return found


def _deployed_lately(environments: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Give the last packages that were deployed on each environment, as pairs of numbers."""
    deployed = Job.objects.filter(environment__in=list(environments), state=JobState.DONE, package__isnull=False)
    latest = deployed.order_by().values("environment_id", "package_id").annotate(last=Max("pk"))
    placed = latest.annotate(
        place=Window(RowNumber(), partition_by=F("environment_id"), order_by=F("last").desc())
    ).filter(place__lte=LATEST_KEPT)
    return placed.values_list("environment_id", "package_id")


def names(environments: list[Environment]) -> str:
    *most, last = [environment.name for environment in environments]
    return f"{', '.join(most)} and {last}" if most else last
