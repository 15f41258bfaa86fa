"""Asking for what changes an environment: start, stop, restart, clear; and calling a job off."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts.actor import Actor
from deployments.asking import ask, environment_page, job_page
from deployments.errors import Refused
from deployments.flows import cancel_job, refuse_senseless, request_job
from deployments.models import Job
from deployments.overview import Card, card_of
from deployments.states import ABOUT_DATA, EnvironmentState, JobKind, JobState
from deployments.words import what_happens
from environments.access import AppRequest, requires
from environments.permissions import Permission
from environments.settings_forms import TypedNameForm


@requires(Permission.TRANSPORT, doing="Start {environment} of {app}")
def start(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _confirm(request, JobKind.START)


@requires(Permission.TRANSPORT, doing="Stop {environment} of {app}")
def stop(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _confirm(request, JobKind.STOP)


@requires(Permission.TRANSPORT, doing="Restart {environment} of {app}")
def restart(request: AppRequest, app: str, environment: str) -> HttpResponse:
    return _confirm(request, JobKind.RESTART)


@requires(Permission.TRANSPORT, doing="Clear {environment} of {app}")
def clear(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Remove data and release of a stopped environment, after its name was typed."""
    form = TypedNameForm(request.environment.name, request.POST if request.method == "POST" else None)
    return _confirm(request, JobKind.CLEAR, form)


def cancelling(request: AppRequest) -> str:
    """Say what a form of the cancel page is about to do."""
    number = request.resolver_match.kwargs["number"] if request.resolver_match else 0
    job = request.environment.jobs.select_related("environment").filter(number=min(number, 2**31 - 1)).first()
    return f"Cancel “{job.title}”" if job else f"Cancel a job of {request.environment.name}"


@requires(Permission.TRANSPORT, doing=cancelling)
def cancel(request: AppRequest, app: str, environment: str, number: int) -> HttpResponse:
    """Call off a job that waits or has changed nothing yet."""
    if number > 2**31 - 1:
        raise Http404
    job = get_object_or_404(request.environment.jobs, number=number)
    job.environment = request.environment
    problem, status = "", 200
    if request.method == "POST":
        answer = ask(request, lambda: cancel_job(request.environment, Actor.of(request), number))
        if isinstance(answer, Job):
            if answer.state == JobState.RUNNING:
                messages.info(request, "It is given up as soon as nothing is harmed by it.")
            return redirect(job_page(request, answer))
        problem, status = answer, 409
    elif not job.is_active:
        problem = f"“{job.title}” has ended already."
    what = (
        "It waits and has not begun." if job.state == JobState.QUEUED else "It is given up before it changes anything."
    )
    context = {
        "card": card_of(request),
        "problem": problem,
        "what": [what, "The history keeps who cancelled it."],
        "label": f"Cancel “{job.title}”",
        "tone": "strong danger",
        "back_url": job_page(request, job),
        "active": "deployments",
    }
    return render(request, "deployments/confirm.html", context, status=status)


def _confirm(request: AppRequest, kind: JobKind, form: TypedNameForm | None = None) -> HttpResponse:
    card = card_of(request)
    problem, status = _senseless(card, kind), 200
    if request.method == "POST" and form and not form.is_valid():
        status = 400
    elif request.method == "POST":
        answer = ask(request, lambda: request_job(kind, request.environment, Actor.of(request)))
        if isinstance(answer, Job):
            return redirect(job_page(request, answer))
        problem, status = answer, 409
    context = {
        "card": card,
        "problem": problem,
        "what": what_happens(card, kind),
        "form": form,
        "label": f"{kind.label} {request.environment.name}",
        "tone": "strong danger" if kind in (JobKind.STOP, JobKind.CLEAR) else "strong",
        "back_url": environment_page(request),
        "active": "overview",
    }
    return render(request, "deployments/confirm.html", context, status=status)


def _senseless(card: Card, kind: JobKind) -> str:
    changing = [job for job in card.active if job.kind not in ABOUT_DATA]
    last = changing[-1] if changing else None
    state = card.live.state if card.live else EnvironmentState.EMPTY
    try:
        refuse_senseless(kind, card.environment, last.leads_to if last else EnvironmentState(state))
    except Refused as reason:
        return str(reason)
    return ""
