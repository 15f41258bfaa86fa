"""What the views of an app declare, and how a person stands there. `environments.middleware` enforces it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.guards import Guard, Shows, View, declare
from accounts.http import PortalRequest
from accounts.models import User
from environments.models import App, Environment, HandOver, Membership
from environments.permissions import Permission, Standing, allowed


class AppRequest(PortalRequest):
    """A request below an app's address by one of its members; `environment` where the address names one.

    `offer`: the role of the Technical Contact, where it is offered to them.
    """

    app: App
    membership: Membership
    standing: Standing
    offer: HandOver | None
    environment: Environment


@dataclass(frozen=True, kw_only=True)
class AppGuard(Guard):
    """Asks for membership at least. Below an environment's address the deploy permission and, on production,
    the window are asked for without being declared.

    `decides_production`: the window is needed when the app has a production environment. `touches_production`: it is
    needed where this says so of the request, whose app and environment are known by then.
    `contact`: for the Technical Contact alone; with `offered` also for the member to whom the role is offered,
    with `own` also for the member whom the address names.
    """

    deploys: bool = False
    sees_team: bool = False
    manages_team: bool = False
    permission: Permission | None = None
    decides_production: bool = False
    touches_production: Callable[[Any], bool] | None = None
    contact: bool = False
    offered: bool = False
    own: bool = False


def member(doing: str = "", decides_production: bool = False) -> Callable[[View], View]:
    return declare(AppGuard(doing=doing, decides_production=decides_production))


def deployer(
    doing: str | Callable[[Any], str] = "",
    max_body: int | None = None,
    decides_production: bool = False,
    shows: Shows | None = None,
) -> Callable[[View], View]:
    """Ask for a role that carries the deploy permission."""
    return declare(
        AppGuard(deploys=True, doing=doing, max_body=max_body, decides_production=decides_production, shows=shows)
    )


def team_reader() -> Callable[[View], View]:
    """Ask for a role that carries the deploy permission or manages the team; others see the app's overview only."""
    return declare(AppGuard(sees_team=True))


def team_manager(doing: str | Callable[[Any], str]) -> Callable[[View], View]:
    """Ask for a role that manages the team, or the Technical Contact; who is in the team decides about production."""
    return declare(AppGuard(manages_team=True, decides_production=True, doing=doing))


def technical_contact(doing: str | Callable[[Any], str]) -> Callable[[View], View]:
    """Ask for the Technical Contact; what they alone may do decides about production."""
    return declare(AppGuard(contact=True, decides_production=True, doing=doing))


def contact_or_offered(doing: str, decides_production: bool = True) -> Callable[[View], View]:
    """Ask for the Technical Contact or the member to whom the role is offered."""
    return declare(AppGuard(contact=True, offered=True, decides_production=decides_production, doing=doing))


def contact_or_own(doing: str) -> Callable[[View], View]:
    """Ask for the Technical Contact or the member whom the address names."""
    return declare(AppGuard(contact=True, own=True, decides_production=True, doing=doing))


def requires(
    permission: Permission,
    doing: str | Callable[[Any], str] = "",
    shows: Shows | None = None,
    max_body: int | None = None,
    touches_production: Callable[[Any], bool] | None = None,
) -> Callable[[View], View]:
    """Ask for a node permission on the environment of the address."""
    return declare(
        AppGuard(
            deploys=True,
            permission=permission,
            doing=doing,
            shows=shows,
            max_body=max_body,
            touches_production=touches_production,
        )
    )


def membership_of(user: User, app: str) -> Membership:
    """Find the person's place in an app; an outsider learns nothing: 404, as for an app that never was."""
    memberships = Membership.objects.select_related("app__technical_contact", "app__hand_over", "role")
    return get_object_or_404(memberships, user=user, app__slug=app)


def offer_to(membership: Membership) -> HandOver | None:
    """Give the offer of the Technical Contact's role that stands and is made to this member."""
    made: HandOver | None = getattr(membership.app, "hand_over", None)
    if made is None or made.offered_to_id != membership.pk or not made.stands_at(timezone.now()):
        return None
    return made


def environment_of(app: App, slug: str) -> Environment:
    found = get_object_or_404(app.environments, slug=slug)
    found.app = app
    return found


def standing_of(membership: Membership, environment: Environment | None = None) -> Standing:
    """Say how a member stands in the app and on an environment; what was set there is read when it is asked for."""

    def read() -> dict[Permission, bool]:
        rows = membership.node_permissions.filter(environment=environment) if environment else ()
        return {Permission(row.permission): row.granted for row in rows}

    return Standing(
        is_technical_contact=membership.app.technical_contact_id == membership.user_id,
        deploys=membership.role.deploys,
        carries_team=membership.role.manages_team,
        settings=cast(Mapping[Permission, bool], SimpleLazyObject(read)),
    )


def may(user: User, environment: Environment, permission: Permission) -> bool:
    """Say whether a person may do this on an environment now: active, member, permitted. For jobs and flows."""
    if not User.objects.filter(pk=user.pk, is_active=True).exists():
        return False
    membership = Membership.objects.filter(user=user, app=environment.app_id).select_related("app", "role").first()
    if membership is None:
        return False
    return allowed(permission, standing_of(membership, environment), environment.is_production)
