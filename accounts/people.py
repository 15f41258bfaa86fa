"""Signing in and out, and what a change of password or account does to sessions and windows."""

from datetime import timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth import login, logout, update_session_auth_hash
from django.db import transaction
from django.db.models import Sum
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from accounts import mail, window
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.http import PortalRequest
from accounts.models import Activity, ProductionWindow, Session, User

# Wrong passwords within the cool-off; the finest limit (account and address together) is axes' own
ACCOUNT_LIMIT = 50
ADDRESS_LIMIT = 100
KNOWN_FOR = timedelta(days=90)


def too_many_attempts(email: str, address: str) -> bool:
    """Say whether an account, or an address, has failed too often of late.

    SECURITY: the limit on an account doesn't hold for addresses from which its person signed in
    before, so that a stranger can't lock somebody out.
    """
    recent = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() - settings.AXES_COOLOFF_TIME)
    from_address = recent.filter(ip_address=address).aggregate(n=Sum("failures_since_start"))["n"] or 0
    if from_address >= ADDRESS_LIMIT:
        return True
    on_account = recent.filter(username=email).aggregate(n=Sum("failures_since_start"))["n"] or 0
    return on_account >= ACCOUNT_LIMIT and not _known_address(email, address)


def _known_address(email: str, address: str) -> bool:
    known = Activity.objects.filter(act=Act.SIGNED_IN, address=address, at__gt=timezone.now() - KNOWN_FOR)
    return known.filter(actor_id__in=User.objects.filter(email=email).values("pk")).exists()


@transaction.atomic
def sign_in(request: HttpRequest, user: User) -> None:
    """Begin a browser session of 24 hours; whatever the browser had before, a window above all, is gone."""
    _end_windows_of_session(request)
    request.session.flush()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.set_expiry(timezone.now() + settings.SIGN_IN_LASTS)
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
    form.save()
    if changed:
        before, after = ({name: pair[side] for name, pair in changed.items()} for side in (0, 1))
        record(Act.PROFILE_CHANGED, Actor.of(request), before=before, after=after)


@transaction.atomic
def change_password(request: PortalRequest, new_password: str) -> None:
    """Set the password and end every window and every other session of the person."""
    user = request.user
    user.set_password(new_password)
    user.save()
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
    user.save()
    end_everything(user, ProductionWindow.End.PASSWORD)
    record(Act.PASSWORD_RESET, by)
    mail.password_changed(by)


def end_everything(user: User, why: ProductionWindow.End) -> None:
    """End every window and every session of a person at once."""
    window.end_all(user, why)
    Session.objects.filter(user=user).delete()


def _end_windows_of_session(request: HttpRequest) -> None:
    open_one = request.window  # type: ignore[attr-defined]
    if open_one:
        window.end_one(open_one, ProductionWindow.End.SIGNED_OUT)
    request.window = None  # type: ignore[attr-defined]
