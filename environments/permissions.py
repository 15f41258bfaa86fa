"""The six node permissions: names, defaults and who holds them. Pure: no database."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import TextChoices


class Permission(TextChoices):
    """What a member may do on one environment (seed, chapter 5; PORTAL, "Node permissions")."""

    MANAGE = "manage", "Manage Permissions"
    TRANSPORT = "transport", "Transport Rights"
    BACKUPS = "backups", "Access to Backups"
    MONITORING = "monitoring", "Access to Monitoring"
    ALERTS = "alerts", "Receive Alerts"
    API = "api", "API Rights"


EXPLAINED: Mapping[Permission, str] = {
    Permission.MANAGE: "change the permissions of other members",
    Permission.TRANSPORT: "deploy, roll back, start, stop, change options",
    Permission.BACKUPS: "create, download and restore backups",
    Permission.MONITORING: "see logs and metrics",
    Permission.ALERTS: "get a mail when something goes wrong",
    Permission.API: "use the other permissions through the Deploy API",
}

# What API Rights let somebody use without a code; the rest is for browsers (PORTAL, "The two-factor gate", 12)
USED_BY_API = frozenset({Permission.TRANSPORT, Permission.BACKUPS, Permission.MONITORING})


@dataclass(frozen=True)
class Standing:
    """How a person stands in an app and, where an environment is meant, what was granted them there.

    `settings` holds what was set by somebody; what is missing is as by default.
    """

    is_technical_contact: bool = False
    deploys: bool = False
    carries_team: bool = False
    settings: Mapping[Permission, bool] = field(default_factory=dict)

    @property
    def manages_team(self) -> bool:
        """The right of the SCRUM Master's role, and the Technical Contact's."""
        return self.carries_team or self.is_technical_contact


def by_default(permission: Permission, is_production: bool) -> bool:
    """Nothing is granted at the start but API Rights outside production."""
    return permission is Permission.API and not is_production


def allowed(permission: Permission, standing: Standing, is_production: bool) -> bool:
    """Say whether somebody who stands so holds the permission on an environment of this kind.

    Without the deploy permission of their role nobody holds any. The Technical Contact holds all,
    except API Rights on production, which they hold only after turning them on for themselves.
    """
    if not standing.deploys:
        return False
    granted = standing.settings.get(permission, by_default(permission, is_production))
    if permission is Permission.API and is_production:
        return granted
    return granted or standing.is_technical_contact


def may_change(permission: Permission, standing: Standing, is_production: bool, *, own: bool, contacts: bool) -> bool:
    """Say whether somebody may change a permission of a member: their `own`, or the Technical `contact's`.

    Of the Technical Contact only API Rights on production change, by themselves: they hold the rest. Manage
    Permissions and API Rights on production are the Technical Contact's alone to give; who holds Manage
    Permissions changes the rest for others; everybody switches Receive Alerts for themselves.
    """
    if not standing.deploys:
        return False
    if contacts:
        return standing.is_technical_contact and permission is Permission.API and is_production
    if standing.is_technical_contact:
        return True
    if own:
        return permission is Permission.ALERTS
    if permission is Permission.MANAGE or (permission is Permission.API and is_production):
        return False
    return allowed(Permission.MANAGE, standing, is_production)
