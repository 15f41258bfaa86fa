"""The person's apps, and their teams."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.actor import Actor
from accounts.guards import signed_in
from accounts.http import PortalRequest
from environments import contact, flows
from environments.access import AppRequest, team_manager, team_reader
from environments.forms import AddMemberForm, NewAppForm
from environments.models import App

PAGE = 50


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


@team_manager(doing="Add somebody to the team of {app}")
def add_member(request: AppRequest, app: str) -> HttpResponse:
    form = AddMemberForm(request.app, request.POST or None)
    if request.method == "POST" and form.is_valid() and form.user:
        try:
            flows.add_member(request.app, Actor.of(request), form.user, form.cleaned_data["role"])
        except IntegrityError:
            form.full_clean()  # somebody was quicker, as above
        else:
            messages.success(request, f"{form.user.name} is in the team now.")
            return redirect("environments:team", request.app.slug)
    return render(request, "environments/add_member.html", {"form": form, "active": "team"})


@team_reader()
def team(request: AppRequest, app: str) -> HttpResponse:
    members = request.app.memberships.select_related("user", "role").order_by("role__order", "user__name", "pk")
    page = Paginator(members, PAGE).get_page(request.GET.get("page"))
    return render(request, "environments/team.html", {"page": page, "active": "team"})
