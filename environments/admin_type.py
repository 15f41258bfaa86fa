"""The page of the admin on which support changes the type of an environment."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.actor import Actor
from accounts.http import PortalRequest
from environments import settings_flows
from environments.models import App, Environment
from portal.templatetags.portal import inert

CHANGE = {True: "Make it an ordinary environment", False: "Make it a production environment"}


class TypeForm(forms.Form):
    """Why, and what it becomes: after somebody else was quicker, an old page asks for what is there already."""

    becomes = forms.ChoiceField(choices=[("production", ""), ("ordinary", "")], widget=forms.HiddenInput)
    reason = forms.CharField(
        label="Reason",
        max_length=1000,
        help_text="The Technical Contact reads it in the mail; it is kept in the activity.",
        error_messages={"required": "Say why, in a sentence. The reason is kept."},
        widget=forms.Textarea(attrs={"rows": 3}),
    )


def page(request: PortalRequest, environment: Environment, context: dict[str, object]) -> HttpResponse:
    """Show what changes with the type; with a reason, change it and say what was done."""
    if not request.user.has_perm(settings_flows.RIGHT):
        raise PermissionDenied
    becomes = "ordinary" if environment.is_production else "production"
    form = TypeForm(request.POST or None, initial={"becomes": becomes})
    if request.method == "POST" and form.is_valid():
        typed = form.cleaned_data
        try:
            by = Actor.of(request, via="admin")
            settings_flows.set_type(environment, by, typed["becomes"] == "production", typed["reason"])
        except (App.DoesNotExist, Environment.DoesNotExist) as error:  # deleted at this moment
            raise Http404 from error
        except settings_flows.NotPossible as problem:  # somebody else in support was quicker
            messages.warning(request, str(problem))
        else:
            messages.success(request, f"{environment.name} is {typed['becomes']} now. The Technical Contact was told.")
        return redirect("admin:environments_environment_change", environment.pk)
    title = f"{CHANGE[environment.is_production]}: {inert(environment.name)} of {inert(environment.app.name)}"
    member = environment.app.memberships.filter(user=request.user).exists()
    context |= {"title": title, "form": None if member else form, "original": environment}
    context |= {"button": CHANGE[environment.is_production]}
    return TemplateResponse(request, "admin/environment_type.html", context)


def links(request: PortalRequest, environment: Environment) -> list[tuple[str, str]]:
    """Give address and words of the page above, to whom may use it."""
    if not request.user.has_perm(settings_flows.RIGHT):
        return []
    address = reverse("admin:environments_environment_type", args=[environment.pk])
    return [(address, f"{CHANGE[environment.is_production]}…")]
