"""Signing in and out, and what a change of password or account does to sessions and windows."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import login, logout, update_session_auth_hash
from django.db import transaction
from django.db.models import Q, Sum
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from accounts import mail, window
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.http import PortalRequest
from accounts.models import Activity, ProductionWindow, Session, User
from accounts.sessions import ABOUT

# Wrong passwords within the cool-off; the finest limit (account and address together) is AXES_FAILURE_LIMIT
ACCOUNT_LIMIT = 50
ADDRESS_LIMIT = 100
KNOWN_FOR = timedelta(days=90)
LINKS_MOST, LINKS_COUNT_FOR = 5, timedelta(hours=1)


class Attempts(AxesDatabaseHandler):
    """Counts wrong passwords for all limits in one query; how they are kept is django-axes' (AXES_HANDLER).

    SECURITY: the limit on an account doesn't hold for addresses from which its person signed in
    before, so that a stranger can't lock somebody out.
    """

    def is_locked(self, request: Any, credentials: Any = None) -> bool:
        email, address = get_client_username(request, credentials) or "", request.axes_ip_address
        by_account, by_address = Q(username=email), Q(ip_address=address)
        kinds = {"account": by_account, "address": by_address, "both": by_account & by_address}
        recent = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() - settings.AXES_COOLOFF_TIME)
        failures = recent.filter(by_account | by_address).aggregate(
            **{name: Sum("failures_since_start", filter=kind, default=0) for name, kind in kinds.items()}
        )
        request.failed_before = failures["both"] > 0
        if failures["both"] >= settings.AXES_FAILURE_LIMIT or failures["address"] >= ADDRESS_LIMIT:
            return True
        return failures["account"] >= ACCOUNT_LIMIT and not _known_address(email, address)

    def user_logged_in(self, sender: Any, request: Any, user: User, **kwargs: Any) -> None:
        """Forget the failures of somebody who signs in."""
        if getattr(request, "failed_before", True):
            AccessAttempt.objects.filter(username=user.email, ip_address=getattr(request, "address", "")).delete()

    def user_logged_out(self, sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
        """Signing out says nothing about attempts."""


def keep_nothing_typed(instance: AccessAttempt, **kwargs: Any) -> None:
    """Empty what axes would keep of a form with a wrong password. Django calls it before each attempt is saved.

    SECURITY: it masks the field `password` only, so that a mistyped old password leaves the new one in clear text.
    """
    instance.get_data = instance.post_data = ""


def refused_sign_in(request: Any, email: str) -> None:
    """Record a refused sign-in, for the account's own history where there is one.

    SECURITY: one row for known and unknown accounts alike, so that the time tells nothing; an unknown
    address isn't kept, since people type passwords there.
    """
    person = User.objects.filter(email=email).first()
    Activity.objects.create(
        act=Act.SIGN_IN_REFUSED,
        actor_id=person.pk if person else None,
        actor_name=person.name if person else "Somebody",
        via="browser",
        address=request.address,
    )


@transaction.atomic
def may_be_sent_link(person: User, address: str) -> bool:
    """Say whether a person gets another link to set a new password, and record it: a stranger can ask for it, too."""
    links = Activity.objects.filter(
        act=Act.RESET_LINK_SENT, actor_id=person.pk, at__gt=timezone.now() - LINKS_COUNT_FOR
    )
    if links.count() >= LINKS_MOST:
        return False
    record(Act.RESET_LINK_SENT, Actor(person, address=address))
    return True


def _known_address(email: str, address: str) -> bool:
    known = Activity.objects.filter(act=Act.SIGNED_IN, address=address, at__gt=timezone.now() - KNOWN_FOR)
    return known.filter(actor_id__in=User.objects.filter(email=email).values("pk")).exists()


@transaction.atomic
def sign_in(request: HttpRequest, user: User) -> None:
    """Begin a browser session of 24 hours; whatever the browser had before, a window above all, is gone."""
    _end_windows_of_session(request)
    request.session.flush()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    now = timezone.now()
    request.session.set_expiry(now + settings.SIGN_IN_LASTS)
    request.session[ABOUT] = {
        "reference": str(uuid4()),
        "signed_in_at": now.isoformat(),
        "address": request.address,  # type: ignore[attr-defined]
        "browser": request.browser,  # type: ignore[attr-defined]
    }
    request.session.save()
    record(Act.SIGNED_IN, Actor(user, address=request.address, browser=request.browser))  # type: ignore[attr-defined]


@transaction.atomic
def sign_out(request: PortalRequest) -> None:
    _end_windows_of_session(request)
    record(Act.SIGNED_OUT, Actor.of(request))
    logout(request)


@transaction.atomic
def change_profile(request: PortalRequest, form: ModelForm[User]) -> None:
    """Save what a person changed about themselves."""
    changed = {name: (form.initial[name], form.cleaned_data[name]) for name in form.changed_data}
    # SECURITY: only what changed; the rest was read before, and would undo what happened to the account since
    form.instance.save(update_fields=form.changed_data)
    if changed:
        before, after = ({name: pair[side] for name, pair in changed.items()} for side in (0, 1))
        record(Act.PROFILE_CHANGED, Actor.of(request), before=before, after=after)


@transaction.atomic
def change_password(request: PortalRequest, new_password: str) -> None:
    """Set the password and end every window and every other session of the person."""
    user = request.user
    user.set_password(new_password)
    user.save(update_fields=["password"])
    window.end_all(user, ProductionWindow.End.PASSWORD)
    request.window = None
    update_session_auth_hash(request, user)
    Session.objects.filter(user=user).exclude(session_key=request.session.session_key).delete()
    record(Act.PASSWORD_CHANGED, Actor.of(request))
    mail.password_changed(Actor.of(request))


@transaction.atomic
def reset_password(user: User, new_password: str, address: str, browser: str) -> None:
    """Set a password through the link sent by mail; every session and every window of the person ends."""
    by = Actor(user, address=address, browser=browser)
    user.set_password(new_password)
    user.save(update_fields=["password"])
    end_everything(user, ProductionWindow.End.PASSWORD)
    record(Act.PASSWORD_RESET, by)
    mail.password_changed(by)


@transaction.atomic
def end_session(by: Actor, session: Session) -> None:
    """End one browser session of a person, and the production window that it has."""
    window.end_session(by.user, session.session_key)
    record(Act.SESSION_ENDED, by, after={"browser": session.browser, "address": session.address})
    session.delete()


@transaction.atomic
def end_other_sessions(request: PortalRequest) -> int:
    """End every browser session of the person but this one; gives how many there were."""
    others = Session.objects.filter(user=request.user).exclude(session_key=request.session.session_key)
    count = 0
    for session in others:
        end_session(Actor.of(request), session)
        count += 1
    return count


@transaction.atomic
def add_invited(by: Actor) -> None:
    """Save the new account of somebody who followed a link in a mail to its address.

    Raises IntegrityError where that address has an account already.
    """
    by.user.save(force_insert=True)
    record(Act.ACCOUNT_MADE, by)


@transaction.atomic
def change_email(by: Actor, email: str) -> None:
    """Set another e-mail address, which its person has confirmed; both addresses are told."""
    before, by.user.email = by.user.email, email
    by.user.save(update_fields=["email"])
    record(Act.PROFILE_CHANGED, by, before={"e-mail": before}, after={"e-mail": email})
    mail.address_changed(by.user, by, before)


def end_everything(user: User, why: ProductionWindow.End) -> None:
    """End every window and every session of a person at once."""
    window.end_all(user, why)
    Session.objects.filter(user=user).delete()


def _end_windows_of_session(request: HttpRequest) -> None:
    open_one = request.window  # type: ignore[attr-defined]
    if open_one:
        window.end_one(open_one, ProductionWindow.End.SIGNED_OUT)
    request.window = None  # type: ignore[attr-defined]
