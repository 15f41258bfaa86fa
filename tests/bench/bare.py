"""The floor of the page benchmarks: an address and a view each, Django's own handler, no middleware, no database."""

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import path


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello")


def bare_json(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"greeting": "Hello"})


urlpatterns = [path("", bare), path("json", bare_json)]


class BareRequest(WSGIRequest):
    urlconf = __name__  # so that portal and floor stand side by side in one process


class BareHandler(WSGIHandler):
    request_class = BareRequest

    def __init__(self) -> None:
        with override_settings(MIDDLEWARE=[]):
            super().__init__()
