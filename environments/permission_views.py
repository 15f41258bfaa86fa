"""The Permissions page and what belongs to it: who may do what on each environment, seen and set."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize

from accounts import refusals
from accounts.actor import Actor
from accounts.guards import Fields
from accounts.http import PortalRequest
from environments import grants, grid
from environments.access import AppRequest, deployer, membership_of, standing_of
from environments.authority import NotPermitted
from environments.grants import ChangedMeanwhile
from environments.grid import PAGE, Grid, Row, Sent
from environments.models import Membership
from environments.permissions import EXPLAINED, Permission, allowed
from environments.reach import deployers_of, search

LONGEST_SEARCH = 100  # characters


@deployer()
def permissions_start(request: AppRequest, app: str) -> HttpResponse:
    """Go to the permissions of the app's first environment."""
    first = request.app.environments.first()
    if first is None:
        messages.info(request, f"{request.app.name} has no environment that somebody could be permitted anything on.")
        return redirect("deployments:app", request.app.slug)
    return redirect("environments:permissions", request.app.slug, first.slug)


def in_words(request: PortalRequest, names: dict[str, Any], fields: Fields) -> Fields:
    """Say what a form that waits to be confirmed would change: "Bob", "Transport Rights on, API Rights off"."""
    sent = grid.read(QueryDict(urlencode(fields)))
    # SECURITY: names are shown to whoever sees them on the page itself, not to everybody who makes up a form
    teams = Membership.objects.filter(user=request.user, role__deploys=True, app__slug=names["app"]).values("app")
    members = Membership.objects.filter(app__in=teams, pk__in=sent.wanted, role__deploys=True).select_related("user")
    chosen = [(member.user.name, sent.changes(member.pk)) for member in members.order_by("user__name", "pk")]
    shown = [(name, _listed(changes)) for name, changes in chosen if changes]
    return shown or [("Changes", "None")]


def _listed(changes: Mapping[Permission, bool]) -> str:
    return ", ".join(f"{permission.label} {'on' if granted else 'off'}" for permission, granted in changes.items())


@deployer(doing="Change the node permissions on {environment}", shows=in_words)
def permissions(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Show and set the node permissions of one environment: members down, permissions across."""
    if request.method == "POST":
        return _save(request, grid.read(request.POST))
    words = request.GET.get("q", "").strip()[:LONGEST_SEARCH]
    page = Paginator(search(deployers_of(request.app), words), PAGE).get_page(request.GET.get("page"))
    return _show(request, _grid(request).rows(page.object_list), page=page, words=words)


def _grid(request: AppRequest, sent: Sent | None = None) -> Grid:
    return Grid(request.app, request.environment, request.user, request.standing, sent or Sent())


def _show(request: AppRequest, rows: list[Row], status: int = 200, **more: Any) -> HttpResponse:
    environments = list(request.app.environments.all())
    context = {
        "rows": rows,
        "columns": [(p, EXPLAINED[p]) for p in Permission],
        "environments": environments,
        "decides_production": any(each.is_production for each in environments),
        "manages": allowed(Permission.MANAGE, request.standing, request.environment.is_production),
        "editable": any(cell.editable for row in rows for cell in row.cells),
        "active": "permissions",
    }
    return render(request, "environments/permissions.html", context | more, status=status)


def _save(request: AppRequest, sent: Sent) -> HttpResponse:
    try:
        changed = grants.set_permissions(request.environment, Actor.of(request), sent.wanted, sent.seen)
    except ChangedMeanwhile as conflict:
        messages.warning(request, _said(conflict))
        return _show_again(request, sent, 409)
    except NotPermitted as refusal:
        refusals.note(request, str(refusal), request.app, request.environment)
        messages.error(request, f"{refusal} Nothing was saved.")
        return _show_again(request, sent, 403)
    names = ", ".join(member.user.name for member in changed)
    where = request.environment.name
    messages.success(request, f"Saved: {names} on {where}." if names else "Nothing was changed.")
    return redirect(_address(request))


def _address(request: AppRequest) -> str:
    """Give the address of the page that the form stood on, without what the gate adds."""
    query = request.GET.copy()
    query.pop("confirmed", None)
    return f"{request.path}?{query.urlencode()}" if query else request.path


def _show_again(request: AppRequest, sent: Sent, status: int) -> HttpResponse:
    """Show the members of the form as they are now, with what was chosen for them, to whoever may still look."""
    membership = membership_of(request.user, request.app.slug)
    request.app, request.standing = membership.app, standing_of(membership, request.environment)
    if not request.standing.deploys:
        return redirect(request.path)  # the gate says what is missing
    members = deployers_of(request.app).filter(pk__in=sent.seen)
    return _show(request, _grid(request, sent).rows(members), status, again=_address(request))


def _said(conflict: ChangedMeanwhile) -> str:
    """Say what became of the page that somebody saves from, and what to do."""
    sentences = []
    if conflict.members:
        names = ", ".join(member.user.name for member in conflict.members)
        sentences.append(f"The permissions of {names} were changed since you opened this page.")
    if conflict.lost:
        names = ", ".join(member.user.name for member in conflict.lost)
        sentences.append(f"{names} can hold none any more: their role does not carry the deploy permission.")
    if conflict.gone:
        members = f"{conflict.gone} member{pluralize(conflict.gone)}"
        sentences.append(f"{members} that you changed left the team since you opened this page.")
    sentences.append("Nothing was saved. Your other choices are kept below: look at them and save again.")
    return " ".join(sentences)
