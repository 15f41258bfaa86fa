"""The Team page: who is in it, as what and since when; changing roles, removing, leaving."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from accounts.actor import Actor
from environments import invitations, team
from environments.access import AppRequest, member, team_manager, team_reader
from environments.held import in_sentences, permissions_held
from environments.models import Membership, Role
from environments.reach import search
from environments.team import TeamRefused
from environments.team_forms import ChooseRoleForm, SearchForm, ThisRoleForm

PAGE = 50
INVITATIONS_SHOWN = 10  # the newest; the others have a page of their own


@team_reader()
def team_page(request: AppRequest, app: str) -> HttpResponse:
    """List the members, or those whose name or address holds what is searched for, and the newest invitations."""
    members = request.app.memberships.select_related("user", "role").order_by("role__order", "user__name", "pk")
    page = Paginator(_found(members, request), PAGE).get_page(request.GET.get("page"))
    newest = invitations.listed(request.app)
    context = {
        "page": page,
        "words": request.GET.get("q", ""),
        "invitations": newest[:INVITATIONS_SHOWN],
        "invitations_in_all": newest.count(),
        "guarded": is_guarded(request),
        "active": "team",
    }
    return render(request, "environments/team.html", context)


def _found(members: QuerySet[Membership], request: AppRequest) -> QuerySet[Membership]:
    form = SearchForm(request.GET)
    return search(members, form.cleaned_data["q"]) if form.is_valid() else members.none()


def is_guarded(request: AppRequest) -> bool:
    """Say whether what decides about production needs a code in this app."""
    return request.app.environments.filter(is_production=True).exists()


def _changing(request: AppRequest) -> str:
    return f"Change the role of {_name(request)} in the team of {request.app.name}"


def _removing(request: AppRequest) -> str:
    return f"Remove {_name(request)} from the team of {request.app.name}"


def _name(request: AppRequest) -> str:
    match = request.resolver_match
    found = request.app.memberships.filter(pk=match.kwargs["member"]).select_related("user").first() if match else None
    return found.user.name if found else "a member"


@team_manager(doing=_changing)
def change_role(request: AppRequest, app: str, member: int) -> HttpResponse:
    """Choose a role, see what it takes along, confirm."""
    found = _member(request, member)
    if request.method == "POST" or "role" in request.GET:
        this = ThisRoleForm(request.POST if request.method == "POST" else request.GET)
        if this.is_valid():
            return _confirm_role(request, found, this)
    form = ChooseRoleForm(request.GET if "role" in request.GET else None, initial={"role": found.role})
    own = "Nobody changes their own role. Ask somebody else who manages the team."
    problem = own if found.user_id == request.user.pk else ""
    context = {"member": found, "form": form, "problem": problem, "guarded": is_guarded(request), "active": "team"}
    return render(request, "environments/team_role.html", context, status=400 if request.method == "POST" else 200)


def _confirm_role(request: AppRequest, found: Membership, form: ThisRoleForm) -> HttpResponse:
    role: Role = form.cleaned_data["role"]
    refusal = team.why_not(found, role)
    if request.method == "POST":
        try:
            team.change_role(found, Actor.of(request), role)
        except TeamRefused as refused:
            refusal = refused
        else:
            messages.success(request, f"{found.user.name} is {role.name} now.")
            return redirect("environments:team", request.app.slug)
    what = [f"{found.user.name} becomes {role.name} instead of {found.role.name}.", *_role_effects(found, role)]
    return _confirm(request, f"Make {found.user.name} {role.name}", what, refusal, form=form)


def _role_effects(found: Membership, role: Role) -> list[str]:
    effects = []
    if found.role.deploys and not role.deploys:
        effects += ["They see the app’s overview only, and can’t deploy any more.", *_what_goes(found)]
    elif role.deploys and not found.role.deploys:
        effects.append("They can be granted node permissions. They begin with those that everybody who deploys has.")
    if role.manages_team != found.role.manages_team:
        effects.append(f"They {'may' if role.manages_team else 'can’t'} manage the team.")
    return [*effects, "They are told by mail."]


def _what_goes(found: Membership) -> list[str]:
    held = permissions_held([found])[found.pk]
    return [f"These node permissions go at once, and don’t come back with the role. {'; '.join(in_sentences(held))}."]


@team_manager(doing=_removing)
def remove(request: AppRequest, app: str, member: int) -> HttpResponse:
    found = _member(request, member)
    if found.user_id == request.user.pk:
        return redirect("environments:leave", request.app.slug)
    refusal = team.why_not(found)
    if request.method == "POST":
        try:
            team.remove(found, Actor.of(request))
        except TeamRefused as refused:
            refusal = refused
        else:
            messages.success(request, f"{found.user.name} is not in the team any more.")
            return redirect("environments:team", request.app.slug)
    what = [f"{found.user.name}, {found.role.name}, does not see {request.app.name} any more."]
    what += [*_what_goes(found), "They are told by mail. To come back, they need a new invitation."]
    return _confirm(request, f"Remove {found.user.name}", what, refusal, tone="strong danger")


@member(doing="Leave the team of {app}", decides_production=True)
def leave(request: AppRequest, app: str) -> HttpResponse:
    found = _member(request, request.membership.pk)
    refusal = team.why_not(found)
    if request.method == "POST":
        try:
            team.leave(found, Actor.of(request))
        except TeamRefused as refused:
            refusal = refused
        else:
            messages.success(request, f"You left the team of {request.app.name}.")
            return redirect("environments:apps")
    what = [f"You don’t see {request.app.name} any more.", *_what_goes(found)]
    what.append(f"You and {request.app.technical_contact.name} are told by mail. To come back, you need an invitation.")
    return _confirm(request, f"Leave the team of {request.app.name}", what, refusal, tone="strong danger")


def _member(request: AppRequest, pk: int) -> Membership:
    """SECURITY: only of this app; another one's is as if it did not exist."""
    return get_object_or_404(request.app.memberships.select_related("app__technical_contact", "user", "role"), pk=pk)


def _confirm(
    request: AppRequest, label: str, what: list[str], refusal: TeamRefused | None, **more: Any
) -> HttpResponse:
    refused = refusal is not None and request.method == "POST"
    context = {
        "label": label,
        "what": what,
        "refusal": refusal,
        "refused": refused,
        "mails": True,
        "guarded": is_guarded(request),
        "back_url": back_of(request),
        "active": "team",
    }
    return render(request, "environments/team_confirm.html", context | more, status=409 if refused else 200)


def back_of(request: AppRequest) -> str:
    """Give the Team page, or the app's for whoever does not see that."""
    sees = request.standing.deploys or request.standing.manages_team
    return reverse("environments:team" if sees else "deployments:app", args=[request.app.slug])
