"""The admin: behind the gate like production (see environments.middleware), with the portal's own sign-in.

It shows and never edits by itself: what support and the operator may change, flows change, and record.
"""

import re
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

M = TypeVar("M", bound=Model)
CARRIED_OUT = "confirmed"  # added by the gate to the address of a form that waited for a code
LOOKUPS = {"exact", "id__exact", "isnull", "gte", "lt"}
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)


class PortalChangeList(ChangeList):
    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        return {name: value for name, value in super().get_filters_params(params).items() if name != CARRIED_OUT}


class PortalAdmin(admin.ModelAdmin[M]):
    """Pages that only show. A subclass that changes something says so, and does it through a flow."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Let an address filter by what the page offers and by nothing else.

        SECURITY: Django lets it filter by every column, so that a password hash could be asked out letter by letter.
        """
        offered: list[Any] = [item[0] if isinstance(item, tuple | list) else item for item in self.list_filter]
        names = [getattr(item, "parameter_name", item) for item in offered]
        return any(lookup == name or lookup.removeprefix(f"{name}__") in LOOKUPS for name in names)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        """Carry out the action of a list. Rows that no list can show are a bad request: Django fails over them."""
        if not all(NUMBER.fullmatch(key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("What was chosen is not in the list.")
        return super().response_action(request, queryset, *args)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PortalChangeList

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Send to the activity record: it is the history of everything."""
        shown = self.get_object(request, unquote(object_id))
        if shown is None:
            raise Http404
        if not self.has_view_permission(request, shown):
            raise PermissionDenied
        return redirect(f"{reverse('admin:accounts_activity_changelist')}?{urlencode({'q': str(shown)})}")

    def log_addition(self, request: HttpRequest, obj: M, message: Any) -> Any:
        """Write nothing: the flow records what it does, where nobody can change it."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Write nothing: the flow records what it does, where nobody can change it."""

    def log_change(self, request: HttpRequest, obj: M, message: Any) -> Any:
        """Write nothing: the flow records what it does, where nobody can change it."""


class PortalAdminSite(AdminSite):
    site_header = site_title = "Developer Portal support"
    index_title = "Support"
    enable_nav_sidebar = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Take pages that were made for the portal.

        SECURITY: others register themselves (groups, sign-in attempts) and would let staff edit what gives rights.
        """
        if admin_class is not None and issubclass(admin_class, PortalAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def login(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        """Send to the portal's sign-in: the admin has no way in of its own."""
        return redirect(f"{reverse('accounts:sign_in')}?{urlencode({'next': reverse('admin:index')})}")

    def logout(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> Any:
        return redirect("accounts:account")

    def password_change(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> Any:
        return redirect("accounts:password_change")
