"""Deleting an environment or an app: what goes, what has to be done first, and the name typed to confirm."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts.actor import Actor
from deployments import deletion
from deployments.errors import Refused
from environments.access import AppRequest, technical_contact
from environments.settings_forms import TypedNameForm


@technical_contact(doing="Delete {environment} of {app}")
def delete_environment(request: AppRequest, app: str, environment: str) -> HttpResponse:
    form = TypedNameForm(request.environment.name, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            deletion.delete_environment(request.environment, Actor.of(request))
        except Refused as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"{form.cleaned_data['name']} was deleted.")
            return redirect("environments:settings", app)
    reasons = deletion.in_the_way([request.environment])
    context = {"form": form, "problem": reasons.get(request.environment.pk), "active": "settings"}
    return render(request, "deployments/delete_environment.html", context, status=400 if form.errors else 200)


@technical_contact(doing="Delete the app {app}")
def delete_app(request: AppRequest, app: str) -> HttpResponse:
    form = TypedNameForm(request.app.name, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            deletion.delete_app(request.app, Actor.of(request))
        except Refused as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"{form.cleaned_data['name']} was deleted, with everything in it.")
            return redirect("environments:apps")
    environments = list(request.app.environments.all())
    reasons = deletion.in_the_way(environments)
    context = {
        "form": form,
        "problems": [(each, reasons[each.pk]) for each in environments if each.pk in reasons],
        "packages": request.app.packages.count(),
        "members": request.app.memberships.count(),
        "active": "settings",
    }
    return render(request, "deployments/delete_app.html", context, status=400 if form.errors else 200)
