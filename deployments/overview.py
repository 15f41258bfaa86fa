"""What pages show of environments and packages, read with few queries whatever the number of rows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from deployments.manifests import Constant
from deployments.models import Job, Live, Package
from deployments.runtimes import get_runtime
from deployments.states import EnvironmentState
from environments.access import AppRequest
from environments.models import App, Environment, NodePermission
from environments.permissions import Permission, allowed


@dataclass(frozen=True)
class Card:
    """An environment with what is on it and what is under way; `active` are its jobs that run or wait, in order."""

    environment: Environment
    live: Live | None
    active: list[Job]

    @property
    def state(self) -> str:
        if self.live is None:
            return EnvironmentState.EMPTY
        return "offline" if self.live.is_running and self.live.trouble else self.live.state

    @property
    def package(self) -> Package | None:
        return self.live.package if self.live else None

    @property
    def job(self) -> Job | None:
        return self.active[0] if self.active else None

    @cached_property
    def address(self) -> str:
        return get_runtime().address(self.environment.host)


def cards_of(app: App) -> list[Card]:
    """Give all environments of an app, in two queries."""
    environments = list(app.environments.select_related("live__package"))
    active: dict[int, list[Job]] = {}
    for job in Job.objects.active().filter(environment__app=app).order_by("pk"):
        active.setdefault(job.environment_id, []).append(job)
    return [_card(environment, active.get(environment.pk, [])) for environment in environments]


def card_of(environment: Environment) -> Card:
    live = Live.objects.filter(environment=environment).select_related("package").first()
    active = list(environment.jobs.active().order_by("pk"))
    return Card(environment, live, active)


def _card(environment: Environment, active: list[Job]) -> Card:
    for job in active:
        job.environment = environment
    return Card(environment, getattr(environment, "live", None), active)


def permitted(request: AppRequest, environments: Iterable[Environment], permission: Permission) -> set[int]:
    """Give the numbers of those environments on which the person holds the permission, in one query."""
    found = NodePermission.objects.filter(membership=request.membership, permission=permission)
    granted = dict(found.values_list("environment_id", "granted"))
    return {
        environment.pk
        for environment in environments
        if allowed(
            permission,
            replace(
                request.standing,
                settings={permission: granted[environment.pk]} if environment.pk in granted else {},
            ),
            environment.is_production,
        )
    }


@dataclass(frozen=True)
class Difference:
    """What a transport changes: the package now and then, and the constants that come, go or need a value."""

    before: Package | None
    after: Package
    new: list[Constant]
    gone: list[Constant]
    without_value: list[Constant]

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
        without_value=[constant for constant in now.values() if constant.default is None],
    )
