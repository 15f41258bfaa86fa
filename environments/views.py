"""The person's apps."""

from django.contrib import messages
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.actor import Actor
from accounts.guards import signed_in
from accounts.http import PortalRequest
from environments import contact, flows, start_page
from environments.forms import NewAppForm

FEW = 5  # apps that are found by looking; a field to search them would be in the way
LONGEST = 60  # characters of a name


@signed_in
def apps(request: PortalRequest) -> HttpResponse:
    """List the person's apps; the field in the top bar leads straight to the one that is meant."""
    words = request.GET.get("q", "").strip()[:LONGEST]
    if "go" in request.GET and (meant := start_page.only_one(request.user, words)):
        return redirect("deployments:app", meant.slug)
    page = start_page.page_of(request.user, words, request.GET.get("page"))
    context = {
        "page": page,
        "words": words,
        "searchable": bool(words) or page.paginator.count > FEW,
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
