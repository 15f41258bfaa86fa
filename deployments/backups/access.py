"""Who may use a backup. Data that come from production keep its protection wherever they are (SECURITY, "Rights")."""

from typing import cast

from django.http import HttpRequest
from django.utils import timezone

from accounts.actor import API, Actor
from accounts.models import User
from deployments.backups.models import Backup, ProductionData
from environments.access import may
from environments.api_keys import reaches
from environments.authority import NotPermitted, need_window_on
from environments.models import ApiKey, Environment
from environments.permissions import Permission


def guarding(backup: Backup) -> list[Environment]:
    """List the production environments whose protection holds for a backup; in two queries at most."""
    found = [backup.environment] if backup.environment.is_production else []
    if not backup.from_production:
        return found
    where = Environment.objects.filter(app=backup.environment.app_id, is_production=True)
    # The one that they come from may be gone, or no production any more; then each of the others counts
    origin = list(where.filter(pk=backup.production_id or 0)) or list(where)
    return found + [each for each in origin if each not in found]


def lacks(backup: Backup, user: User) -> str:
    """Say which permission somebody lacks to use a backup, in a sentence; empty when none."""
    for environment in dict.fromkeys([backup.environment, *guarding(backup)]):
        if not may(user, environment, Permission.BACKUPS):
            return f"You need {Permission.BACKUPS.label} on {environment.name} for this."
    app = backup.environment.app
    if backup.from_production and not guarding(backup) and app.technical_contact_id != user.pk:
        return "These data come from production, which is gone. Only the Technical Contact may use them."
    return ""


def need_access(backup: Backup, by: Actor) -> None:
    """Raise NotPermitted where somebody may not use a backup: read it, or restore it somewhere."""
    if lack := lacks(backup, by.user):
        raise NotPermitted(lack)
    for environment in guarding(backup):
        need_window_on(environment, by)
    if by.via == API:
        _need_key(backup, by)


def _need_key(backup: Backup, by: Actor) -> None:
    """A key that only reads is good for this."""
    keys = ApiKey.objects.in_force(timezone.now()).filter(user=by.user.pk, apps=backup.environment.app_id)
    key = keys.filter(pk=by.key.pk if by.key else 0).first()
    for environment in [backup.environment, *guarding(backup)]:
        if key is None or not may(by.user, environment, Permission.API) or not reaches(key, environment):
            raise NotPermitted(f"This API key does not reach {environment.name}.")


def is_guarded(backup: Backup) -> bool:
    """Say whether a code is needed to use a backup."""
    return bool(guarding(backup))


def mark_of(environment: Environment) -> tuple[bool, Environment | None]:
    """Say whether what is on an environment comes from production, and from which environment."""
    if environment.is_production:
        return True, environment
    row = ProductionData.objects.filter(environment=environment).select_related("production").first()
    return (True, row.production) if row else (False, None)


def addressed(request: HttpRequest) -> Backup | None:
    """Find the backup that an address names, by its key or by its number on the environment."""
    match = request.resolver_match
    names = match.kwargs if match else {}
    app = getattr(request, "app", None)
    backups = Backup.objects.select_related("environment__app")
    if "backup" in names:
        return backups.filter(key=names["backup"], environment__app=app).first()
    if "number" in names and names["number"] < 2**31:
        environment = getattr(request, "environment", None)
        return backups.filter(environment=environment, number=names["number"]).first()
    return None


def touches_production(request: HttpRequest) -> bool:
    """Say for a view whether the backup that its address names is guarded as production is.

    Whoever lacks a permission for it is told so, not asked for a code first: `need_access` refuses them.
    """
    backup = addressed(request)
    return backup is not None and is_guarded(backup) and not lacks(backup, cast(User, request.user))
