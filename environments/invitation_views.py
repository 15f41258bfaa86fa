"""Inviting to a team, and what the link in the mail leads to."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import people
from accounts.actor import Actor
from accounts.guards import public
from accounts.http import PortalRequest
from accounts.models import User
from environments import invitations
from environments.access import AppRequest, team_manager, team_reader
from environments.models import Invitation
from environments.team import TeamRefused
from environments.team_forms import InviteForm, NewPersonForm
from environments.team_views import PAGE, is_guarded


@team_reader()
def invitations_page(request: AppRequest, app: str) -> HttpResponse:
    page = Paginator(invitations.listed(request.app), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "guarded": is_guarded(request), "active": "team"}
    return render(request, "environments/team_invitations.html", context)


@team_manager(doing="Invite somebody to the team of {app}")
def invite(request: AppRequest, app: str) -> HttpResponse:
    form = InviteForm(request.app, request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            sent = invitations.invite(request.app, Actor.of(request), **form.cleaned_data)
        except TeamRefused as refused:
            form.add_error(None, str(refused))
            status = 409
        else:
            messages.success(request, f"An invitation is on its way to {sent.email}. It works once, for seven days.")
            return redirect("environments:team", request.app.slug)
    context = {"form": form, "guarded": is_guarded(request), "active": "team"}
    return render(request, "environments/team_invite.html", context, status=status)


def _sending(request: AppRequest) -> str:
    return f"Send the invitation of {_address(request)} to {request.app.name} again"


def _withdrawing(request: AppRequest) -> str:
    return f"Withdraw the invitation of {_address(request)} to {request.app.name}"


def _address(request: AppRequest) -> str:
    match = request.resolver_match
    found = request.app.invitations.filter(pk=match.kwargs["invitation"]).first() if match else None
    return found.email if found else "somebody"


@team_manager(doing=_sending)
def send_again(request: AppRequest, app: str, invitation: int) -> HttpResponse:
    found = _invitation(request, invitation)
    if request.method == "POST":
        try:
            invitations.send_again(found, Actor.of(request))
        except TeamRefused as refused:
            return _confirm_again(request, found, str(refused))
        messages.success(request, f"A new invitation is on its way to {found.email}. The former link is void.")
        return redirect("environments:team", request.app.slug)
    return _confirm_again(request, found)


def _confirm_again(request: AppRequest, found: Invitation, problem: str = "") -> HttpResponse:
    what = [
        f"{found.email} gets a mail with a new link that works once, for seven days, to join as {found.role.name}.",
        "The former link does not work any more. The invitation is yours from then on.",
    ]
    return _confirm(request, f"Send the invitation of {found.email} again", what, problem, mails=True)


@team_manager(doing=_withdrawing)
def withdraw(request: AppRequest, app: str, invitation: int) -> HttpResponse:
    found, problem = _invitation(request, invitation), ""
    if request.method == "POST":
        try:
            invitations.withdraw(found, Actor.of(request))
        except TeamRefused as refused:
            problem = str(refused)
        else:
            messages.success(request, f"The invitation of {found.email} is withdrawn.")
            return redirect("environments:team", request.app.slug)
    what = ["The link in the mail does not work any more. No mail is sent about it."]
    return _confirm(request, f"Withdraw the invitation of {found.email}", what, problem, tone="strong danger")


def _invitation(request: AppRequest, pk: int) -> Invitation:
    """SECURITY: only of this app; another one's is as if it did not exist."""
    return get_object_or_404(request.app.invitations.select_related("app", "role"), pk=pk)


def _confirm(request: AppRequest, label: str, what: list[str], problem: str, **more: object) -> HttpResponse:
    context = {
        "label": label,
        "what": what,
        "refusal": TeamRefused(problem) if problem else None,
        "refused": bool(problem),
        "guarded": is_guarded(request),
        "active": "team",
    }
    return render(request, "environments/team_confirm.html", context | more, status=409 if problem else 200)


@public
@never_cache
@sensitive_post_parameters()
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link is for; a button or a form accepts it, the link alone never does."""
    try:
        found = invitations.find(token)
        if request.user.is_authenticated:
            return _as_who_is_signed_in(request, found)  # type: ignore[arg-type]
        if User.objects.filter(email=found.email).exists():
            return _show(request, found, "known")
        return _as_new(request, found)  # type: ignore[arg-type]
    except invitations.NotValid as not_valid:
        context = {"why": str(not_valid)}
        return render(request, "environments/invitation_not_valid.html", context, status=404)


def _as_who_is_signed_in(request: PortalRequest, found: Invitation) -> HttpResponse:
    if request.user.email != found.email:
        return _show(request, found, "other", 409 if request.method == "POST" else 200)
    if request.method == "POST":
        membership = invitations.accept(found, Actor.of(request))
        return _welcome(request, membership.app.slug, found)
    return _show(request, found, "mine")


def _as_new(request: PortalRequest, found: Invitation) -> HttpResponse:
    form = NewPersonForm(found.email, request.POST if request.method == "POST" else None)
    if form.is_valid():
        person = form.save(commit=False)
        try:
            invitations.accept_as_new(found, Actor(person, address=request.address, browser=request.browser))
        except invitations.HasAccount:
            return _show(request, found, "known")
        people.sign_in(request, person)
        return _welcome(request, found.app.slug, found)
    return _show(request, found, "new", form=form)


def _welcome(request: PortalRequest, slug: str, found: Invitation) -> HttpResponse:
    messages.success(request, f"You are in the team of {found.app.name} as {found.role.name}.")
    return redirect("deployments:app", slug)


def _show(request: HttpRequest, found: Invitation, who: str, status: int = 200, **more: object) -> HttpResponse:
    context = {"invitation": found, "who": who, **more}
    return render(request, "environments/invitation.html", context, status=status)
