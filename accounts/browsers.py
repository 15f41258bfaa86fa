"""Which browser a request comes from: its name for people, and whether a person has used it before."""

import hashlib
from functools import lru_cache
from secrets import token_urlsafe

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ua_parser import parse_os, parse_user_agent

COOKIE = "__Host-browser" if settings.SECURE else "browser"
KEPT = 365 * 24 * 3600  # seconds


@lru_cache(maxsize=1000)
def name_of(user_agent: str) -> str:
    """Say in words what a User-Agent header claims: "Firefox on Linux"."""
    browser, system = parse_user_agent(user_agent), parse_os(user_agent)
    name = browser.family if browser else "Unknown browser"
    return f"{name} on {system.family}" if system else name


def device_of(request: HttpRequest) -> str:
    """Give what stands for this browser in the database; made anew for one that has no mark yet.

    SECURITY: the mark says only whether a mail is due. It opens nothing.
    """
    mark = request.COOKIES.get(COOKIE) or getattr(request, "new_mark", "") or token_urlsafe(32)
    request.new_mark = mark  # type: ignore[attr-defined]
    return hashlib.sha256(mark.encode()).hexdigest()


def mark(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Let the browser keep its mark for a year."""
    if new := getattr(request, "new_mark", ""):
        response.set_cookie(COOKIE, new, KEPT, secure=settings.SECURE, httponly=True, samesite="Lax")
    return response
