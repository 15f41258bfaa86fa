"""Who gets through to a call of the Deploy API. `environments.middleware` asks here; a call that declares nothing is
refused.

Order of the checks: key (else 401), how often (else 429), app of the person and of the key (else 404), environment
(else 404), what the key is for, the right itself, API Rights, and on production whether the key reaches it (else 403).
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone

from accounts import refusals
from accounts.actor import Key
from accounts.guards import Guard
from environments import api_keys, api_limits
from environments.access import AppRequest, standing_of
from environments.api_errors import ApiRefused, Code, answer_of
from environments.models import ApiKey, App, Environment, Membership
from environments.permissions import Permission, Standing, allowed
from environments.whom_to_ask import whom_to_ask

log = logging.getLogger(__name__)

ROOT = "/api/"
USERNAME, KEY = "Mendix-Username", "Mendix-ApiKey"
APP_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MODE = re.compile(r"[^\x00-\x1f/]{1,60}")
IN_URL = re.compile(r"api.?key", re.IGNORECASE)
LOOKS_LIKE_KEY = re.compile(r"dp_[0-9a-f]{8}_", re.IGNORECASE)
WRONG_KEY = (
    f"The headers {USERNAME} and {KEY} must hold the e-mail address of an account and one of its API keys that is in"
    " force. Keys are made and listed on the account page; one that has expired or was revoked never works again."
)


class ApiRequest(AppRequest):
    """A call of the Deploy API: `user` is the key's person, `api_key` the key, `key` what a record says of it."""

    api_key: ApiKey
    key: Key


@dataclass(frozen=True, kw_only=True)
class ApiGuard(Guard):
    """What one method of a call asks for. Below an environment's address API Rights come on top of it.

    `open`: for everybody, without a key. `deploys`: the deploy permission of the role. `changes`: refused to keys
    that only read; `max_body` in bytes where more than a form's worth may come.
    """

    open: bool = False
    deploys: bool = False
    permission: Permission | None = None
    changes: bool = False


@dataclass(frozen=True, kw_only=True)
class ApiGuards(Guard):
    """The guards of an address by method; any other method needs a key, and is told that it is none."""

    by_method: Mapping[str, ApiGuard] = field(default_factory=dict)

    def of(self, method: str | None) -> ApiGuard:
        return self.by_method.get("GET" if method == "HEAD" else method or "", ApiGuard())


def is_call(path: str) -> bool:
    """Say whether an address belongs to the Deploy API; `/api/` itself is a page about it."""
    return path.startswith(ROOT) and path != ROOT


def decide(request: Any, guard: ApiGuard, kwargs: Mapping[str, Any]) -> HttpResponse | None:
    """Give the answer that keeps a call from its view, or None when it may pass; then the request knows who calls."""
    if hasattr(request, "api_key"):  # decided before the body was let in (BodyLimit)
        return None
    try:
        _refuse_key_in_url(request)
        if not guard.open:
            _admit(request, guard, kwargs)
    except ApiRefused as refusal:
        if refusal.code is Code.NO_ACCESS:
            refusals.note(
                request, _first_sentence(refusal), getattr(request, "app", None), getattr(request, "environment", None)
            )
        return answer_of(refusal)
    return None


def _admit(request: ApiRequest, guard: ApiGuard, kwargs: Mapping[str, Any]) -> None:
    key = _authenticate(request)
    request.user, request.window, request.key = key.user, None, api_keys.key_of(key)
    if wait := api_limits.wait_for_key(key.pk, request.address):
        raise ApiRefused(Code.TOO_MANY_REQUESTS, f"Too many calls with this key. Wait {wait} s.", wait)
    api_keys.note_use(key, request.address, timezone.now())
    if "app" in kwargs:
        _admit_to_app(request, key, kwargs["app"])
    if "mode" in kwargs:
        request.environment = environment_of(request.app, kwargs["mode"])
        request.standing = standing_of(request.membership, request.environment)
    _check_rights(request, key, guard)
    request.api_key = key


def _refuse_key_in_url(request: Any) -> None:
    """SECURITY: addresses end up in the logs of proxies, in histories and in chats."""
    named = any(IN_URL.search(name) for name in request.GET)
    values = [value for _, several in request.GET.lists() for value in several]
    if named or any(LOOKS_LIKE_KEY.search(text) for text in (request.path, *request.GET, *values)):
        raise ApiRefused(
            Code.KEY_IN_URL,
            f"Send the API key in the header {KEY}, never in the address: addresses are logged on the way."
            " A key that was sent like this should be revoked.",
        )


def _authenticate(request: ApiRequest) -> ApiKey:
    username, text = (request.headers.get(name, "").strip() for name in (USERNAME, KEY))
    if key := api_keys.authenticate(username, text):
        return key
    if wait := api_limits.wait_after_wrong_key(request.address):
        raise ApiRefused(Code.TOO_MANY_REQUESTS, f"Too many wrong keys from your address. Wait {wait} s.", wait)
    api_keys.note_refusal(text, request.address, timezone.now())
    raise ApiRefused(Code.UNAUTHORIZED, WRONG_KEY)


def _admit_to_app(request: ApiRequest, key: ApiKey, slug: str) -> None:
    if not APP_ID.fullmatch(slug):
        raise ApiRefused(Code.INVALID_APPID, "An AppId has small letters, digits and single hyphens.")
    try:
        members = Membership.objects.select_related("app", "role")
        membership = members.get(user=key.user_id, app__slug=slug, app__api_keys=key.pk)
    except Membership.DoesNotExist as nothing:
        why = f"There is no app {slug}, you are not in its team, or the key is not for it."
        raise ApiRefused(Code.APP_NOT_FOUND, why) from nothing
    request.membership, request.app, request.offer = membership, membership.app, None
    request.standing = standing_of(membership)


def environment_of(app: App, mode: str) -> Environment:
    """Find the environment that a Mode means, by name or short name, whatever the case; never another one instead."""
    if not MODE.fullmatch(mode):
        raise ApiRefused(Code.INVALID_ENVIRONMENT)
    found = list(app.environments.filter(Q(slug__iexact=mode) | Q(name__iexact=mode))[:2])
    if not found:
        raise ApiRefused(Code.ENVIRONMENT_NOT_FOUND, f"{app.name} has no environment {mode}.")
    if len(found) > 1:
        names = " and ".join(f"{each.name} (short name {each.slug})" for each in found)
        raise ApiRefused(Code.INVALID_ENVIRONMENT, f"{mode} means two environments: {names}. Use what only one has.")
    found[0].app = app
    return found[0]


def _check_rights(request: ApiRequest, key: ApiKey, guard: ApiGuard) -> None:
    environment: Environment | None = getattr(request, "environment", None)
    if guard.changes and key.read_only:
        raise ApiRefused(Code.NO_ACCESS, f"The key {key.name} only reads. Make one that may change something.")
    if guard.deploys or environment:
        _need_deploys(request)
    if environment is None:
        return
    for permission in filter(None, (guard.permission, Permission.API)):
        if not allowed(permission, request.standing, environment.is_production):
            raise ApiRefused(Code.NO_ACCESS, _missing(request.app, environment, permission))
    if not api_keys.reaches(key, environment):
        raise ApiRefused(
            Code.NO_ACCESS,
            f"The key {key.name} does not reach {environment.name} of {request.app.name}. Whether a key reaches"
            " production is chosen when it is made, once API Rights were granted there. Make another one.",
        )


def _need_deploys(request: ApiRequest) -> None:
    standing: Standing = request.standing
    if not standing.deploys:
        ask, _ = whom_to_ask(request.app, "can change your role")
        raise ApiRefused(Code.NO_ACCESS, f"Your role in {request.app.name} does not carry the deploy permission. {ask}")


def _missing(app: App, environment: Environment, permission: Permission) -> str:
    ask, _ = whom_to_ask(app, "can grant it")
    return f"You need {permission.label} on {environment.name} of {app.name}. {ask}"


def _first_sentence(refusal: ApiRefused) -> str:
    return f"Deploy API: {str(refusal).partition('. ')[0].rstrip('.')}"
