"""The pages for what went wrong. Each says what happened and what to do next."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache

from accounts.guards import public


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "400.html", status=400)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "403.html", status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Rendered without the request: nothing that may have failed is asked again."""
    return HttpResponse(render_to_string("500.html"), status=500)


@public
@never_cache
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Offer a form again that came with an old token (accounts.authenticator_views), refuse a foreign one."""
    offer = import_string("accounts.authenticator_views.offer_again")
    response: HttpResponse = offer(request, reason)
    return response
