"""The gate: one place that decides whether a request reaches its view. What is not declared is refused.

Order of the checks (PORTAL, "The two-factor gate", 3): signed in, member of the app (else 404),
permitted (else 403 that says what is missing), production window (else the code is asked for).
"""

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts import pending, purposes, refusals
from accounts.guards import Guard, guard_of
from accounts.secrets import Unreadable
from environments.access import AppGuard, AppRequest, environment_of, membership_of, offer_to, standing_of
from environments.api_access import ApiGuard, ApiGuards, is_call
from environments.api_access import decide as decide_call
from environments.api_errors import Code, error
from environments.authority import NotPermitted
from environments.models import App, Environment
from environments.permissions import Permission, allowed
from environments.whom_to_ask import whom_to_ask
from portal.errors import not_this_way

log = logging.getLogger(__name__)

Handler = Callable[[HttpRequest], HttpResponse]
ADMIN = Guard(staff=True, window=True, doing="Change something in the admin")
WAITING, CONFIRMED = "waiting", "confirmed"
DEPLOY_PERMISSION = "App Team – Deploy Permissions"
MANAGES_TEAM = "the right to manage the team"
CONTACTS = "the role of the Technical Contact"
NOT_OFFERED = "It is not offered to you: an offer ends after seven days and can be withdrawn."


class BodyLimit:
    """Refuses large bodies before a byte of them is read.

    SECURITY: Django reads a whole body, whoever sent it, to look for the CSRF token. Only a view that
    declares an upload gets more than a form's worth, and only from somebody whom the gate lets pass.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: Any, view: Callable[..., Any], args: Any, kwargs: Any) -> HttpResponse | None:
        announced = str(request.META.get("CONTENT_LENGTH") or 0)
        size = int(announced) if announced.isdecimal() else 0  # as Django reads it: no number, no body
        if size <= settings.FORM_MAX_BYTES:
            return None
        guard = guard_for(request, view)
        limit = (guard.max_body if guard else None) or settings.FORM_MAX_BYTES
        if size > limit and is_call(request.path_info):
            return error(Code.TOO_LARGE, f"This address takes {limit} bytes.")
        if size > limit:
            return render(request, "413.html", {"limit": limit}, status=413)
        return decide(request, guard, kwargs, keep_form=False)


class Gate:
    """Enforces what views declare. Stands behind the CSRF check, so that a foreign form plants nothing."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code == 405 and not getattr(response, "content", True):
            return not_this_way(request, response)
        if response.status_code in (403, 404) and request.method == "GET" and _is_fragment(request):
            return _load_anew()  # a page that watches would go on showing what it was shown before
        confirmed = getattr(request, CONFIRMED, None)
        if confirmed and not 300 <= response.status_code < 400:
            pending.give_back(confirmed)
        return response

    def process_view(self, request: Any, view: Callable[..., Any], args: Any, kwargs: Any) -> HttpResponse | None:
        refusal = decide(request, guard_for(request, view), kwargs)
        if refusal is None and request.method == "POST" and CONFIRMED in request.GET:
            return _carry_out_once(request)
        return refusal

    def process_exception(self, request: Any, exception: Exception) -> HttpResponse | None:
        """Record what a flow or the admin refused. The view's transaction is over: its end can't undo the record."""
        if isinstance(exception, Unreadable):
            log.error("%s needs what no key of ENCRYPTION_KEYS fits.", request.path)
            return render(request, "503.html", status=503)
        reason = exception if isinstance(exception, NotPermitted) else exception.__cause__
        if isinstance(reason, NotPermitted):
            refusals.note(request, str(reason), getattr(request, "app", None), getattr(request, "environment", None))
            return render(request, "403.html", {"refusal": {"text": f"{reason} Nothing was changed."}}, status=403)
        if isinstance(exception, PermissionDenied):
            refusals.note(request, str(exception) or f"the page {request.resolver_match.view_name}")
        if isinstance(exception, ObjectDoesNotExist | IntegrityError) and _is_gone(request):
            raise Http404 from exception
        return None


def guard_for(request: HttpRequest, view: Callable[..., Any]) -> Guard | None:
    if request.resolver_match and "admin" in request.resolver_match.namespaces:
        return ADMIN
    guard = guard_of(view)
    return guard.of(request.method) if isinstance(guard, ApiGuards) else guard


def decide(request: Any, guard: Guard | None, kwargs: dict[str, Any], keep_form: bool = True) -> HttpResponse | None:
    """Give the answer that keeps a request from its view, or None when it may pass."""
    if is_call(request.path_info) or isinstance(guard, ApiGuard):
        return _decide_call(request, guard, kwargs)
    if guard is None:
        log.error("%s declares nothing and is refused.", request.path)
        return render(request, "403.html", status=403)
    if not guard.signed_in and "app" not in kwargs:
        return None
    if not request.user.is_authenticated:
        return _to_sign_in(request)
    if guard.staff and not request.user.is_staff:
        refusals.note(request, "the admin is for support staff")
        raise Http404
    needs_window = guard.window
    if "app" in kwargs or "environment" in kwargs:
        refusal = _decide_app(request, guard, kwargs)
        if refusal:
            return refusal
        needs_window |= _on_production(request, guard)
    if needs_window and not request.window:
        return _ask_for_code(request, guard, keep_form)
    return None


def _decide_call(request: Any, guard: Guard | None, kwargs: dict[str, Any]) -> HttpResponse | None:
    """SECURITY: what is declared for browsers is refused below the Deploy API's addresses, and the other way round."""
    if not isinstance(guard, ApiGuard) or not is_call(request.path_info):
        log.error("%s declares no guard that holds at its address and is refused.", request.path)
        return error(Code.NO_ACCESS, Code.NOT_FOUND.meaning)
    return decide_call(request, guard, kwargs)


def _decide_app(request: AppRequest, guard: Guard, kwargs: dict[str, Any]) -> HttpResponse | None:
    membership = membership_of(request.user, kwargs["app"])
    request.membership, request.app = membership, membership.app
    environment = environment_of(request.app, kwargs["environment"]) if "environment" in kwargs else None
    if environment:
        request.environment = environment
    request.standing, request.offer = standing_of(membership, environment), offer_to(membership)
    if not isinstance(guard, AppGuard):
        log.error("%s is an app's page but declares none of its guards.", request.path)
        return render(request, "403.html", status=403)
    asks_deploys = environment or guard.deploys or (guard.sees_team and not request.standing.manages_team)
    if asks_deploys and not request.standing.deploys:
        return _refuse(request, environment, DEPLOY_PERMISSION, "Your role in the team does not carry it.")
    own = guard.own and kwargs.get("member") == membership.pk
    if guard.contact and not (request.standing.is_technical_contact or (guard.offered and request.offer) or own):
        why = NOT_OFFERED if guard.offered else "Nobody else may do this."
        return _refuse(request, environment, CONTACTS, why, remedy="decides about it")
    if guard.manages_team and not request.standing.manages_team:
        return _refuse(request, None, MANAGES_TEAM, "Your role in the team does not carry it.")
    if guard.permission and not _holds(request, guard.permission, environment):
        where = environment.name if environment else request.app.name
        return _refuse(request, environment, guard.permission.label, f"It has not been granted to you on {where}.")
    return None


def _holds(request: AppRequest, permission: Permission, environment: Environment | None) -> bool:
    return environment is not None and allowed(permission, request.standing, environment.is_production)


def _on_production(request: AppRequest, guard: Guard) -> bool:
    environment = getattr(request, "environment", None)
    if environment and environment.is_production:
        return True
    if not isinstance(guard, AppGuard):
        return False
    if guard.touches_production and guard.touches_production(request):
        return True
    return guard.decides_production and request.app.environments.filter(is_production=True).exists()


def _is_gone(request: Any) -> bool:
    """Say whether what the address names was deleted while its view was at work."""
    app, environment = getattr(request, "app", None), getattr(request, "environment", None)
    if environment:
        return not Environment.objects.filter(pk=environment.pk).exists()
    return app is not None and not App.objects.filter(pk=app.pk).exists()


def _refuse(
    request: AppRequest, environment: Environment | None, missing: str, why: str, remedy: str = "can grant it"
) -> HttpResponse:
    where = f"{request.app.name}, {environment.name}" if environment else request.app.name
    refusals.note(request, f"{missing} is missing", request.app, environment)
    text, asked = whom_to_ask(request.app, remedy)
    refusal = {
        "title": f"You need {missing} on {where}",
        "text": f"{why} {text}",
        **asked,
        "back_url": reverse("deployments:app", args=[request.app.slug]),
    }
    return render(request, "403.html", {"refusal": refusal}, status=403)


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    target = reverse("accounts:sign_in")
    if request.method in ("GET", "HEAD") and not _is_fragment(request):
        target += "?" + urlencode({"next": request.get_full_path()})
    return _go(request, target)


def _ask_for_code(request: AppRequest, guard: Guard, keep_form: bool) -> HttpResponse:
    """Send to the code page: a GET comes back to its address, a form waits on the server for this session."""
    form = keep_form and request.method == "POST"
    kept = pending.keep(request, doing(request, guard)) if form else None
    target = request.path if form else request.get_full_path()
    query = {"next": target, "for": purposes.seal(_purpose(request, guard), target)}
    if kept:
        query = {WAITING: str(kept.pk)}
    elif form:
        messages.warning(request, "What you had typed was too much to keep. Nothing was done; begin again.")
    return _go(request, reverse("accounts:code") + "?" + urlencode(query))


def _purpose(request: AppRequest, guard: Guard) -> str:
    """Say in words what a page is for: what its form does, else where it is."""
    if guard is ADMIN:
        return "The admin"
    environment = getattr(request, "environment", None)
    if guard.doing or environment is None:
        return doing(request, guard)
    return f"{environment.name} of {request.app.name}"


def doing(request: AppRequest, guard: Guard) -> str:
    """Say in words what a form is about to do: "Transport calc 1.2.0 to Production"."""
    if callable(guard.doing):
        return guard.doing(request)
    environment = getattr(request, "environment", None)
    app = getattr(request, "app", None)
    return (guard.doing or "Go on").format(
        app=app.name if app else "", environment=environment.name if environment else ""
    )


def _carry_out_once(request: Any) -> HttpResponse | None:
    key = request.GET[CONFIRMED]
    if not pending.take(request, key):
        messages.info(request, "Nothing was done: this was carried out already, or was begun in another browser.")
        return redirect(request.path)
    setattr(request, CONFIRMED, key)
    return None


def _is_fragment(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def _go(request: HttpRequest, target: str) -> HttpResponse:
    """Redirect; a part of a page that refreshes itself makes the whole page load anew instead."""
    return _load_anew() if _is_fragment(request) else redirect(target)


def _load_anew() -> HttpResponse:
    return HttpResponse(status=204, headers={"HX-Refresh": "true"})
