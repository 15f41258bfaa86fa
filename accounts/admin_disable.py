"""The page on which support disables authenticators: whom it concerns, why, and what came of it."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import authenticators
from accounts.actor import Actor
from accounts.admin_forms import ReasonForm
from accounts.http import PortalRequest
from accounts.models import User

MOST_AT_ONCE = 100
PEOPLE = "people"
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
RIGHT = "accounts.disable_authenticator"


@dataclass
class Concerned:
    """Whose authenticators are disabled, and who is left out and why."""

    people: list[User] = field(default_factory=list)
    left_out: list[tuple[User, str]] = field(default_factory=list)

    @property
    def names(self) -> str:
        """The people as the page shows them that asks again after the code; nothing is decided by it."""
        return ", ".join(f"{person.name} ({person.email})" for person in self.people)

    @property
    def ids(self) -> str:
        """The people as the form sends them; its address alone is not kept while a code is asked for."""
        return ",".join(str(person.pk) for person in self.people)


def link_to(user_ids: list[int]) -> str:
    """Give the address of the page for these people."""
    return f"{reverse('admin:accounts_user_disable')}?{urlencode({PEOPLE: ','.join(map(str, user_ids))})}"


def send_to_page(request: PortalRequest, chosen: QuerySet[User]) -> HttpResponse | None:
    """Answer the action of a list; too many people at once stay where they are."""
    user_ids = list(chosen.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(user_ids) > MOST_AT_ONCE:
        messages.error(request, f"Choose at most {MOST_AT_ONCE} people at once.")
        return None
    return redirect(link_to(user_ids))


def page(request: PortalRequest, context: dict[str, object]) -> HttpResponse:
    """Show whom it concerns and ask why; with a reason, disable and say what was done."""
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    concerned = _concerned(request)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and concerned.people and form.is_valid():
        _disable(request, concerned.people, form.cleaned_data["reason"])
        return redirect("admin:accounts_user_changelist")
    context |= {"title": "Disable authenticators", "form": form, "concerned": concerned}
    return TemplateResponse(request, "admin/disable.html", context)


def _concerned(request: PortalRequest) -> Concerned:
    listed = (request.POST.get(PEOPLE) or request.GET.get(PEOPLE, "")).split(",")[:MOST_AT_ONCE]
    wanted = {int(pk) for pk in listed if NUMBER.fullmatch(pk)}
    found = Concerned()
    for person in User.objects.filter(pk__in=wanted).order_by("name", "pk"):
        if person.pk == request.user.pk:
            found.left_out.append((person, "You can't disable your own authenticator. Ask a colleague in support."))
        elif not (person.authenticators.exists() or person.reset_requests.filter(handled_at=None).exists()):
            found.left_out.append((person, "No authenticator is set up."))
        else:
            found.people.append(person)
    return found


def _disable(request: PortalRequest, people: list[User], reason: str) -> None:
    by = Actor.of(request, via="admin")
    for person in people:
        authenticators.disable(person, by, reason)
    names = ", ".join(person.name for person in people)
    messages.success(
        request,
        f"Disabled the authenticator of {names}. Production access ended at once, and a mail says why."
        " The next action on production sets up a new one.",
    )
