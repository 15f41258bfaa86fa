"""The page of the admin on which support appoints a Technical Contact, and what the admin says of vacant apps."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.actor import Actor
from accounts.http import PortalRequest
from accounts.models import User
from environments import contact
from environments.models import App
from portal.templatetags.portal import inert

OWN = "You can't appoint yourself. Ask a colleague in support."


class SuccessorFilter(admin.SimpleListFilter):
    title = "Technical Contact"
    parameter_name = "successor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("needed", "Needs a successor")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[App]) -> QuerySet[App]:
        if self.value() != "needed":
            return queryset
        return queryset.filter(pk__in=App.objects.needing_successor().values("pk"))


class AppointForm(forms.Form):
    """Who takes the role, by e-mail address, and why.

    Where members can take it they are chosen from; else anybody with an active account is named.
    """

    successor = forms.EmailField()
    reason = forms.CharField(
        label="Reason",
        max_length=1000,
        help_text="The new Technical Contact and the SCRUM Masters read it in the mail; it is kept in the activity.",
        error_messages={"required": "Say why, in a sentence. The reason is kept."},
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, app: App, support: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.support = support
        members = contact.candidates(app).exclude(user=support)
        choices = [(m.user.email, f"{inert(m.user.name)} ({m.user.email}), {inert(m.role)}") for m in members]
        if choices:
            self.fields["successor"] = forms.ChoiceField(
                label="New Technical Contact",
                choices=[("", "Choose a member"), *choices],
                help_text="The active members whose role carries the deploy permission.",
                error_messages={
                    "required": "Choose who takes the role.",
                    "invalid_choice": "Choose a member from the list: others can't take the role now.",
                },
            )
        else:
            self.fields["successor"] = forms.EmailField(
                label="E-mail of the new Technical Contact",
                help_text="No other active member has a role that carries the deploy permission. Whoever has an active"
                " account can be named; they become SCRUM Master of the team.",
                error_messages={"required": "Enter the e-mail address of who takes the role."},
            )

    def clean_successor(self) -> User:
        person = User.objects.filter(email=self.cleaned_data["successor"].lower(), is_active=True).first()
        if person is None:
            raise ValidationError("No active account has this address. Check it, or have the account made first.")
        if person.pk == self.support.pk:
            raise ValidationError(OWN)
        return person


def page(request: PortalRequest, app: App, context: dict[str, object]) -> HttpResponse:
    """Show why the app needs a successor and who can be one; with an answer, appoint and say what was done."""
    if not request.user.has_perm(contact.RIGHT):
        raise PermissionDenied
    form = AppointForm(app, request.user, request.POST or None) if contact.needs_successor(app) else None
    if request.method == "POST" and form and form.is_valid():
        person: User = form.cleaned_data["successor"]
        try:
            contact.appoint(app, Actor.of(request, via="admin"), person, form.cleaned_data["reason"])
        except contact.NotPossible as problem:  # somebody else in support was quicker
            messages.warning(request, str(problem))
        else:
            messages.success(request, f"{person.name} is the Technical Contact of {app.name} now and was told by mail.")
        return redirect("admin:environments_app_change", app.pk)
    context |= {"title": f"Appoint a Technical Contact for {inert(app.name)}", "form": form, "original": app}
    return TemplateResponse(request, "admin/appoint.html", context)


def links(request: PortalRequest, app: App) -> list[tuple[str, str]]:
    """Give address and words of the page above, where this member of the support staff can use it."""
    if not request.user.has_perm(contact.RIGHT) or not contact.needs_successor(app):
        return []
    return [(reverse("admin:environments_app_appoint", args=[app.pk]), "Appoint a Technical Contact…")]


def tell_of_vacant_apps(request: PortalRequest, person: User) -> None:
    """Say, after an account was deactivated, which apps need a successor now."""
    names = ", ".join(app.name for app in person.contact_of.all())
    if names:
        messages.warning(
            request,
            f"{person.name} was the Technical Contact of {names}. Support appoints a successor: the page of the person"
            " and the list of apps, filtered by “Needs a successor”, lead there.",
        )
