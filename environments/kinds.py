"""What the acts about an app are called together, where somebody looks for one of them."""

from collections.abc import Mapping

from django.db.models import TextChoices

from accounts.acts import Act


class Kind(TextChoices):
    DEPLOYMENTS = "deployments", "Deployments"
    PACKAGES = "packages", "Packages"
    OPTIONS = "options", "Options"
    BACKUPS = "backups", "Backups"
    TEAM = "team", "Team and Technical Contact"
    PERMISSIONS = "permissions", "Permissions"
    KEYS = "keys", "API keys"
    SETTINGS = "settings", "Settings"
    LOGS = "logs", "Looking at logs"
    REFUSALS = "refusals", "Refusals"


# The first parts of the codes that belong to a kind; a refusal is one, whatever was refused
PARTS: Mapping[Kind, tuple[str, ...]] = {
    Kind.DEPLOYMENTS: ("job",),
    Kind.PACKAGES: ("package",),
    Kind.OPTIONS: ("options",),
    Kind.BACKUPS: ("backup",),
    Kind.TEAM: ("team", "contact", "role"),
    Kind.PERMISSIONS: ("permissions",),
    Kind.KEYS: ("key",),
    Kind.SETTINGS: ("app", "environment"),
    Kind.LOGS: ("log",),
    Kind.REFUSALS: ("access",),
}
ABOUT_NO_APP = ("account", "authenticator", "code", "keys", "person", "portal", "window")
REFUSED = "refused"


def acts_of(kind: Kind) -> tuple[Act, ...]:
    return tuple(act for act in Act if kind in kinds_of(act))


def kinds_of(act: Act) -> list[Kind]:
    """Give the kinds under which an act about an app is found; none for one that is about no app."""
    part, _, deed = act.value.partition(".")
    if part in ABOUT_NO_APP:
        return []
    found = [kind for kind, parts in PARTS.items() if part in parts]
    if deed == REFUSED and Kind.REFUSALS not in found:
        found.append(Kind.REFUSALS)
    return found
