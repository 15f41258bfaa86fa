"""The person's apps, teams, permissions and activity."""

import re
from collections.abc import Iterable

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.actor import Actor
from accounts.guards import signed_in
from accounts.http import PortalRequest
from accounts.models import Activity
from environments import flows
from environments.access import AppRequest, deployer, team_manager, team_reader
from environments.authority import NotPermitted
from environments.forms import AddMemberForm, NewAppForm
from environments.grid import Row, rows_of, wanted_and_seen
from environments.models import App
from environments.permissions import EXPLAINED, Permission, allowed

PAGE = 50
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)


@signed_in
def apps(request: PortalRequest) -> HttpResponse:
    found = App.objects.for_member(request.user).prefetch_related("environments__live__package")
    return render(request, "environments/apps.html", {"apps": found, "may_create": flows.may_create_app(request.user)})


@signed_in
def new_app(request: PortalRequest) -> HttpResponse:
    if not flows.may_create_app(request.user):
        raise Http404
    form = NewAppForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            app = flows.create_app(Actor.of(request), form.cleaned_data["name"], form.cleaned_data["slug"])
        except IntegrityError:
            form.full_clean()  # somebody was quicker: the form sees it now, and says so
        else:
            messages.success(request, f"{app.name} has Test, Acceptance and Production now. Upload its first package.")
            return redirect("deployments:app", app.slug)
    return render(request, "environments/new_app.html", {"form": form})


@deployer()
def activity(request: AppRequest, app: str) -> HttpResponse:
    """Show what happened, newest first; `before` is the number of the last entry of the page before."""
    entries = Activity.objects.filter(app_id=request.app.pk)
    before = request.GET.get("before", "")
    if NUMBER.fullmatch(before):
        entries = entries.filter(pk__lt=int(before))
    page = list(entries[: PAGE + 1])
    context = {"entries": page[:PAGE], "older": page[PAGE - 1].pk if len(page) > PAGE else None, "active": "activity"}
    return render(request, "environments/activity.html", context)


@team_manager(doing="Add somebody to the team of {app}")
def add_member(request: AppRequest, app: str) -> HttpResponse:
    form = AddMemberForm(request.app, request.POST or None)
    if request.method == "POST" and form.is_valid() and form.user:
        try:
            flows.add_member(request.app, Actor.of(request), form.user, form.cleaned_data["role"])
        except IntegrityError:
            form.full_clean()  # somebody was quicker, as above
        else:
            messages.success(request, f"{form.user.name} is in the team now.")
            return redirect("environments:team", request.app.slug)
    return render(request, "environments/add_member.html", {"form": form, "active": "team"})


@team_reader()
def team(request: AppRequest, app: str) -> HttpResponse:
    members = request.app.memberships.select_related("user", "role").order_by("role__order", "user__name", "pk")
    page = Paginator(members, PAGE).get_page(request.GET.get("page"))
    return render(request, "environments/team.html", {"page": page, "active": "team"})


@deployer()
def permissions_start(request: AppRequest, app: str) -> HttpResponse:
    """Go to the permissions of the app's first environment."""
    first = request.app.environments.first()
    if first is None:
        raise Http404
    return redirect("environments:permissions", request.app.slug, first.slug)


@deployer(doing="Change the node permissions on {environment}")
def permissions(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Show and set the node permissions of one environment: members down, permissions across."""
    members = request.app.memberships.filter(role__deploys=True).select_related("user", "role", "app")
    page = Paginator(members.order_by("user__name", "pk"), PAGE).get_page(request.GET.get("page"))
    rows = rows_of(page.object_list, request.environment, request.standing, request.user)
    status = 200
    if request.method == "POST":
        answer = _save_permissions(request, rows)
        if answer:
            return answer
        rows, status = rows_of(page.object_list, request.environment, request.standing, request.user, request.POST), 409
    context = {
        "page": page,
        "rows": rows,
        "columns": [(p, EXPLAINED[p]) for p in Permission],
        "environments": request.app.environments.all(),
        "manages": allowed(Permission.MANAGE, request.standing, request.environment.is_production),
        "active": "permissions",
    }
    return render(request, "environments/permissions.html", context, status=status)


def _save_permissions(request: AppRequest, rows: Iterable[Row]) -> HttpResponse | None:
    wanted, seen = wanted_and_seen(rows, request.POST)
    try:
        changed = flows.set_permissions(request.environment, Actor.of(request), wanted, seen)
    except flows.ChangedMeanwhile as conflict:
        messages.warning(
            request,
            f"Somebody else changed the permissions of {conflict} since you opened this page. Nothing was saved. "
            "Marked below is what they are now; your choices are kept. Look at them and save again.",
        )
        return None
    except NotPermitted as refusal:
        messages.error(request, f"{refusal} Nothing was saved.")
        return None
    names = ", ".join(member.user.name for member in changed)
    where = request.environment.name
    messages.success(request, f"Saved: {names} on {where}." if names else "Nothing was changed.")
    return redirect(request.get_full_path())
