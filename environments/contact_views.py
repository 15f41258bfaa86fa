"""Handing the Technical Contact's role over: choose somebody, see what changes, offer; accept or decline."""

from collections.abc import Callable

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from accounts.actor import Actor
from environments import contact
from environments.access import AppRequest, contact_or_offered, technical_contact
from environments.models import App
from environments.reach import search
from environments.settings_forms import TypedNameForm

PAGE = 50
TAB = {"active": "team"}


@contact_or_offered(doing="Hand over the Technical Contact of {app}")
def hand_over(request: AppRequest, app: str) -> HttpResponse:
    """Show the Technical Contact to whom they can offer their role, or the offer to whom it is made."""
    if request.offer:
        context = _changes(request.app) | {"offer": request.offer, "new": request.user}
        return render(request, "environments/hand_over_answer.html", context)
    made = getattr(request.app, "hand_over", None)
    stands = made is not None and made.stands_at(timezone.now())
    asked = request.GET.get("q", "").strip()
    found = contact.candidates(request.app)
    if made and stands:
        found = found.exclude(pk=made.offered_to_id)
    context = TAB | {
        "offer": made,
        "stands": stands,
        "page": Paginator(search(found, asked), PAGE).get_page(request.GET.get("page")),
        "asked": asked,
    }
    return render(request, "environments/hand_over.html", context)


def _offering(request: AppRequest) -> str:
    """Say what the form is about to do, on the page that asks once more after the code."""
    match = request.resolver_match
    to = request.app.memberships.select_related("user").filter(pk=match.kwargs["member"]).first() if match else None
    return f"Offer the Technical Contact of {request.app.name} to {to.user.name if to else 'somebody'}"


@technical_contact(doing=_offering)
def offer(request: AppRequest, app: str, member: int) -> HttpResponse:
    """Say what changes for both, and offer the role when the app's name is typed."""
    to = get_object_or_404(request.app.memberships.select_related("user", "role"), pk=member)
    refusal = contact.why_not(request.app, to)
    if refusal:
        messages.warning(request, refusal)
        return redirect("environments:hand_over", request.app.slug)
    form = TypedNameForm(request.app.name, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            contact.offer(request.app, Actor.of(request), to)
        except contact.NotPossible as problem:
            messages.warning(request, str(problem))
        else:
            messages.success(request, f"Offered to {to.user.name}, who was told by mail. It stands for seven days.")
        return redirect("environments:hand_over", request.app.slug)
    context = _changes(request.app) | {"form": form, "new": to.user}
    return render(request, "environments/hand_over_offer.html", context)


@technical_contact(doing="Withdraw the offer of the Technical Contact of {app}")
def withdraw(request: AppRequest, app: str) -> HttpResponse:
    done = f"The offer is withdrawn. You stay the Technical Contact of {request.app.name}."
    return _act(request, contact.withdraw, done, "environments:hand_over")


@contact_or_offered(doing="Become the Technical Contact of {app}")
def accept(request: AppRequest, app: str) -> HttpResponse:
    done = f"You are the Technical Contact of {request.app.name} now. {request.app.technical_contact.name} was told."
    return _act(request, contact.accept, done, "deployments:app")


@contact_or_offered(doing="Decline the Technical Contact of {app}", decides_production=False)
def decline(request: AppRequest, app: str) -> HttpResponse:
    """Say no. It needs no code: it decides nothing about production."""
    done = f"You declined. {request.app.technical_contact.name} stays the Technical Contact and was told."
    return _act(request, contact.decline, done, "deployments:app")


def _act(request: AppRequest, act: Callable[[App, Actor], None], done: str, then: str) -> HttpResponse:
    """Carry out what a button says; whoever only opens its address sees the page with the buttons."""
    if request.method != "POST":
        return redirect("environments:hand_over", request.app.slug)
    try:
        act(request.app, Actor.of(request))
    except contact.NotPossible as problem:
        messages.warning(request, str(problem))
        return redirect("deployments:app", request.app.slug)
    messages.success(request, done)
    return redirect(then, request.app.slug)


def _changes(app: App) -> dict[str, object]:
    """Give what the pages say about the change for both."""
    old = app.technical_contact
    return TAB | {
        "old": old,
        "old_place": app.memberships.select_related("role").filter(user=old).first(),
        "everywhere": app.environments.all(),
        "lost": contact.lost_with_the_role(app),
    }
