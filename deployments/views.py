"""An app with its environments, one environment, and the history of what was done to it."""

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.models import ProductionWindow
from deployments.flows import goes_back_to
from deployments.keeping import listed, of_cards
from deployments.models import Job
from deployments.monitoring.alert_kinds import AlertKind
from deployments.monitoring.alert_models import Alert
from deployments.overview import Card, card_of, cards_of, next_place, unapplied, way_back
from deployments.states import NO_DEPLOYMENTS, JobState, StepName
from deployments.words import if_it_fails
from environments.access import AppRequest, deployer, member
from environments.timeline import latest, show

LATEST, ENTRIES = 10, 7  # packages and activity entries on the app's page
RECENT = 5  # deployments on an environment's page
PAGE = 50


@member()
def app(request: AppRequest, app: str) -> HttpResponse:
    """Show an app; members whose role does not deploy see the state of its environments only."""
    cards = cards_of(request)
    context = {"cards": cards, "busy": any(card.job for card in cards), "active": "environments"}
    if request.standing.deploys:
        context["may_transport"] = {card.environment.pk for card in cards if card.may_transport}
        packages = list(request.app.packages.defer("manifest")[: LATEST + 1])
        context |= {"packages": listed(packages[:LATEST], of_cards(cards)), "more": len(packages) > LATEST}
        context["entries"] = entries = latest(request.app, ENTRIES)
        show(entries, [card.environment for card in cards], unlocked=bool(request.window))
    return render(request, "deployments/app.html", context)


@deployer()
def environment(request: AppRequest, app: str, environment: str) -> HttpResponse:
    card = card_of(request)
    if getattr(request, "htmx", False) and not card.active:
        # What the page watched has ended: heading and actions change with it
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    context = {
        "card": card,
        "may_transport": card.may_transport,
        "recent": request.environment.jobs.exclude(kind__in=NO_DEPLOYMENTS)[:RECENT],
        "latest_package": None if card.package else request.app.packages.first(),
        "way_back": way_back(card) if card.may_transport else None,
        "next_place": next_place(request) if card.package else None,
        "unapplied": unapplied(card),
        "alerts": _alerts(card),
        "active": "overview",
    }
    return render(request, "deployments/environment.html", context)


def _alerts(card: Card) -> list[Alert]:
    """Give the open alerts, the worst first; that it is offline the page says already."""
    offline = bool(card.live and card.live.is_running and card.live.trouble)
    found = card.environment.alerts.open().order_by("-rank") if card.live else []
    return [alert for alert in found if not (offline and alert.kind == AlertKind.OFFLINE)]


@deployer()
def deployments(request: AppRequest, app: str, environment: str) -> HttpResponse:
    page = Paginator(request.environment.jobs.exclude(kind__in=NO_DEPLOYMENTS), PAGE).get_page(request.GET.get("page"))
    card = card_of(request)
    context = {"page": page, "card": card, "may_transport": card.may_transport, "active": "deployments"}
    return render(request, "deployments/deployments.html", context)


@deployer()
def job(request: AppRequest, app: str, environment: str, number: int) -> HttpResponse:
    """Show how a job goes; a page that watches it asks for the changing part only."""
    if number > 2**31 - 1:
        raise Http404
    found = get_object_or_404(request.environment.jobs.select_related("package", "package_before"), number=number)
    found.environment = request.environment
    steps = list(found.steps.all())
    for step in steps:
        step.job = found
    card = card_of(request)
    runs = bool(card.live and card.live.is_running and card.live.instance == found.number)
    ended = found.state == JobState.DONE
    context = {
        "job": found,
        "steps": steps,
        "card": card,
        "ahead": [other for other in card.active if other.pk < found.pk] if found.state == JobState.QUEUED else [],
        "authorised": ProductionWindow.objects.filter(pk=found.window).first() if found.window else None,
        "runs": ended and runs,
        "way_back": way_back(card) if ended and runs and card.may_transport else None,
        "next_place": next_place(request) if ended and runs else None,
        "comes_back": ended and not runs and card.may_transport and _may_come_back(found, card),
        "if_it_fails": if_it_fails(found, card, [StepName(step.name) for step in steps]),
        "may_cancel": card.may_transport and found.may_be_cancelled,
        "active": "deployments",
    }
    changing_part = getattr(request, "htmx", False)
    return render(request, "deployments/_job.html" if changing_part else "deployments/job.html", context)


def _may_come_back(job: Job, card: Card) -> bool:
    """Say whether to offer a roll back to what the job brought: it is not what is there now."""
    return goes_back_to(job) and job.package_id != (card.package.pk if card.package else None)
