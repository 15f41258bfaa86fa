"""The production window: eight hours for one browser session. Opens, reads and ends it; nobody else does."""

import hashlib
from datetime import datetime
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.middleware.csrf import rotate_token
from django.utils import timezone

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.browsers import device_of
from accounts.http import PortalRequest
from accounts.models import Authenticator, ProductionWindow, Session, User, WindowQuerySet
from accounts.sessions import SessionStore

IN_SESSION = "window"
SAME_MOMENT = 30  # seconds in which a second click on the same button may still be under way


def current(request: PortalRequest) -> ProductionWindow | None:
    """Read the open window of this browser session, fresh from the database."""
    window_id = request.session.get(IN_SESSION)
    if not window_id or not request.user.is_authenticated:
        return None
    try:
        window = ProductionWindow.objects.with_authenticator().get(pk=window_id)
    except ProductionWindow.DoesNotExist:
        return None
    mine = window.user_id == request.user.pk and window.session_key == request.session.session_key
    return window if mine and window.is_open_at(timezone.now()) else None


def open_for(request: PortalRequest, authenticator: Authenticator, step: int, now: datetime) -> ProductionWindow:
    """Authorise this browser session for eight hours from `now`; session key and CSRF token change.

    Call it in the transaction that accepted the code.
    """
    if request.window:
        _end(ProductionWindow.objects.filter(pk=request.window.pk), ProductionWindow.End.NEW_CODE, now)
    key, ends_at, device = uuid4(), now + settings.PRODUCTION_WINDOW, device_of(request)
    unseen = _is_unseen(request.user, authenticator, device)
    before = request.session.session_key or ""
    request.session[IN_SESSION] = str(key)
    request.session.set_expiry(max(request.session.get_expiry_date(), ends_at))
    # SECURITY: the new key is written with the window; no moment exists in which the old key has it
    request.session.cycle_key()
    rotate_token(request)
    window = ProductionWindow.objects.create(
        id=key,
        user=request.user,
        authenticator=authenticator,
        session_key=request.session.session_key or "",
        previous_session=_fingerprint(before),
        step=step,
        opened_at=now,
        ends_at=ends_at,
        address=request.address,
        browser=request.browser,
        device=device,
    )
    request.window = window
    record(Act.WINDOW_OPENED, Actor.of(request), after={"until": window.ends_at.isoformat()})
    if unseen:
        mail.window_from_new_browser(Actor.of(request), window)
    return window


def _is_unseen(user: User, authenticator: Authenticator, device: str) -> bool:
    """Say whether a mail is due; the first window of an authenticator is told of as setting it up."""
    earlier = ProductionWindow.objects.filter(user=user)
    return not earlier.filter(device=device).exists() and earlier.filter(authenticator=authenticator).exists()


def already_opened_by(request: PortalRequest, step: int, now: datetime) -> ProductionWindow | None:
    """Find the window that the same click opened a moment ago: same code, same browser session.

    A double click sends two requests under one session key. The first one changes the key; the
    second one, already on its way, is let into the session that the first one made.
    """
    if request.window and request.window.step == step:
        return request.window
    window = (
        ProductionWindow.objects.open_at(now)
        .filter(user=request.user, step=step, previous_session=_fingerprint(request.session.session_key or ""))
        .first()
    )
    if window is None or (now - window.opened_at).total_seconds() > SAME_MOMENT:
        return None
    request.session = SessionStore(window.session_key)
    request.session.modified = True
    request.window = window
    return window


@transaction.atomic
def end(request: PortalRequest) -> None:
    """End the window of this browser session, as asked by its person."""
    if request.window and end_one(request.window, ProductionWindow.End.BY_PERSON):
        record(Act.WINDOW_ENDED, Actor.of(request))
    request.window = None


def end_one(window: ProductionWindow, why: ProductionWindow.End) -> bool:
    return bool(_end(ProductionWindow.objects.filter(pk=window.pk), why, timezone.now()))


def sessions_of(user: User) -> list[Session]:
    """List a person's browser sessions that still last, newest first, each with its open `window` or None."""
    now = timezone.now()
    windows = {w.session_key: w for w in ProductionWindow.objects.open_at(now).filter(user=user)}
    sessions = list(Session.objects.filter(user=user, expire_date__gt=now).order_by("-signed_in_at"))
    for session in sessions:
        session.window = windows.get(session.session_key)
    return sessions


@transaction.atomic
def end_of_session(by: Actor, session: Session) -> None:
    """End the window of one of a person's browser sessions, as asked from any of them."""
    if end_session(by.user, session.session_key):
        record(Act.WINDOW_ENDED, by, after={"browser": session.browser, "address": session.address})


def end_session(user: User, session_key: str) -> int:
    """End the window of one browser session, as asked by its person from another one."""
    windows = ProductionWindow.objects.filter(user=user, session_key=session_key)
    return _end(windows, ProductionWindow.End.BY_PERSON, timezone.now())


def end_all(user: User, why: ProductionWindow.End) -> int:
    """End every window of a person at once; gives how many were open."""
    return _end(ProductionWindow.objects.filter(user=user), why, timezone.now())


def _end(windows: WindowQuerySet, why: ProductionWindow.End, now: datetime) -> int:
    return windows.filter(ended_at=None).update(ended_at=now, ended_why=why)


def _fingerprint(session_key: str) -> str:
    return hashlib.sha256(session_key.encode()).hexdigest()
