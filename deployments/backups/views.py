"""An environment's backups: list, take, details, download, restore, upload."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from accounts.guards import Fields
from accounts.http import PortalRequest
from deployments.asking import ask, job_page
from deployments.backups.access import addressed, guarding, lacks, need_access, touches_production
from deployments.backups.bundle import Bundle, Choice, choices_of
from deployments.backups.downloads import answer, asked_range, is_there
from deployments.backups.fitting import kind_of, misfit
from deployments.backups.flows import note_download, request_backup, request_restore, take_in_upload
from deployments.backups.forms import CommentForm, DataForm, RestoreForm
from deployments.backups.models import Backup
from deployments.backups.overview import data_of, places_of, trouble
from deployments.errors import AlreadyAsked, NoRoom, Refused
from deployments.models import Job
from deployments.overview import card_of
from deployments.repository import NO_ROOM as FULL
from deployments.states import EnvironmentState, Holds
from deployments.uploads import NO_ROOM
from environments.access import AppRequest, requires
from environments.authority import NotPermitted
from environments.permissions import Permission, allowed

PAGE = 50


@never_cache
@requires(Permission.BACKUPS)
def backups(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """List the backups; while one is made the list watches it."""
    page = Paginator(request.environment.backups.select_related("job"), PAGE).get_page(request.GET.get("page"))
    card = card_of(request)
    changing = any(backup.is_unfinished for backup in page)
    if getattr(request, "htmx", False) and not changing:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    context = {
        "page": page,
        "card": card,
        "changing": changing,
        "is_empty": card.state == EnvironmentState.EMPTY,
        "trouble": trouble(request.environment, card.live),
        "data": data_of(request.environment),
        "may_monitor": allowed(Permission.MONITORING, request.standing, request.environment.is_production),
        "at": settings.NIGHTLY_AT,
        "active": "backups",
    }
    return render(request, "deployments/backups/backups.html", context)


@requires(Permission.BACKUPS, doing="Back up {environment} of {app}")
def create(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Ask for a backup with a comment."""
    form = CommentForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound:
        status = 400
        if form.is_valid():
            comment = form.cleaned_data["comment"]
            asked = ask(request, lambda: _job_of(request_backup(request.environment, Actor.of(request), comment)))
            if isinstance(asked, Job):
                return redirect(job_page(request, asked))
            form.add_error(None, asked)
            status = 409
    context = {"form": form, "card": card_of(request), "active": "backups"}
    return render(request, "deployments/backups/create.html", context, status=status)


@never_cache
@requires(Permission.BACKUPS)
def backup(request: AppRequest, app: str, environment: str, number: int) -> HttpResponse:
    found = _found(request)
    choices = [(choice, Bundle(found, choice).size) for choice in choices_of(found)]
    context = {
        "backup": found,
        "choices": choices,
        "places": [(place, misfit(found, place.environment)) for place in places_of(request)] if choices else [],
        "guards": guarding(found),
        "lack": lacks(found, request.user),
        "active": "backups",
    }
    return render(request, "deployments/backups/backup.html", context)


@requires(Permission.BACKUPS, touches_production=touches_production)
@require_safe
def download(request: AppRequest, app: str, environment: str, number: int, choice: str) -> HttpResponseBase:
    """Stream one choice of a backup. Right, session and window are asked for at each request, resumed or not."""
    found = _found(request)
    if choice not in choices_of(found):
        raise Http404
    bundle = Bundle(found, Choice(choice))
    if not is_there(bundle):
        messages.error(request, f"What is stored of {found.title} can't be read. Tell whoever operates the portal.")
        return redirect(_page(found))
    wanted = asked_range(request, bundle)
    try:
        if request.method == "GET":
            note_download(found, Actor.of(request), Choice(choice), resumed=bool(wanted and wanted[0]))
        else:
            need_access(found, Actor.of(request))
    except NotPermitted as reason:
        raise PermissionDenied from reason
    return answer(request, bundle)


def restoring(request: AppRequest) -> str:
    """Say what a form of the restore page is about to do."""
    found = addressed(request)
    return f"Restore {found.title if found else 'a backup'} into {request.environment.name}"


def in_words(request: PortalRequest, names: dict[str, Any], fields: Fields) -> Fields:
    """Say what was chosen on a restore that waits to be confirmed; its title says the rest."""
    chosen = dict(fields)
    return [("Back up first what is overwritten", "Yes" if chosen.get("back_up") else "No")]


@never_cache
@requires(Permission.BACKUPS, doing=restoring, shows=in_words, touches_production=touches_production)
def restore(request: AppRequest, app: str, environment: str, backup: UUID) -> HttpResponse:
    """Show what a restore into this environment changes, and ask for it once its name was typed."""
    found = addressed(request)
    if found is None or not found.is_completed:
        raise Http404
    card = card_of(request)
    form = RestoreForm(card.environment.name, request.POST if request.method == "POST" else None)
    problem, status = "", 200
    if card.state == EnvironmentState.EMPTY:
        problem = f"Nothing is on {card.environment.name} yet. Transport a package to it first."
    elif not card.may_transport:
        problem = f"To restore into {card.environment.name} you need Transport Rights there, too."
    else:
        problem = lacks(found, request.user) or misfit(found, card.environment)
    if form.is_bound and not form.is_valid():
        status = 400
    elif form.is_bound:
        first = form.cleaned_data["back_up"]
        asked = ask(request, lambda: request_restore(card.environment, Actor.of(request), found, first))
        if isinstance(asked, Job):
            return redirect(job_page(request, asked))
        problem, status = asked, 409
    context = {
        "backup": found,
        "card": card,
        "form": form,
        "problem": problem,
        "other_version": bool(found.version and card.package and found.version != card.package.version),
        "holds_all": found.holds == Holds.FULL,
        "marks": found.from_production and not card.environment.is_production,
        "back_url": _page(found),
        "active": "backups",
    }
    return render(request, "deployments/backups/restore.html", context, status=status)


@requires(
    Permission.BACKUPS,
    doing="Upload data to {environment} of {app}",
    max_body=settings.PACKAGE_MAX_BYTES + settings.FORM_MAX_BYTES,
)
def upload(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Take in data as a backup. Nothing is written to the session, as for packages."""
    if request.method != "POST":
        return _upload_page(request, DataForm(kind_of(request.environment)), 200)
    form = DataForm(kind_of(request.environment), request.POST, request.FILES)
    if getattr(request, NO_ROOM, False):
        form.errors.clear()
        form.add_error("file", FULL)
        return _upload_page(request, form, 507)
    if not form.is_valid():
        return _upload_page(request, form, 400)
    try:
        file, comment = form.cleaned_data["file"], form.cleaned_data["comment"]
        job = _job_of(take_in_upload(request.environment, Actor.of_upload(request), file, comment))
    except (NoRoom, AlreadyAsked, Refused) as reason:
        form.add_error("file", str(reason))
        status = 507 if isinstance(reason, NoRoom) else 409 if isinstance(reason, AlreadyAsked) else 422
        return _upload_page(request, form, status)
    except NotPermitted as reason:
        raise PermissionDenied from reason
    address = job_page(request, job)
    return JsonResponse({"address": address}) if _asks_for_json(request) else redirect(address)


def _upload_page(request: AppRequest, form: DataForm, status: int) -> HttpResponse:
    if _asks_for_json(request):
        field, problems = next(iter(form.errors.items()))
        return JsonResponse({"field": field, "error": " ".join(map(str, problems))}, status=status)
    kind = kind_of(request.environment)
    context = {"form": form, "limit": settings.PACKAGE_MAX_BYTES, "kind": kind, "active": "backups"}
    return render(request, "deployments/backups/upload.html", context, status=status)


def _asks_for_json(request: AppRequest) -> bool:
    return request.headers.get("Accept") == "application/json"


def _found(request: AppRequest) -> Backup:
    found = addressed(request)
    if found is None:
        raise Http404
    found.environment = request.environment
    return found


def _job_of(backup: Backup) -> Job:
    return get_object_or_404(Job.objects.select_related("environment"), pk=backup.job_id)


def _page(backup: Backup) -> str:
    names = [backup.environment.app.slug, backup.environment.slug, backup.number]
    return reverse("deployments:backup", args=names)
