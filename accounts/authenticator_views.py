"""The gate's own pages: the code, help with it, going on with what was interrupted."""

from typing import Any, cast
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import authenticators, pending, purposes, refusals, window
from accounts.actor import Actor
from accounts.browsers import mark
from accounts.forms import CodeForm, HelpForm
from accounts.guards import Fields, guard_of, signed_in
from accounts.http import PortalRequest
from accounts.models import Authenticator
from accounts.views import safe_next


@signed_in
@never_cache
def code(request: PortalRequest) -> HttpResponse:
    """Ask for a code; right, it opens the window and goes on to what was interrupted."""
    form = CodeForm(request.POST or None)
    if _opens(request, form):
        return go_on(request)
    authenticator = authenticators.confirmed(request.user)
    if authenticator is None:
        return redirect(f"{reverse('accounts:set_up')}?{query_of(request)}")
    context = _context(request, form, authenticator) | {"onward": _onward(request)}
    return render(request, "accounts/code.html", context, status=_status(request, context))


@signed_in
@never_cache
def code_dialog(request: PortalRequest) -> HttpResponse:
    """The same for a dialog on the page itself: 204 when the window is open, 409 when only the page can help.

    A right code is answered with the new CSRF token, with which the page's own form goes on.
    """
    if request.method == "GET" and request.window:
        return HttpResponse(status=204)
    form = CodeForm(request.POST or None)
    if _opens(request, form):
        return mark(request, JsonResponse({"csrf": get_token(request)}))
    authenticator = authenticators.confirmed(request.user)
    if authenticator is None or authenticator.blocked_at:
        return HttpResponse(status=409)
    context = _context(request, form, authenticator) | {"dialog": True}
    status = max(_status(request, context), 422 if request.method == "POST" else 200)
    return render(request, "accounts/_code_form.html", context, status=status)


def _opens(request: PortalRequest, form: CodeForm) -> bool:
    """Try the code that was sent; why it was not accepted stands at its field."""
    if request.method != "POST" or not form.is_valid():
        return False
    try:
        authenticators.enter_code(request, form.cleaned_data["code"])
    except authenticators.CodeRefused as refused:
        form.add_error("code", str(refused))
        return False
    return True


def _context(request: PortalRequest, form: CodeForm, authenticator: Authenticator) -> dict[str, Any]:
    return purpose_of(request) | {
        "form": form,
        "until": authenticators.waits_until(authenticator),
        "blocked": authenticator.blocked_at,
        "blocked_why": authenticator.get_blocked_why_display(),
    }


def _status(request: PortalRequest, context: dict[str, Any]) -> int:
    return 429 if request.method == "POST" and context.get("until") else 200


@signed_in
@require_POST
def end_window(request: PortalRequest) -> HttpResponse:
    window.end(request)
    messages.success(request, "Production access ended.")
    return redirect("environments:apps")


@signed_in
@never_cache
def help_page(request: PortalRequest) -> HttpResponse:
    """Ask support to disable one's authenticator, and have its codes refused at once when the phone is gone."""
    authenticator = authenticators.confirmed(request.user)
    if authenticator is None:
        return render(request, "accounts/help_none.html")
    form = HelpForm(request.POST if request.method == "POST" else None)
    if authenticator.blocked_at:
        del form.fields["phone_gone"]
    if form.is_valid():
        try:
            gone = form.cleaned_data.get("phone_gone", False)
            authenticators.ask_for_reset(Actor.of(request), form.cleaned_data["note"], gone)
        except authenticators.NotAllowed as refused:
            messages.warning(request, str(refused))
        return redirect("accounts:help")
    newest = request.user.reset_requests.order_by("-asked_at", "-pk").first()
    return render(request, "accounts/help.html", {"form": form, "newest": newest, "authenticator": authenticator})


@signed_in
@never_cache
def carry_on(request: PortalRequest, waiting: UUID) -> HttpResponse:
    """Show what was interrupted, with all that was typed and one button; nothing happens by itself."""
    kept = pending.find(request, waiting)
    fields = pending.fields_of(kept) if kept else None
    if kept is None or fields is None:
        messages.info(request, "What you had begun was carried out already, or was kept for ten minutes and is gone.")
        return redirect("environments:apps")
    action = f"{kept.path}?{urlencode({'confirmed': kept.pk})}"
    return _confirm(request, kept.title, action, fields)


def offer_again(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Offer a form with an old CSRF token again, to be confirmed; a form from elsewhere is refused.

    SECURITY: only a form that the browser says comes from this very host is shown again, so that a
    foreign page plants nothing.
    """
    own_addresses = {f"{request.scheme}://{request.get_host()}", *settings.CSRF_TRUSTED_ORIGINS}
    own = request.headers.get("Origin") in own_addresses
    if own and request.user.is_authenticated and request.path == reverse("accounts:sign_in"):
        # Signed in meanwhile, in another tab: there is nothing left to do
        messages.info(request, f"You are signed in as {request.user.name} already.")
        return redirect(safe_next(request))
    if not (own and request.user.is_authenticated and request.method == "POST" and not request.FILES):
        refusals.note(request, "a form from elsewhere, or from before signing in")
        return render(request, "403_csrf.html", status=403)
    return _confirm(
        cast(PortalRequest, request), "Send this form again", request.get_full_path(), pending.typed(request), 403
    )


def _confirm(
    request: PortalRequest, title: str, action: str, fields: list[tuple[str, str]], status: int = 200
) -> HttpResponse:
    shown = _in_words(request, urlsplit(action).path, fields)
    context = {"title": title, "action": action, "fields": fields, "shown": shown, "back": urlsplit(action).path}
    return render(request, "accounts/carry_on.html", context, status=status)


def _in_words(request: PortalRequest, path: str, fields: Fields) -> Fields:
    try:
        address = resolve(path)
    except Resolver404:
        return []
    guard = guard_of(address.func)
    if guard and guard.shows:
        return guard.shows(request, address.kwargs, fields)
    return [(name.replace("_", " ").capitalize(), value) for name, value in fields if value and not _is_secret(name)]


def _is_secret(name: str) -> bool:
    return "password" in name or name == "code"


def purpose_of(request: PortalRequest) -> dict[str, Any]:
    """Say why a code is asked for: what waits, or the page that was asked for."""
    kept = pending.find(request, request.GET.get("waiting", ""))
    target = safe_next(request)
    words = kept.title if kept else purposes.read(request.GET.get("for", ""), target) or _named(target)
    return {"purpose": words, "query": query_of(request)}


def _named(path: str) -> str:
    try:
        names = resolve(urlsplit(path).path).kwargs
    except Resolver404:
        return ""
    if "environment" in names:
        return f"{names['environment'].replace('-', ' ').capitalize()} of {names['app']}"
    return str(names.get("app", ""))


def query_of(request: HttpRequest) -> str:
    return urlencode({name: request.GET[name] for name in ("next", "for", "waiting") if name in request.GET})


def go_on(request: PortalRequest) -> HttpResponse:
    """Lead on from a code: to the confirmation of what waits, else to the page that was asked for."""
    return mark(request, redirect(_onward(request)))


def _onward(request: PortalRequest) -> str:
    kept = pending.find(request, request.GET.get("waiting", ""))
    return reverse("accounts:carry_on", args=[kept.pk]) if kept else safe_next(request)
