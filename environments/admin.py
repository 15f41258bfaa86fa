"""The admin of people with their apps, of requests to disable an authenticator, and of apps, teams and rights."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Count, F, Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.text import Truncator

from accounts import admin_support, support
from accounts.actor import Actor
from accounts.admin import AuthenticatorColumns, PersonAdmin, with_authenticators
from accounts.admin_support import DISABLE, LIFT_WAIT, REJECT, Deed
from accounts.models import ResetRequest, User
from environments import admin_contact, admin_type
from environments.models import App, Environment, Membership, NodePermission, Role
from environments.roles import delete_role, save_role, why_kept, why_not
from portal.admin_site import PortalAdmin
from portal.templatetags.portal import inert, moment

MOST_REQUESTS = 20
MEMBERSHIPS = Prefetch("memberships", Membership.objects.select_related("app", "role").order_by("app__name"))


def place_of(membership: Membership) -> str:
    """Say where somebody belongs: "Calc: SCRUM Master, Technical Contact"."""
    is_contact = membership.app.technical_contact_id == membership.user_id
    return f"{membership.app.name}: {membership.role.name}" + (", Technical Contact" if is_contact else "")


@admin.register(User)
class PersonWithAppsAdmin(PersonAdmin):
    def facts(self, person: User) -> dict[str, Any]:
        found = person.memberships.select_related("app", "role").order_by("app__name")
        vacant = [] if person.is_active else list(person.contact_of.order_by("name"))
        return super().facts(person) | {"places": [place_of(membership) for membership in found], "vacant": vacant}

    def save_model(self, request: Any, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and not obj.is_active and "is_active" in form.changed_data:
            admin_contact.tell_of_vacant_apps(request, obj)


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("handled", "Handled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ResetRequest]) -> QuerySet[ResetRequest]:
        return queryset if self.value() is None else queryset.filter(handled_at__isnull=self.value() == "open")


@admin.register(ResetRequest)
class ResetRequestAdmin(AuthenticatorColumns, PortalAdmin[ResetRequest]):
    """Who asks to have their authenticator disabled, open ones first, with what support needs to decide."""

    list_display = ("user", "state", "asked", "apps", "authenticator", "last_used", "short_note", "earlier")
    list_filter = (OpenFilter,)
    search_fields = ("user__name", "user__email")
    ordering = (F("handled_at").desc(nulls_first=True), "-asked_at")
    fields = (
        *("user", "state", "asked", "address", "apps", "authenticator", "last_used", "blocked", "whole_note"),
        *("phone_gone", "earlier_requests", "handled_at", "handled_by", "shown_identity_check", "shown_answer"),
    )
    actions = ("disable_authenticators", "reject_requests", "lift_waits")
    change_list_template = "admin/requests.html"

    def person_of(self, row: ResetRequest) -> User:
        return row.user

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(admin_support.RIGHT)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ResetRequest]:
        people = with_authenticators(User.objects.defer("password")).prefetch_related(MEMBERSHIPS)
        requests = super().get_queryset(request).prefetch_related(Prefetch("user", people))
        return requests.annotate(asked_in_all=Count("user__reset_requests"))

    @admin.action(description="Disable authenticators…", permissions=["disable"])
    def disable_authenticators(self, request: Any, queryset: QuerySet[ResetRequest]) -> HttpResponse | None:
        return self.send_to(DISABLE, request, queryset)

    @admin.action(description="Reject requests…", permissions=["disable"])
    def reject_requests(self, request: Any, queryset: QuerySet[ResetRequest]) -> HttpResponse | None:
        return self.send_to(REJECT, request, queryset)

    @admin.action(description="Lift waits after wrong codes…", permissions=["disable"])
    def lift_waits(self, request: Any, queryset: QuerySet[ResetRequest]) -> HttpResponse | None:
        return self.send_to(LIFT_WAIT, request, queryset)

    def send_to(self, deed: Deed, request: Any, queryset: QuerySet[ResetRequest]) -> HttpResponse | None:
        people = User.objects.filter(pk__in=queryset.order_by().values("user"))
        return admin_support.send_to_page(request, deed, people)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        counts = {"staff_counts": support.disabled_by_staff(timezone.now())}
        return super().changelist_view(request, (extra_context or {}) | counts)

    def render_change_form(
        self, request: Any, context: Any, add: bool = False, change: bool = False, form_url: str = "", obj: Any = None
    ) -> HttpResponse:
        if obj and not obj.handled_at:
            context["support_links"] = admin_support.links(request, obj.user, DISABLE, REJECT, LIFT_WAIT)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="State")
    def state(self, row: ResetRequest) -> str:
        return row.get_outcome_display() if row.handled_at else "Open"

    @admin.display(description="Asked", ordering="asked_at")
    def asked(self, row: ResetRequest) -> str:
        return moment(row.asked_at)

    @admin.display(description="Apps and roles")
    def apps(self, row: ResetRequest) -> str:
        return "; ".join(place_of(membership) for membership in row.user.memberships.all()) or "none"

    @admin.display(description="Note")
    def short_note(self, row: ResetRequest) -> str:
        return inert(Truncator(row.note).chars(120)) or "–"

    @admin.display(description="Note")
    def whole_note(self, row: ResetRequest) -> str:
        return inert(row.note) or "–"

    @admin.display(description="Other requests")
    def earlier(self, row: Any) -> int:
        return int(row.asked_in_all) - 1

    @admin.display(description="Other requests")
    def earlier_requests(self, row: ResetRequest) -> str:
        others = row.user.reset_requests.exclude(pk=row.pk).order_by("-asked_at")[:MOST_REQUESTS]
        said = ((moment(o.asked_at, "exact"), self.state(o), inert(o.handled_by), inert(o.answer)) for o in others)
        return format_html_join("; ", "{}: {} {} {}", said) or "none"

    @admin.display(description="Identity checked")
    def shown_identity_check(self, row: ResetRequest) -> str:
        return inert(row.identity_check) or "–"

    @admin.display(description="What the person was told")
    def shown_answer(self, row: ResetRequest) -> str:
        return inert(row.answer) or "–"


class RoleForm(forms.ModelForm[Role]):
    class Meta:
        model = Role
        fields = ("name", "deploys", "manages_team", "order")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        rights = {name: data.get(name, False) for name in ("deploys", "manages_team")}
        wanted = Role(name=data.get("name", ""), **rights)
        refusal = why_not(Role.objects.filter(pk=self.instance.pk).first(), wanted)
        if refusal:
            raise forms.ValidationError(refusal)
        return data


@admin.register(Role)
class RoleAdmin(PortalAdmin[Role]):
    """Roles are data: the operator adds and changes them, and deletes those that nobody has."""

    list_display = ("name", "deploys", "manages_team", "order")
    readonly_fields = ("deleting",)
    form = RoleForm
    actions = None  # each is deleted by itself, after a look at who has it

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser) and not (obj and why_kept(obj))

    def save_model(self, request: Any, obj: Role, form: Any, change: bool) -> None:
        save_role(Actor.of(request, via="admin"), obj)

    def delete_model(self, request: Any, obj: Role) -> None:
        delete_role(Actor.of(request, via="admin"), obj)

    @admin.display(description="Deleting it")
    def deleting(self, role: Role) -> str:
        return (why_kept(role) or "Nobody has it: it can be deleted.") if role.pk else "–"


@admin.register(App)
class AppAdmin(PortalAdmin[App]):
    list_display = ("name", "slug", "contact", "created_at")
    list_filter = (admin_contact.SuccessorFilter,)
    search_fields = ("name", "slug", "technical_contact__name")
    list_select_related = ("technical_contact",)
    fields = ("name", "slug", "contact", "created_at", "environments", "team")

    def get_urls(self) -> list[URLPattern]:
        appoint = self.admin_site.admin_view(self.appoint)
        return [path("<path:object_id>/appoint/", appoint, name="environments_app_appoint"), *super().get_urls()]

    def appoint(self, request: Any, object_id: str) -> HttpResponse:
        app = self.get_object(request, unquote(object_id))
        if app is None:
            raise Http404
        return admin_contact.page(request, app, {**self.admin_site.each_context(request), "opts": self.opts})

    def render_change_form(
        self, request: Any, context: Any, add: bool = False, change: bool = False, form_url: str = "", obj: Any = None
    ) -> HttpResponse:
        if obj:
            context["support_links"] = admin_contact.links(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="Technical Contact", ordering="technical_contact__name")
    def contact(self, app: App) -> str:
        return inert(app.technical_contact.name) + ("" if app.technical_contact.is_active else " (deactivated)")

    @admin.display(description="Environments")
    def environments(self, app: App) -> str:
        return ", ".join(environment.name for environment in app.environments.all()) or "none"

    @admin.display(description="Team")
    def team(self, app: App) -> str:
        members = app.memberships.select_related("user", "role").order_by("user__name")
        return "; ".join(f"{member.user.name}: {member.role.name}" for member in members) or "none"


@admin.register(Environment)
class EnvironmentAdmin(PortalAdmin[Environment]):
    list_display = ("name", "app", "is_production", "host")
    list_filter = ("is_production",)
    search_fields = ("name", "app__name", "host")
    list_select_related = ("app",)
    ordering = ("app__name", "order", "pk")
    fields = ("name", "slug", "app", "is_production", "host")

    def get_urls(self) -> list[URLPattern]:
        change = self.admin_site.admin_view(self.change_type)
        return [path("<path:object_id>/type/", change, name="environments_environment_type"), *super().get_urls()]

    def change_type(self, request: Any, object_id: str) -> HttpResponse:
        environment = self.get_object(request, unquote(object_id))
        if environment is None:
            raise Http404
        return admin_type.page(request, environment, {**self.admin_site.each_context(request), "opts": self.opts})

    def render_change_form(
        self, request: Any, context: Any, add: bool = False, change: bool = False, form_url: str = "", obj: Any = None
    ) -> HttpResponse:
        if obj:
            context["support_links"] = admin_type.links(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)


@admin.register(Membership)
class MembershipAdmin(PortalAdmin[Membership]):
    list_display = ("user", "app", "role", "since")
    list_display_links = None
    list_filter = ("role",)
    search_fields = ("user__name", "app__name")
    list_select_related = ("user", "app", "role")
    ordering = ("app__name", "user__name")
    fields = ("user", "app", "role", "since")


@admin.register(NodePermission)
class NodePermissionAdmin(PortalAdmin[NodePermission]):
    list_display = ("member", "app", "environment_name", "permission", "granted", "set_at", "set_by")
    list_display_links = None
    list_filter = ("permission", "granted", "environment__is_production")
    search_fields = ("membership__user__name", "environment__app__name")
    list_select_related = ("membership__user", "environment__app")
    ordering = ("environment__app__name", "environment__order", "membership__user__name", "permission")
    fields = ("member", "app", "environment_name", "permission", "granted", "set_at", "set_by")

    @admin.display(description="Member")
    def member(self, row: NodePermission) -> str:
        return row.membership.user.name

    @admin.display(description="App")
    def app(self, row: NodePermission) -> str:
        return row.environment.app.name

    @admin.display(description="Environment")
    def environment_name(self, row: NodePermission) -> str:
        return row.environment.name
