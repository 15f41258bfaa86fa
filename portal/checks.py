"""System checks for what makes an installation unsafe, run at every start."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

RESTORE = "restore.json"  # there while a restore of the portal is under way


@register()
def restore_is_over(app_configs: Any, **kwargs: Any) -> list[Error]:
    if (Path(settings.VAR) / RESTORE).exists():
        hint = "Type: manage.py restore_portal --undo"
        return [Error("A restore of the portal was broken off, so half of it is there.", hint=hint, id="portal.E002")]
    return []


@register(Tags.security, deploy=True)
def app_hosts_apart(app_configs: Any, **kwargs: Any) -> list[Error]:
    """SECURITY: cookies don't tell ports apart; an app on the portal's own name could read its cookies."""
    portal = settings.PORTAL_URL.split("//")[1].split(":")[0]
    if settings.APPS_DOMAIN == portal or portal.endswith("." + settings.APPS_DOMAIN):
        return [Error("Apps would share the portal's host name.", hint="Set APPS_DOMAIN to another.", id="portal.E001")]
    return []


@register(Tags.security, deploy=True)
def demo_is_not_for_production(app_configs: Any, **kwargs: Any) -> list[Warning]:
    if settings.DEMO:
        return [Warning("PORTAL_MODE is 'demo'.", hint="Set PORTAL_MODE=production.", id="portal.W001")]
    return []
