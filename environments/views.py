"""The person's apps."""

from django.contrib import messages
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.actor import Actor
from accounts.guards import signed_in
from accounts.http import PortalRequest
from environments import contact, flows
from environments.forms import NewAppForm
from environments.models import App


@signed_in
def apps(request: PortalRequest) -> HttpResponse:
    found = App.objects.for_member(request.user).prefetch_related("environments__live__package")
    context = {
        "apps": found,
        "may_create": flows.may_create_app(request.user),
        "offers": contact.offers_to(request.user),
    }
    return render(request, "environments/apps.html", context)


@signed_in
def new_app(request: PortalRequest) -> HttpResponse:
    if not flows.may_create_app(request.user):
        raise Http404
    form = NewAppForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            app = flows.create_app(Actor.of(request), form.cleaned_data["name"], form.cleaned_data["slug"])
        except IntegrityError:
            form.full_clean()  # somebody was quicker: the form sees it now, and says so
        else:
            messages.success(request, f"{app.name} has Test, Acceptance and Production now. Upload its first package.")
            return redirect("deployments:app", app.slug)
    return render(request, "environments/new_app.html", {"form": form})
