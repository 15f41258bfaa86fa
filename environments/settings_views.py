"""The Settings of an app: its name and picture, its environments, their order."""

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.actor import Actor
from accounts.guards import declare
from environments import settings_flows
from environments.access import AppGuard, AppRequest, technical_contact
from environments.models import App
from environments.settings_flows import ChangedMeanwhile, NotPossible, fingerprint
from environments.settings_forms import AppForm, EnvironmentNameForm

UP, DOWN = "up", "down"
QUICKER = "Somebody changed the environments at this moment. Look at them, then try again."


@declare(AppGuard(manages_team=True, doing="Change the settings of {app}"))
def settings(request: AppRequest, app: str) -> HttpResponse:
    """Show the settings, and change name, description and colour: nothing of it decides about production."""
    if request.method != "POST":
        return _settings_page(request, AppForm(initial=_shown(request.app)))
    form = AppForm(request.POST)
    if not form.is_valid():
        return _settings_page(request, form, 400)
    wanted = {name: form.cleaned_data[name] for name in settings_flows.FIELDS}
    try:
        changed = settings_flows.change_app(request.app, Actor.of(request), wanted, form.cleaned_data["seen"])
    except ChangedMeanwhile as now:
        typed = request.POST.copy()
        typed["seen"] = fingerprint(App.objects.get(pk=request.app.pk))
        form = AppForm(typed)
        form.add_error(None, f"Somebody else saved these settings since you opened the page. They are now: {now}.")
        form.add_error(None, "Nothing of yours was saved; it is kept below. Look at it and save again.")
        return _settings_page(request, form, 409)
    messages.success(request, "Saved." if changed else "Nothing was changed.")
    return redirect("environments:settings", request.app.slug)


@technical_contact(doing="Add an environment to {app}")
def add_environment(request: AppRequest, app: str) -> HttpResponse:
    form = EnvironmentNameForm(request.app, None, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            added = settings_flows.add_environment(request.app, Actor.of(request), form.cleaned_data["name"])
        except IntegrityError:
            _see_who_was_quicker(form)
        except NotPossible as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"{added.name} is there. Transport a package to it.")
            return redirect(_place(request, added.slug))
    context = {"form": form, "host": f"…--{request.app.slug}", "active": "settings"}
    return render(request, "environments/settings_add.html", context, status=400 if form.errors else 200)


@technical_contact(doing="Rename {environment} of {app}")
def rename_environment(request: AppRequest, app: str, environment: str) -> HttpResponse:
    """Change the name that people see; the address stays, since links and apps know it."""
    shown = {"name": request.environment.name, "seen": request.environment.name}
    form = EnvironmentNameForm(request.app, request.environment, request.POST or None, initial=shown)
    if request.method == "POST" and form.is_valid():
        typed = form.cleaned_data
        try:
            settings_flows.rename_environment(request.environment, Actor.of(request), typed["name"], typed["seen"])
        except IntegrityError:
            _see_who_was_quicker(form)
        except ChangedMeanwhile as now:
            form = EnvironmentNameForm(
                request.app, request.environment, {"name": typed["name"], "seen": str(now)}, initial=shown
            )
            form.add_error("name", f"Somebody else named it {now} since you opened the page. Save again to rename it.")
        else:
            messages.success(request, f"{request.environment.name} is called {typed['name']} now. Its address stays.")
            return redirect(_place(request, request.environment.slug))
    context = {"form": form, "active": "settings"}
    return render(request, "environments/settings_rename.html", context, status=400 if form.errors else 200)


@technical_contact(doing="Change the order of the environments of {app}")
def order_environments(request: AppRequest, app: str) -> HttpResponse:
    """Move one environment up or down: `move` says which and where, `order` what the page had shown."""
    where, _, slug = request.POST.get("move", "").partition(" ")
    if request.method != "POST" or where not in (UP, DOWN):
        return redirect("environments:settings", request.app.slug)
    seen = request.POST.get("order", "").split(" ")
    try:
        moved = settings_flows.move_environment(request.app, Actor.of(request), slug, where == UP, seen)
    except ChangedMeanwhile as now:
        messages.warning(request, f"The environments were changed meanwhile. They are now: {now}. Nothing was moved.")
        return redirect("environments:settings", request.app.slug)
    if moved:
        messages.success(request, f"{moved.name} was moved {where}.")
    return redirect(_place(request, slug))


def _settings_page(request: AppRequest, form: AppForm, status: int = 200) -> HttpResponse:
    environments = list(request.app.environments.select_related("live"))
    context = {
        "form": form,
        "environments": environments,
        "order": " ".join(environment.slug for environment in environments),
        "decides": request.standing.is_technical_contact,
        "guarded": any(environment.is_production for environment in environments),
        "active": "settings",
    }
    return render(request, "environments/settings.html", context, status=status)


def _shown(app: App) -> dict[str, str]:
    return {name: getattr(app, name) for name in settings_flows.FIELDS} | {"seen": fingerprint(app)}


def _see_who_was_quicker(form: EnvironmentNameForm) -> None:
    """Let the form see what somebody else saved a moment ago, and say so next to the field."""
    form.full_clean()
    if form.is_valid():
        form.add_error(None, QUICKER)


def _place(request: AppRequest, slug: str) -> str:
    return f"{reverse('environments:settings', args=[request.app.slug])}#environment-{slug}"
