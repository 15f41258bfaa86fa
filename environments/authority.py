"""What a flow checks once more, however it is called: that whoever acts may, and has the window for it."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from accounts.actor import API, Actor
from accounts.models import ProductionWindow, User
from environments.models import ApiKey, App, Environment

WITHOUT_WINDOW = ("shell",)
NOT_BY_KEY = "This API key does not reach {name}."


class NotPermitted(Exception):
    """Somebody asked for a change that is not theirs to make; the message says why."""


def need_window_on(environment: Environment, by: Actor) -> None:
    """Raise NotPermitted for a change of a production environment by a browser without an open window.

    The Deploy API has no window: its key must have been made to reach the environment.
    """
    if not environment.is_production:
        return
    if by.via == API:
        _need_key_to_one_of([environment], by, NOT_BY_KEY.format(name=environment.name))
    else:
        _need_window(by, f"Enter a code before you change {environment.name}.")


def need_window_for(app: App, by: Actor) -> None:
    """Raise NotPermitted where a decision about production lacks the window: on an app that has such an environment.

    By the Deploy API it lacks a key that reaches one of them.
    """
    production = list(app.environments.filter(is_production=True))
    if production and by.via == API:
        _need_key_to_one_of(production, by, NOT_BY_KEY.format(name=f"production of {app.name}"))
    elif production:
        _need_window(by, f"Enter a code first: this decides about production of {app.name}.")


def was_distrusted(user: User, at: datetime) -> bool:
    """Say whether a window that somebody had open at a moment was ended for cause since, or lost its authenticator.

    SECURITY: what waits for somebody else's answer may be a thief's, and must not outlive the end of that window
    (the rule of jobs that wait: PORTAL, "The two-factor gate", 11).
    """
    ended = Q(ended_why__in=ProductionWindow.FOR_CAUSE, ended_at__gt=at)
    lost = Q(authenticator=None) | Q(authenticator__confirmed=False) | Q(authenticator__blocked_at__isnull=False)
    return ProductionWindow.objects.filter(ended | lost, user=user, opened_at__lte=at, ends_at__gt=at).exists()


def _need_window(by: Actor, sentence: str) -> None:
    # SECURITY: the gate has asked for the window; whoever gets here by another way does not get past this
    if by.via in WITHOUT_WINDOW:
        return
    if by.window is None or not _is_open(by.user, by.window, by.since):
        raise NotPermitted(sentence)


def _is_open(user: User, window: UUID, begun: datetime | None) -> bool:
    """Say whether a window is open; where an upload began while it was, it may have run out or been renewed since."""
    windows, now = ProductionWindow.objects.filter(user=user), timezone.now()
    if windows.open_at(begun or now).filter(pk=window).exists():
        return True
    renewed = windows.filter(pk=window, ended_why=ProductionWindow.End.NEW_CODE, ended_at__gt=begun or now)
    return renewed.exists() and windows.open_at(now).exists()


def _need_key_to_one_of(environments: Iterable[Environment], by: Actor, sentence: str) -> None:
    keys = ApiKey.objects.in_force(timezone.now()).filter(pk=by.key.pk if by.key else 0, user=by.user.pk)
    if not keys.reaching(environments).exists():
        raise NotPermitted(sentence)
