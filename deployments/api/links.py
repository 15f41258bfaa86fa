"""Signed links to what is large: good for ten minutes, for whoever holds them, and dead with the key that made them.

A link holds no right either. Key, permission and what it leads to are read afresh when it is followed.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from accounts.actor import API, Actor
from accounts.guards import declare
from deployments.api.calls import answered
from deployments.backups.bundle import Bundle, Choice, choices_of
from deployments.backups.downloads import answer, asked_range, is_there
from deployments.backups.flows import note_download
from deployments.backups.models import Backup
from deployments.monitoring.log_views import answer_with
from environments import api_keys
from environments.access import may
from environments.api_access import ApiGuard
from environments.api_errors import ApiRefused, Code
from environments.models import ApiKey, Environment
from environments.permissions import Permission

LASTS = timedelta(minutes=10)
SALT = "deploy-api.link"
LOG, BACKUP = "log", "backup"
OVER = "This link leads nowhere any more: it is older than ten minutes, or what it was made with is not in force."


def to_log(key: ApiKey, environment: Environment, day: date) -> str:
    return _link([LOG, key.pk, environment.pk, day.isoformat()])


def to_backup(key: ApiKey, backup: Backup, choice: Choice) -> str:
    """Give a link to a part of a backup; nothing where it has no such part."""
    return _link([BACKUP, key.pk, backup.pk, choice.value]) if choice in choices_of(backup) else ""


def _link(what: list[Any]) -> str:
    return settings.PORTAL_URL + reverse("api:link", args=[signing.dumps(what, salt=SALT)])


@declare(ApiGuard(open=True))
def follow(request: HttpRequest, token: str) -> HttpResponseBase:
    """Answer with what a link leads to. Whoever has it needs no key, so it is checked here and not by the gate."""
    return answered(request, lambda: _follow(request, token))


def _follow(request: HttpRequest, token: str) -> HttpResponseBase:
    try:
        kind, key, *what = signing.loads(token, salt=SALT, max_age=LASTS)
    except (signing.BadSignature, ValueError) as problem:
        raise ApiRefused(Code.NO_ACCESS, OVER) from problem
    found = ApiKey.objects.in_force(timezone.now()).select_related("user").filter(pk=key).first()
    if found is None:
        raise ApiRefused(Code.NO_ACCESS, OVER)
    by = Actor(found.user, API, getattr(request, "address", ""), key=api_keys.key_of(found))
    leads: dict[str, Callable[..., HttpResponseBase]] = {LOG: _log, BACKUP: _backup}
    return leads[kind](request, found, by, *what)


def _log(request: HttpRequest, key: ApiKey, by: Actor, environment: int, day: str) -> HttpResponseBase:
    where = Environment.objects.select_related("app").filter(pk=environment, app__api_keys=key).first()
    rights = (Permission.MONITORING, Permission.API)
    if where is None or not all(may(by.user, where, right) for right in rights) or not api_keys.reaches(key, where):
        raise ApiRefused(Code.NO_ACCESS, OVER)
    file = answer_with(where, date.fromisoformat(day), by, request.method == "GET")
    if file is None:
        raise ApiRefused(Code.NOT_FOUND, "No log of that day is kept any more.")
    return file


def _backup(request: HttpRequest, key: ApiKey, by: Actor, backup: int, choice: str) -> HttpResponseBase:
    found = Backup.objects.select_related("environment__app").filter(pk=backup).first()
    if found is None or Choice(choice) not in choices_of(found):
        raise ApiRefused(Code.SNAPSHOT_NOT_FOUND, OVER)
    bundle = Bundle(found, Choice(choice))
    if not is_there(bundle):
        raise ApiRefused(Code.SNAPSHOT_NOT_FOUND, f"What is stored of {found.title} can't be read.")
    wanted = asked_range(request, bundle)
    note_download(found, by, Choice(choice), resumed=request.method != "GET" or bool(wanted and wanted[0]))
    return answer(request, bundle)
