"""Who the request comes from: address, browser, person, production window and time zone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts import window
from accounts.sessions import user_of

ZONES = frozenset(available_timezones())


class SignedIn(AuthenticationMiddleware):
    """Gives `request.user` without a query of its own: the session's row brings the person along."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: user_of(request))  # type: ignore[assignment]


class Person:
    """Reads the open production window, once: an upload that began in time is not thrown away when it ends late.

    Shows times in the person's zone (the browser's until they set one)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.begun = timezone.now()  # type: ignore[attr-defined]
        request.browser = request.headers.get("User-Agent", "")[:200]  # type: ignore[attr-defined]
        request.window = window.current(request)  # type: ignore[attr-defined, arg-type]
        zone = getattr(request.user, "time_zone", "") or request.COOKIES.get("tz", "")
        with timezone.override(ZoneInfo(zone) if zone in ZONES else None):
            return self.get_response(request)
