"""The Options page of an environment, and what the runs of its scheduled events said."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.forms import BoundField
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from accounts.actor import Actor
from accounts.guards import Fields
from accounts.http import PortalRequest
from deployments.errors import ChangedMeanwhile
from deployments.events import next_time
from deployments.manifests import ScheduledEvent
from deployments.models import EventRun, Live
from deployments.option_flows import Stored, save_options, stored, waiting_for_restart
from deployments.option_forms import OptionsForm
from deployments.overview import Card, card_of
from deployments.words import every
from environments.access import AppRequest, environment_of, may, membership_of, requires
from environments.authority import NotPermitted
from environments.models import Environment
from environments.permissions import Permission

ANOTHER_PACKAGE = (
    "Another package is on {environment} since you opened this page. Nothing was saved. Look again, then save."
)


@dataclass(frozen=True)
class EventRow:
    """A scheduled event on the page: its switch, its last run and when it is due next."""

    event: ScheduledEvent
    field: BoundField
    last: EventRun | None
    next: datetime | None

    @property
    def every(self) -> str:
        return every(self.event.interval) if self.event.interval else ""


def in_words(request: PortalRequest, names: dict[str, Any], fields: Fields) -> Fields:
    """Say what a form that waits to be confirmed would change, secrets in words."""
    membership = membership_of(request.user, names["app"])
    environment = environment_of(membership.app, names["environment"])
    # SECURITY: what is set now is shown to whoever sees it on the page itself, behind right and window
    may_see = may(request.user, environment, Permission.TRANSPORT) and (request.window or not environment.is_production)
    if not may_see:
        return []
    live = Live.objects.filter(environment=environment).select_related("package").first()
    package = live.package if live else None
    current = stored(environment)
    form = OptionsForm(package.contents if package else None, current.options, QueryDict(urlencode(fields)))
    if not form.is_valid():
        return [("Options", "Something is to be corrected; the next page says what")]
    changes = current.options.difference(form.typed())
    return [(name, f"{before or 'not set'} → {after or 'not set'}") for name, before, after in changes] or [
        ("Options", "Nothing changes")
    ]


@never_cache
@requires(Permission.TRANSPORT, doing="Change the options of {environment}", shows=in_words)
def options(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Show what is set on the environment, and save it as one change."""
    card, current = card_of(request), stored(request.environment)
    form = _form(request, card, current)
    status, problem = 200, ""
    if form.is_bound:
        status = 400
        if form.is_valid():
            problem = _save(request, form)
            if not problem:
                return redirect(request.path)
            # Told once, what was typed is saved over what the other one did when it is sent again
            current, status = stored(request.environment), 409
            form = _form(request, card, current, again=True)
            form.is_valid()
    context = {
        "card": card,
        "current": current,
        "form": form,
        "problem": problem,
        "would_change": current.options.difference(form.typed()) if problem and form.is_valid() else [],
        "unapplied": waiting_for_restart(card.live, current.options),
        "events": _event_rows(request.environment, form, card),
        "active": "options",
    }
    return render(request, "deployments/options.html", context, status=status)


@requires(Permission.TRANSPORT)
def event(request: AppRequest, app: str, environment: str, event: str) -> HttpResponse:
    """Show the last runs of a scheduled event with their output."""
    card = card_of(request)
    declared = {each.name: each for each in card.package.contents.scheduled_events} if card.package else {}
    runs = list(request.environment.event_runs.filter(event=event[:200]))
    if event not in declared and not runs:
        raise Http404
    found = declared.get(event)
    context = {
        "card": card,
        "name": event,
        "event": found,
        "every": every(found.interval) if found and found.interval else "",
        "runs": runs,
        "active": "options",
    }
    return render(request, "deployments/event.html", context)


def _form(request: AppRequest, card: Card, current: Stored, again: bool = False) -> OptionsForm:
    package = card.package.sha256 if card.package else ""
    shown = {"revision": current.revision, "package": package}
    posted = request.POST.copy() if request.method == "POST" else None
    if posted is not None and again:
        for name, value in shown.items():
            posted[name] = str(value)
    return OptionsForm(card.package.contents if card.package else None, current.options, posted, initial=shown)


def _save(request: AppRequest, form: OptionsForm) -> str:
    """Save the options; gives the sentence that says why not, where somebody was quicker."""
    card = card_of(request)
    if form.cleaned_data["package"] != (card.package.sha256 if card.package else ""):
        return ANOTHER_PACKAGE.format(environment=request.environment.name)
    try:
        changes = save_options(request.environment, Actor.of(request), form.typed(), form.cleaned_data["revision"])
    except ChangedMeanwhile as reason:
        return str(reason)
    except NotPermitted as reason:
        raise PermissionDenied from reason
    where = request.environment.name
    messages.success(request, f"The options of {where} are saved." if changes else "Nothing was different.")
    return ""


def _event_rows(environment: Environment, form: OptionsForm, card: Card) -> Iterable[EventRow]:
    if not form.events:
        return []
    latest = environment.event_runs.order_by().values("event").annotate(last=Max("pk")).values("last")
    last = {run.event: run for run in EventRun.objects.filter(pk__in=latest).defer("output")}
    now = timezone.now()
    runs = bool(card.live and card.live.is_running)
    return [
        EventRow(
            event,
            form[f"event-{number}"],
            last.get(event.name),
            next_time(event, now) if runs and event.name not in form.options.events_off else None,
        )
        for number, event in enumerate(form.events)
    ]
