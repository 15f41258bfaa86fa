"""The portal's addresses and two whose views forgot to say who may see them."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from portal.urls import handler403, handler404  # noqa: F401


def undeclared(request: HttpRequest, **kwargs: str) -> HttpResponse:
    return HttpResponse("reached")


urlpatterns = [
    path("undeclared/", undeclared),
    path("apps/<slug:app>/environments/<slug:environment>/undeclared/", undeclared),
    path("", include("portal.urls")),
]
