"""What pages show of environments and packages, read with few queries whatever the number of rows."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.db.models import OuterRef, Subquery

from deployments.manifests import Constant
from deployments.models import Job, Live, Package
from deployments.monitoring.alert_models import worst_open
from deployments.option_flows import stored, waiting_for_restart
from deployments.options import Change
from deployments.runtimes import get_runtime
from deployments.states import EnvironmentState, JobKind, JobState
from environments.access import AppRequest, standing_of
from environments.models import Environment, NodePermission
from environments.permissions import Permission, allowed


@dataclass(frozen=True)
class Card:
    """An environment with what is on it and what is under way; `active` are its jobs that run or wait, in order.

    `alert` is the kind of the worst alert that is open.
    """

    environment: Environment
    live: Live | None
    active: list[Job]
    may_transport: bool
    alert: str = ""

    @property
    def state(self) -> str:
        if self.live is None:
            return EnvironmentState.EMPTY
        return "offline" if self.live.is_running and self.live.trouble else self.live.state

    @property
    def shown(self) -> str:
        """What its badge says: what runs says what is wrong with it; what is stopped or empty says just that."""
        return self.alert if self.live and self.live.is_running and self.alert else self.state

    @property
    def package(self) -> Package | None:
        return self.live.package if self.live else None

    @property
    def job(self) -> Job | None:
        return self.active[0] if self.active else None

    @cached_property
    def address(self) -> str:
        return get_runtime().address(self.environment.host)


def cards_of(request: AppRequest) -> list[Card]:
    """Give all environments of the app, and whether the person may transport there, in two queries."""
    own = NodePermission.objects.filter(membership=request.membership, permission=Permission.TRANSPORT)
    granted = own.filter(environment=OuterRef("pk")).values("granted")
    environments = request.app.environments.select_related("live__package")
    environments = environments.annotate(granted=Subquery(granted), alert=worst_open(OuterRef("pk")))
    active: dict[int, list[Job]] = {}
    for job in Job.objects.active().filter(environment__app=request.app).order_by("pk"):
        active.setdefault(job.environment_id, []).append(job)
    return [_card(request, environment, active.get(environment.pk, [])) for environment in environments]


def card_of(request: AppRequest) -> Card:
    """Give the environment of the address."""
    environment = request.environment
    lives = Live.objects.filter(environment=environment).select_related("package")
    live: Any = lives.annotate(alert=worst_open(OuterRef("environment"))).first()
    active = list(environment.jobs.active().order_by("pk"))
    may = allowed(Permission.TRANSPORT, request.standing, environment.is_production)
    return Card(environment, live, active, may, (live and live.alert) or "")


def _card(request: AppRequest, environment: Any, active: list[Job]) -> Card:
    for job in active:
        job.environment = environment
    settings = {} if environment.granted is None else {Permission.TRANSPORT: environment.granted}
    may = allowed(Permission.TRANSPORT, replace(request.standing, settings=settings), environment.is_production)
    return Card(environment, getattr(environment, "live", None), active, may, environment.alert or "")


@dataclass(frozen=True)
class Difference:
    """What a transport changes: the package now and then, and the constants that come or go."""

    before: Package | None
    after: Package
    new: list[Constant]
    gone: list[Constant]

    @property
    def is_same(self) -> bool:
        return self.before == self.after

    @property
    def beside(self) -> bool:
        """Whether the old one goes on until the new one is healthy."""
        return all(each.contents.runs_twice for each in (self.before, self.after) if each)


def difference(before: Package | None, after: Package) -> Difference:
    """Compare what is on an environment with what a transport would bring there."""
    old = {constant.name: constant for constant in before.contents.constants} if before else {}
    now = {constant.name: constant for constant in after.contents.constants}
    return Difference(
        before,
        after,
        new=[constant for name, constant in now.items() if name not in old],
        gone=[constant for name, constant in old.items() if name not in now],
    )


def way_back(card: Card) -> Job | None:
    """Find the transport to roll back to: the last one that brought another package than the one that is there now."""
    if card.package is None:
        return None
    ran = card.environment.jobs.filter(kind=JobKind.TRANSPORT, state=JobState.DONE, package__isnull=False)
    return ran.exclude(package=card.package).select_related("package").first()


def next_place(request: AppRequest) -> Environment | None:
    """Find the environment after this one, if the person may transport to it: where to promote what runs here."""
    after = request.app.environments.filter(order__gt=request.environment.order).first()
    if after is None:
        return None
    after.app = request.app
    standing = standing_of(request.membership, after)
    return after if allowed(Permission.TRANSPORT, standing, after.is_production) else None


def unapplied(card: Card) -> list[Change]:
    """List the options that what runs has not got yet, for those who may see options; nothing for others."""
    if not card.may_transport or card.live is None or not card.live.is_running:
        return []
    return waiting_for_restart(card.live, stored(card.environment).options)
