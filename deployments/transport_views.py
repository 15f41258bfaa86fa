"""Bringing a version to an environment: a package of the repository, or back to one that ran before."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache

from accounts.actor import Actor
from accounts.guards import Fields
from accounts.http import PortalRequest
from deployments.asking import ask, job_page
from deployments.backups.overview import last_good
from deployments.file_changes import file_changes
from deployments.flows import goes_back_to, request_roll_back, request_transport
from deployments.forms import RollBackForm, TransportForm
from deployments.models import Job, Package
from deployments.option_flows import last_used_with, stored
from deployments.option_forms import needed_constants
from deployments.options import SECRET
from deployments.overview import Card, card_of, difference
from deployments.words import how_it_changes_over
from environments.access import AppRequest, requires
from environments.models import App
from environments.permissions import Permission

OFFERED = 100  # packages to choose from; older ones are transported from their own page


def transporting(request: AppRequest) -> str:
    """Say what a form of the transport page is about to do."""
    package = _find(request.app, request.POST.get("package") or request.GET.get("package", ""))
    return f"Transport {package or 'a package'} to {request.environment.name}"


def in_words(request: PortalRequest, names: dict[str, Any], fields: Fields) -> Fields:
    """Say what was filled in on a form that waits to be confirmed; its title says the rest."""
    labels = {"note": "Note", "options": "Options", "back_up": "Back up first"}
    options = {RollBackForm.THEN: "As they were then", RollBackForm.NOW: "As they are now", "on": "Yes"}
    shown = []
    for name, value in fields:
        kind, _, constant = name.rpartition("constant-")
        if constant and value:
            shown.append((constant, SECRET if kind else value))
        elif name in labels and value:
            shown.append((labels[name], options.get(value, value)))
    return shown


@never_cache
@requires(Permission.TRANSPORT, doing=transporting, shows=in_words)
def transport(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Choose a package, see what will change, fill in what it needs, confirm."""
    key = request.POST.get("package") or request.GET.get("package")
    if not key:
        return _choose(request)
    package = _find(request.app, key)
    if package is None:
        # SECURITY: a package of another app is as if it did not exist
        raise Http404
    card, current = card_of(request), stored(request.environment)
    needed = needed_constants(package.contents, card.package.contents if card.package else None, current.options)
    posted = request.POST if request.method == "POST" else None
    form = TransportForm(needed, current.options, posted)
    form.offer_backup(card.environment.name, offered=_offers_backup(card))
    status = 200
    if form.is_bound:
        answer = ask(request, lambda: _request(request, package, form)) if form.is_valid() else ""
        if isinstance(answer, Job):
            return redirect(job_page(request, answer))
        if answer:
            form.add_error(None, answer)
        status = 409 if answer else 400
    context = {
        "form": form,
        "card": card,
        "difference": difference(card.package, package),
        "needs_values": bool(needed),
        "revision": stored(request.environment).revision if status == 409 else current.revision,
        "files": file_changes(card.package, package) if card.package and card.package != package else None,
        "change_over": _change_over(card, package),
        "last_good": last_good(card.environment),
        "active": "overview",
    }
    return render(request, "deployments/transport.html", context, status=status)


def rolling_back(request: AppRequest) -> str:
    """Say what a form of the roll back page is about to do."""
    number = request.resolver_match.kwargs["number"] if request.resolver_match else 0
    job = _job(request, number)
    return f"Roll back {request.environment.name}" + (f" to {job.package_name}" if job else "")


@requires(Permission.TRANSPORT, doing=rolling_back, shows=in_words)
def roll_back(request: AppRequest, app: str, environment: str, number: int) -> HttpResponse:
    """Show what comes back when the environment returns to what a job had brought, and do it."""
    to = _job(request, number)
    if to is None or not goes_back_to(to) or to.package is None:
        raise Http404
    card, current, then = card_of(request), stored(request.environment).options, last_used_with(to)
    changes = current.difference(current.back_to(then, to.package.contents)) if then else []
    form = RollBackForm(to.package_name, bool(changes), request.POST if request.method == "POST" else None)
    form.offer_backup(card.environment.name, offered=_offers_backup(card))
    status = 200
    if form.is_bound:
        answer = ask(request, lambda: _request_back(request, number, form)) if form.is_valid() else ""
        if isinstance(answer, Job):
            return redirect(job_page(request, answer))
        if answer:
            form.add_error(None, answer)
        status = 409 if answer else 400
    context = {
        "form": form,
        "card": card,
        "to": to,
        "changes": changes,
        "change_over": _change_over(card, to.package),
        "last_good": last_good(card.environment),
        "active": "overview",
    }
    return render(request, "deployments/roll_back.html", context, status=status)


def _request(request: AppRequest, package: Package, form: TransportForm) -> Job:
    seen = form.cleaned_data["revision"]
    revision = stored(request.environment).revision if seen is None else seen
    constants, note = form.typed_constants(), form.cleaned_data["note"]
    by = Actor.of(request)
    return request_transport(request.environment, by, package, note, constants, revision, form.backs_up)


def _request_back(request: AppRequest, number: int, form: RollBackForm) -> Job:
    note = form.cleaned_data["note"]
    return request_roll_back(request.environment, Actor.of(request), number, note, form.with_options, form.backs_up)


def _offers_backup(card: Card) -> bool:
    return card.environment.is_production and card.package is not None


def _change_over(card: Card, package: Package) -> str:
    runs = bool(card.live and card.live.is_running)
    return how_it_changes_over(card.environment.name, card.package, package, runs=runs)


def _choose(request: AppRequest) -> HttpResponse:
    asked = request.method == "POST"
    context = {
        "card": card_of(request),
        "last_good": last_good(request.environment),
        "packages": request.app.packages.defer("manifest")[:OFFERED],
        "error": "Choose a package." if asked else "",
        "active": "overview",
    }
    return render(request, "deployments/choose.html", context, status=400 if asked else 200)


def _find(app: App, key: str) -> Package | None:
    try:
        return app.packages.filter(key=UUID(key)).first()
    except ValueError:
        return None


def _job(request: AppRequest, number: int) -> Job | None:
    if number > 2**31 - 1:
        return None
    return request.environment.jobs.filter(number=number).select_related("package").first()
