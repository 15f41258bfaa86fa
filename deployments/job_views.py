"""Asking for what changes an environment: transport, start, stop, restart. Each shows first what will happen."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.actor import Actor
from deployments.errors import AlreadyAsked, Refused
from deployments.flows import refuse_senseless, request_job, runs_beside
from deployments.forms import NoteForm
from deployments.models import Job, Package
from deployments.overview import Card, card_of, difference
from deployments.states import EnvironmentState, JobKind, leads_to
from environments.access import AppRequest, requires
from environments.authority import NotPermitted
from environments.models import App
from environments.permissions import Permission

OFFERED = 100  # packages to choose from; older ones are transported from their own page


def transporting(request: AppRequest) -> str:
    """Say what a form of the transport page is about to do."""
    package = _find(request.app, request.POST.get("package") or request.GET.get("package", ""))
    return f"Transport {package or 'a package'} to {request.environment.name}"


@requires(Permission.TRANSPORT, doing=transporting)
def transport(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Choose a package, see what will change, confirm."""
    key = request.POST.get("package") or request.GET.get("package")
    if not key:
        return _choose(request)
    package = _find(request.app, key)
    if package is None:
        # SECURITY: a package of another app is as if it did not exist
        raise Http404
    form = NoteForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound:
        answer = _ask(request, JobKind.TRANSPORT, package, form.cleaned_data["note"]) if form.is_valid() else ""
        if isinstance(answer, Job):
            return redirect(_job_page(request, answer))
        if answer:
            form.add_error(None, answer)
        status = 409 if answer else 400
    card = card_of(request)
    context = {"form": form, "card": card, "difference": difference(card.package, package), "active": "overview"}
    return render(request, "deployments/transport.html", context, status=status)


@requires(Permission.TRANSPORT, doing="Start {environment} of {app}")
def start(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _confirm(request, JobKind.START)


@requires(Permission.TRANSPORT, doing="Stop {environment} of {app}")
def stop(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _confirm(request, JobKind.STOP)


@requires(Permission.TRANSPORT, doing="Restart {environment} of {app}")
def restart(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _confirm(request, JobKind.RESTART)


def _choose(request: AppRequest) -> HttpResponse:
    asked = request.method == "POST"
    context = {
        "card": card_of(request),
        "packages": request.app.packages.all()[:OFFERED],
        "error": "Choose a package." if asked else "",
        "active": "overview",
    }
    return render(request, "deployments/choose.html", context, status=400 if asked else 200)


def _confirm(request: AppRequest, kind: JobKind) -> HttpResponse:
    card = card_of(request)
    problem, status = _senseless(card, kind), 200
    if request.method == "POST":
        answer = _ask(request, kind)
        if isinstance(answer, Job):
            return redirect(_job_page(request, answer))
        problem, status = answer, 409
    context = {
        "card": card,
        "kind": kind,
        "problem": problem,
        "what": _what_happens(card, kind),
        "label": f"{kind.label} {request.environment.name}",
        "tone": "strong danger" if kind is JobKind.STOP else "strong",
        "back_url": reverse("deployments:environment", args=[request.app.slug, request.environment.slug]),
        "active": "overview",
    }
    return render(request, "deployments/confirm.html", context, status=status)


def _ask(request: AppRequest, kind: JobKind, package: Package | None = None, note: str = "") -> Job | str:
    """Queue the job; gives it, or the sentence that says why not."""
    try:
        return request_job(kind, request.environment, Actor.of(request), package, note)
    except AlreadyAsked as asked:
        messages.info(request, str(asked))
        return asked.job
    except Refused as reason:
        return str(reason)
    except NotPermitted as reason:
        raise PermissionDenied from reason


def _senseless(card: Card, kind: JobKind) -> str:
    last = card.active[-1] if card.active else None
    state = card.live.state if card.live else EnvironmentState.EMPTY
    try:
        refuse_senseless(kind, card.environment, leads_to(JobKind(last.kind)) if last else EnvironmentState(state))
    except Refused as reason:
        return str(reason)
    return ""


def _what_happens(card: Card, kind: JobKind) -> list[str]:
    name, package = card.environment.name, card.package
    if kind is JobKind.START:
        return [f"{package} starts on {name}.", "Its address leads to it as soon as it is healthy."]
    if kind is JobKind.STOP:
        return [f"{package} stops on {name}.", "Its address says so until it is started again.", "Its data stays."]
    if not runs_beside(package, package):
        return [f"{package} stops, then starts again.", f"{name} does not answer in between."]
    return [f"{package} starts a second time beside the one that runs.", "When it is healthy, it takes over."]


def _find(app: App, key: str) -> Package | None:
    try:
        return app.packages.filter(key=UUID(key)).first()
    except ValueError:
        return None


def _job_page(request: AppRequest, job: Job) -> str:
    return reverse("deployments:job", args=[request.app.slug, request.environment.slug, job.number])
