"""Keeps browsers and the Deploy API apart: what a cookie opens no key opens, and the other way round."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from environments.api_access import is_call

Handler = Callable[[HttpRequest], HttpResponse]


class KeysOnly:
    """Takes the cookies off a call of the Deploy API, before anything reads them, and lets no answer be stored.

    SECURITY: without cookies there is no session, so a call is made by whom its key names or by nobody. That is
    also why the check for foreign forms is not made here: what it protects, the cookies of the person, has no part
    in a call. A foreign page can't send the headers of a key either.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_call(request.path_info):
            return self.get_response(request)
        request.META.pop("HTTP_COOKIE", None)
        request.COOKIES = {}
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.cookies.clear()
        if "Cache-Control" not in response:
            response["Cache-Control"] = "no-store"
        return response
