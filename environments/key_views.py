"""A person's API keys: listed, made and shown once, revoked."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts.actor import Actor
from accounts.guards import Guard, declare, signed_in
from accounts.http import PortalRequest
from environments import api_keys
from environments.api_keys import KeyRefused
from environments.key_forms import READS, KeyForm, ProductionKeyForm


@signed_in
@never_cache
def keys(request: PortalRequest) -> HttpResponse:
    context = {"keys": api_keys.of_person(request.user), "open": api_keys.production_open_to(request.user)}
    return render(request, "environments/keys.html", context)


@signed_in
@never_cache
@sensitive_post_parameters()
def new_key(request: PortalRequest) -> HttpResponse:
    """Make a key that reaches no production environment."""
    return _make(request, KeyForm(request, request.POST if request.method == "POST" else None))


@declare(Guard(window=True, doing="Make an API key that reaches production"))
@never_cache
@sensitive_post_parameters()
def new_production_key(request: PortalRequest) -> HttpResponse:
    """Make a key that reaches production: whether it does is decided here, behind the window, and nowhere later."""
    return _make(request, ProductionKeyForm(request, request.POST if request.method == "POST" else None))


@signed_in
@never_cache
def revoke_key(request: PortalRequest, key: int) -> HttpResponse:
    found = get_object_or_404(request.user.api_keys, pk=key)
    if request.method == "POST":
        api_keys.revoke(found, Actor.of(request))
        messages.success(request, f"{found.name} is revoked. It never works again.")
        return redirect("environments:keys")
    what = [
        f"Calls with {found.name} ({found.prefix}…) are refused at once, for good.",
        "What was asked for with it and has not begun is cancelled.",
    ]
    context = {
        "what": what,
        "label": f"Revoke {found.name}",
        "tone": "strong danger",
        "back_url": reverse("environments:keys"),
    }
    return render(request, "environments/revoke_key.html", context)


def _make(request: PortalRequest, form: KeyForm) -> HttpResponse:
    if form.is_bound and form.is_valid():
        typed = form.cleaned_data
        try:
            key, text = api_keys.make(
                Actor.of(request),
                typed["name"],
                form.chosen_apps,
                form.chosen_production,
                read_only=typed["scope"] == READS,
                lasts=form.lasts,
            )
        except KeyRefused as reason:
            form.add_error("name", str(reason))
        else:
            # SECURITY: shown in the answer to the form, so that it is neither kept anywhere nor in an address
            context = {"key": key, "text": text, "apps": form.chosen_apps, "production": form.chosen_production}
            return render(request, "environments/key_made.html", context)
    context = {"form": form, "production": isinstance(form, ProductionKeyForm)}
    return render(request, "environments/new_key.html", context, status=400 if form.errors else 200)
