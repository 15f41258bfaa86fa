"""What happened in an app and on its environments: pages of it, and all of it as CSV."""

import json
import re
from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.guards import declare
from environments.access import AppGuard, AppRequest, deployer
from environments.activity_forms import ActivityFilter, offered_names
from environments.csv_export import stream
from environments.models import Environment
from environments.timeline import Page, Wanted, every, gone_environments, page_of, show

NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
HEADER = ("Time (UTC)", "Person", "What", "Of", "Environment", "Before", "After", "Reason", "Way", "Address", "Code")


@deployer()
def activity(request: AppRequest, app: str) -> HttpResponse:
    """Show what happened in the app; what changed on production is kept back without a window."""
    return _page(request, None)


@deployer()
def environment_activity(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _page(request, request.environment)


@declare(AppGuard(deploys=True, decides_production=True, doing="Download the activity of {app}"))
def activity_csv(request: AppRequest, app: str) -> HttpResponseBase:
    """Give all that the filters let through, details of production included; the record says who took them."""
    environments = list(request.app.environments.all())
    form = ActivityFilter(request.GET, request.app, environments, gone_environments(request.app))
    if not form.is_valid():
        return redirect(f"{reverse('environments:activity', args=[app])}?{request.GET.urlencode()}")
    if request.method != "HEAD":
        record(Act.ACTIVITY_EXPORTED, Actor.of(request), request.app.name, app=request.app)
    return stream(f"{request.app.slug}-activity.csv", HEADER, _rows(form.wanted()))


def _page(request: AppRequest, only: Environment | None) -> HttpResponse:
    environments = list(request.app.environments.all())
    gone = [] if only else gone_environments(request.app)
    form = ActivityFilter(request.GET, request.app, environments, gone, only)
    page = Page([], None, None)
    if form.is_valid():
        page = page_of(form.wanted(), _number(request, "before"), _number(request, "after"))
    show(page.entries, environments, unlocked=bool(request.window))
    context: dict[str, Any] = {
        "form": form,
        "page": page,
        "names": offered_names(request.app),
        "nobody": form.is_valid() and form.cleaned_data["person"] == (),
        "guarded": any(environment.is_production for environment in environments),
        "locked": any(entry.locked for entry in page.entries),
        "layout": "environment.html" if only else "app.html",
        "active": "environment_activity" if only else "activity",
    }
    return render(request, "environments/activity.html", context)


def _number(request: AppRequest, name: str) -> int | None:
    typed = request.GET.get(name, "")
    return int(typed) if NUMBER.fullmatch(typed) else None


def _rows(wanted: Wanted) -> Iterator[tuple[object, ...]]:
    for entry in every(wanted):
        yield (
            entry.at,
            entry.actor_name,
            Act(entry.act).label,
            entry.target,
            entry.environment_name,
            _json(entry.before),
            _json(entry.after),
            entry.reason,
            entry.via,
            entry.address,
            entry.act,
        )


def _json(value: object) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)
