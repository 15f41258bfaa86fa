"""The floor of the page benchmarks: one address, one view, Django's own handler, no middleware, no database."""

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello")


urlpatterns = [path("", bare)]


class BareRequest(WSGIRequest):
    urlconf = __name__  # so that portal and floor stand side by side in one process


class BareHandler(WSGIHandler):
    request_class = BareRequest

    def __init__(self) -> None:
        with override_settings(MIDDLEWARE=[]):
            super().__init__()
