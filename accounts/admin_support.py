"""The pages on which support acts for people: whom it concerns, why, and what came of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts import authenticators, refusals, support
from accounts.actor import Actor
from accounts.admin_forms import DisableForm, LiftWaitForm, RejectForm
from accounts.http import PortalRequest
from accounts.models import User

MOST_AT_ONCE = 100
PEOPLE = "people"
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
RIGHT = "accounts.disable_authenticator"


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What support can do for one or several people. `act` takes a person, who acts and what was typed."""

    name: str
    title: str
    form: type[Form]
    act: Callable[..., None]
    why_not: Callable[[User], str]
    what_happens: str
    nobody: str
    own: str
    done: str
    one: str
    several: str
    shown_as: str
    back_to: str = "admin:accounts_user_changelist"

    def link_to(self, user_ids: list[int]) -> str:
        """Give the address of the page for these people."""
        address = reverse(f"admin:accounts_user_{self.name}")
        return f"{address}?{urlencode({PEOPLE: ','.join(map(str, user_ids))})}"

    def button(self, count: int) -> str:
        return self.one if count == 1 else self.several.format(count=count)


def _why_not_disable(person: User) -> str:
    return "" if person.authenticators.exists() else "No authenticator is set up."


def _why_not_reject(person: User) -> str:
    return "" if person.reset_requests.filter(handled_at=None).exists() else "No request is open."


def _why_not_lift(person: User) -> str:
    authenticator = authenticators.confirmed(person)
    if authenticator and authenticator.blocked_at:
        return "The authenticator is blocked: only disabling it opens the way again."
    waits = authenticator and authenticators.waits_until(authenticator)
    return "" if waits else "No wait is running."


DISABLE = Deed(
    name="disable",
    title="Disable authenticators",
    form=DisableForm,
    act=authenticators.disable,
    why_not=_why_not_disable,
    what_happens="Every production access of these people ends at once, in every browser. Each gets a mail with the"
    " reason, and the Technical Contacts of their apps are told. Their next action on production sets up a new"
    " authenticator.",
    nobody="There is nobody whose authenticator can be disabled.",
    own="You can't disable your own authenticator. Ask a colleague in support.",
    done="Disabled the authenticator of {names}. Production access ended at once, and a mail says why."
    " The next action on production sets up a new one.",
    one="Disable 1 authenticator",
    several="Disable {count} authenticators",
    shown_as="disable_the_authenticator_of",
)
REJECT = Deed(
    name="reject",
    title="Reject requests",
    form=RejectForm,
    act=support.reject,
    why_not=_why_not_reject,
    what_happens="The requests of these people are closed and nothing is disabled. Each gets a mail with your message,"
    " and the Technical Contacts of their apps are told. An authenticator that is blocked stays blocked.",
    nobody="There is nobody with an open request.",
    own="You can't decide your own request. Ask a colleague in support.",
    done="Rejected the request of {names}. A mail says why.",
    one="Reject 1 request",
    several="Reject {count} requests",
    shown_as="reject_the_request_of",
    back_to="admin:accounts_resetrequest_changelist",
)
LIFT_WAIT = Deed(
    name="lift_wait",
    title="Lift the wait after wrong codes",
    form=LiftWaitForm,
    act=authenticators.lift_wait,
    why_not=_why_not_lift,
    what_happens="These people can enter a code now. The wrong codes still count: 50 block the authenticator."
    " Each gets a mail with the reason, and the Technical Contacts of their apps are told.",
    nobody="There is nobody who has to wait.",
    own="You can't lift your own wait. Ask a colleague in support.",
    done="Lifted the wait of {names}. They can enter a code now.",
    one="Lift 1 wait",
    several="Lift {count} waits",
    shown_as="lift_the_wait_of",
)
DEEDS = (DISABLE, REJECT, LIFT_WAIT)


@dataclass
class Concerned:
    """For whom support acts, and who is left out and why."""

    people: list[User] = field(default_factory=list)
    left_out: list[tuple[User, str]] = field(default_factory=list)

    oneself: bool = False

    @property
    def names(self) -> str:
        """The people as the page shows them that asks again after the code; nothing is decided by it."""
        return ", ".join(f"{person.name} ({person.email})" for person in self.people)

    @property
    def ids(self) -> str:
        """The people as the form sends them; its address alone is not kept while a code is asked for."""
        return ",".join(str(person.pk) for person in self.people)


def send_to_page(request: PortalRequest, deed: Deed, chosen: QuerySet[User]) -> HttpResponse | None:
    """Answer the action of a list; too many people at once stay where they are."""
    user_ids = list(chosen.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(user_ids) > MOST_AT_ONCE:
        messages.error(request, f"Choose at most {MOST_AT_ONCE} people at once.")
        return None
    return redirect(deed.link_to(user_ids))


def pages(
    wrap: Callable[..., Callable[..., HttpResponse]], context: Callable[..., dict[str, object]]
) -> list[URLPattern]:
    """Give the addresses of the pages; `wrap` is the admin's own, `context` what its pages show."""

    def page_of(deed: Deed) -> Callable[..., HttpResponse]:
        return wrap(lambda request: page(request, deed, context(request)))

    return [path(f"{deed.name.replace('_', '-')}/", page_of(deed), name=f"accounts_user_{deed.name}") for deed in DEEDS]


def page(request: PortalRequest, deed: Deed, context: dict[str, object]) -> HttpResponse:
    """Show whom it concerns and ask why; with an answer, act and say what was done."""
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    concerned = _concerned(request, deed)
    if request.method == "POST" and concerned.oneself:
        refusals.note(request, deed.own)
    form = deed.form(request.POST or None)
    if request.method == "POST" and concerned.people and form.is_valid():
        _act(request, deed, concerned.people, form.cleaned_data)
        return redirect(deed.back_to)
    context |= {"title": deed.title, "deed": deed, "form": form, "concerned": concerned}
    context |= {"button": deed.button(len(concerned.people)), "back_url": reverse(deed.back_to)}
    return TemplateResponse(request, "admin/support_act.html", context)


def links(request: PortalRequest, person: User, *deeds: Deed) -> list[tuple[str, str]]:
    """Give address and words of what this member of the support staff can do for a person now."""
    if not request.user.has_perm(RIGHT) or person.pk == request.user.pk:
        return []
    return [
        (deed.link_to([person.pk]), f"{deed.one.replace(' 1 ', ' the ')}…")
        for deed in deeds
        if not deed.why_not(person)
    ]


def _concerned(request: PortalRequest, deed: Deed) -> Concerned:
    listed = (request.POST.get(PEOPLE) or request.GET.get(PEOPLE, "")).split(",")[:MOST_AT_ONCE]
    wanted = {int(pk) for pk in listed if NUMBER.fullmatch(pk)}
    found = Concerned()
    for person in User.objects.filter(pk__in=wanted).order_by("name", "pk"):
        found.oneself |= person.pk == request.user.pk
        why_not = deed.own if person.pk == request.user.pk else deed.why_not(person)
        if why_not:
            found.left_out.append((person, why_not))
        else:
            found.people.append(person)
    return found


def _act(request: PortalRequest, deed: Deed, people: list[User], typed: dict[str, str]) -> None:
    by = Actor.of(request, via="admin")
    done = []
    for person in people:
        try:
            deed.act(person, by, **typed)
        except authenticators.NotAllowed as refused:  # somebody else in support was quicker
            messages.warning(request, f"{person.name}: {refused}")
        else:
            done.append(person.name)
    if done:
        messages.success(request, deed.done.format(names=", ".join(done)))
