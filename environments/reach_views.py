"""Seeing across: who can reach production, what one person may do, and all of it as CSV."""

from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from environments import permission_csv
from environments.access import AppRequest, contact_or_own, technical_contact
from environments.csv_export import stream
from environments.grid import PAGE
from environments.reach import people_of, reaching_production, summary_of


@technical_contact(doing="Who can reach production of {app}")
def production_access(request: AppRequest, app: str) -> HttpResponse:
    """List everybody with a permission on production, the Technical Contact first."""
    page = Paginator(reaching_production(request.app), PAGE).get_page(request.GET.get("page"))
    environments = request.app.environments.filter(is_production=True)
    context = {
        "page": page,
        "people": people_of(request.app, environments, page.object_list),
        "environments": environments,
        "summary": summary_of(request.app),
        "active": "permissions",
    }
    return render(request, "environments/production_access.html", context)


@contact_or_own(doing="What a member of {app} may do")
def person(request: AppRequest, app: str, member: int) -> HttpResponse:
    """Say what one member may do, for the Technical Contact and for that member."""
    found = get_object_or_404(request.app.memberships.select_related("user", "role"), pk=member)
    [shown] = people_of(request.app, request.app.environments.all(), [found])
    return render(request, "environments/person.html", {"person": shown, "active": "team"})


@technical_contact(doing="Download all permissions of {app}")
def permissions_csv(request: AppRequest, app: str) -> HttpResponseBase:
    """Download who may do what on all environments; the record says who did."""
    if request.method != "HEAD":
        record(Act.PERMISSIONS_EXPORTED, Actor.of(request), request.app.name, app=request.app)
    return stream(f"{request.app.slug}-permissions.csv", permission_csv.HEADER, permission_csv.rows_of(request.app))
