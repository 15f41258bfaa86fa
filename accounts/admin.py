"""The admin of people and of the activity record. `environments.admin` registers the people: it knows their apps."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db import IntegrityError
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone

from accounts import admin_support, staff
from accounts.actor import Actor
from accounts.acts import Act
from accounts.admin_forms import PersonForm
from accounts.admin_support import DISABLE, LIFT_WAIT, REJECT
from accounts.authenticators import waits_until
from accounts.models import Activity, Authenticator, ProductionWindow, User
from portal.admin_site import PortalAdmin
from portal.templatetags.portal import inert, moment

RECENT = timedelta(days=14)
MOST_ENTRIES = 50


def authenticator_of(person: User) -> Authenticator | None:
    """Give the authenticator in force, from what the list has fetched; its secret is never read here."""
    return next((one for one in person.authenticators.all() if one.confirmed), None)


def with_authenticators(people: QuerySet[User]) -> QuerySet[User]:
    return people.prefetch_related(Prefetch("authenticators", Authenticator.objects.defer("secret")))


class AuthenticatorFilter(admin.SimpleListFilter):
    title = "authenticator"
    parameter_name = "authenticator"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Set up"), ("blocked", "Blocked"), ("no", "None")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        in_force = Q(authenticators__confirmed=True)
        match self.value():
            case "yes":
                return queryset.filter(in_force)
            case "blocked":
                return queryset.filter(in_force, authenticators__blocked_at__isnull=False)
            case "no":
                return queryset.exclude(in_force)
        return queryset


class AuthenticatorColumns:
    """What the lists of people and of requests say of an authenticator."""

    def person_of(self, row: Any) -> User:
        person: User = row
        return person

    @admin.display(description="Authenticator")
    def authenticator(self, row: Any) -> str:
        found = authenticator_of(self.person_of(row))
        return f"since {_day(found.confirmed_at)}" if found else "none"

    @admin.display(description="Last code")
    def last_used(self, row: Any) -> str:
        found = authenticator_of(self.person_of(row))
        return str(moment(found.last_used_at)) if found else "–"

    @admin.display(description="Blocked")
    def blocked(self, row: Any) -> str:
        found = authenticator_of(self.person_of(row))
        if found is None or found.blocked_at is None:
            return "–"
        return f"since {_day(found.blocked_at)}, {found.get_blocked_why_display()}"


def _day(at: Any) -> str:
    return f"{timezone.localtime(at):%-d %b %Y}" if at else "–"


class PersonAdmin(AuthenticatorColumns, PortalAdmin[User]):
    """Support looks and disables authenticators; the operator adds and changes people. Nobody sees a secret."""

    list_display = ("name", "email", "authenticator", "last_used", "blocked", "is_active", "is_staff")
    list_filter = (AuthenticatorFilter, "is_active", "is_staff")
    search_fields = ("name", "email")
    ordering = ("name", "pk")
    form = PersonForm
    fieldsets = ((None, {"fields": ("name", "email", "is_active", "is_staff", "groups")}),)
    actions = ("disable_authenticators", "lift_waits")
    change_form_template = "admin/person.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(admin_support.RIGHT)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return with_authenticators(super().get_queryset(request)).defer("password")

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.operator = request.user  # type: ignore[attr-defined]
        return form

    def get_urls(self) -> list[URLPattern]:
        return [*admin_support.pages(self.admin_site.admin_view, self.context), *super().get_urls()]

    def context(self, request: HttpRequest) -> dict[str, object]:
        return {**self.admin_site.each_context(request), "opts": self.opts}

    @admin.action(description="Disable authenticators…", permissions=["disable"])
    def disable_authenticators(self, request: Any, queryset: QuerySet[User]) -> HttpResponse | None:
        return admin_support.send_to_page(request, DISABLE, queryset)

    @admin.action(description="Lift waits after wrong codes…", permissions=["disable"])
    def lift_waits(self, request: Any, queryset: QuerySet[User]) -> HttpResponse | None:
        return admin_support.send_to_page(request, LIFT_WAIT, queryset)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:  # somebody got this address at this very moment: now the form says so
            return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: Any, obj: User, form: Any, change: bool) -> None:
        save = staff.change if change else staff.add
        save(Actor.of(request, via="admin"), obj, form.cleaned_data["groups"])

    def render_change_form(
        self, request: Any, context: Any, add: bool = False, change: bool = False, form_url: str = "", obj: Any = None
    ) -> HttpResponse:
        if obj:
            context |= self.facts(obj)
            context["support_links"] = admin_support.links(request, obj, DISABLE, REJECT, LIFT_WAIT)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def facts(self, person: User) -> dict[str, Any]:
        """Give what support decides by: authenticator, open windows, requests and what happened of late."""
        now = timezone.now()
        authenticator = authenticator_of(person)
        about = Q(actor_id=person.pk) | Q(target=person.name)
        return {
            "authenticator": authenticator,
            "waits_until": authenticator and not authenticator.blocked_at and waits_until(authenticator),
            "windows": ProductionWindow.objects.open_at(now).filter(user=person).order_by("-opened_at"),
            "requests": person.reset_requests.order_by("-asked_at")[:10],
            "activity": Activity.objects.filter(about, at__gt=now - RECENT)[:MOST_ENTRIES],
            "days": RECENT.days,
        }


class ActFilter(admin.SimpleListFilter):
    """The kinds of entries in the words that the record itself uses."""

    title = "kind"
    parameter_name = "act"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        words = ((act.value, act.label.rstrip(":").capitalize()) for act in Act)
        return sorted(words, key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Activity]) -> QuerySet[Activity]:
        return queryset.filter(act=self.value()) if self.value() else queryset


@admin.register(Activity)
class ActivityAdmin(PortalAdmin[Activity]):
    """The record of what happened: read by those who may, changed by nobody."""

    list_display = ("when", "what", "where", "via", "address", "reason")
    list_filter = (("at", admin.DateFieldListFilter), "via", ActFilter)
    search_fields = ("actor_name", "target", "app_name", "environment_name", "reason")
    fields = ("when", "what", "where", "before", "after", "reason", "via", "address")

    @admin.display(description="When", ordering="id")
    def when(self, entry: Activity) -> str:
        return moment(entry.at, "exact")

    @admin.display(description="What")
    def what(self, entry: Activity) -> str:
        return inert(entry)

    @admin.display(description="Where")
    def where(self, entry: Activity) -> str:
        return inert(", ".join(part for part in (entry.app_name, entry.environment_name) if part) or "–")
