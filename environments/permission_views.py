"""The Permissions page: who may do what on each environment, seen and set."""

from collections.abc import Iterable

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.actor import Actor
from environments import grants
from environments.access import AppRequest, deployer
from environments.authority import NotPermitted
from environments.grid import Row, rows_of, wanted_and_seen
from environments.permissions import EXPLAINED, Permission, allowed

PAGE = 50


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
        changed = grants.set_permissions(request.environment, Actor.of(request), wanted, seen)
    except grants.ChangedMeanwhile as conflict:
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
