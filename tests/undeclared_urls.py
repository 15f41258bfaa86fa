"""The portal's addresses, two whose views forgot to say who may see them, and an upload to an environment."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from accounts.guards import declare, public
from environments.access import deployer
from environments.api_access import ApiGuard
from portal.urls import handler403, handler404  # noqa: F401


def undeclared(request: HttpRequest, **kwargs: str) -> HttpResponse:
    return HttpResponse("reached")


@public
def for_browsers(request: HttpRequest) -> HttpResponse:
    return HttpResponse("reached")


@declare(ApiGuard(open=True))
def for_programs(request: HttpRequest) -> HttpResponse:
    return HttpResponse("reached")


@deployer(max_body=1_000_000)
def upload(request: HttpRequest, **kwargs: str) -> HttpResponse:
    return HttpResponse("arrived" if request.FILES else "empty")


urlpatterns = [
    path("apps/<slug:app>/environments/<slug:environment>/upload/", upload),
    path("undeclared/", undeclared),
    path("api/1/undeclared/", undeclared),
    path("api/1/for-browsers/", for_browsers),
    path("a-call-elsewhere/", for_programs),
    path("apps/<slug:app>/environments/<slug:environment>/undeclared/", undeclared),
    path("", include("portal.urls")),
]
