"""The pages for what went wrong. Each says what happened and what to do next."""

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache

from accounts.guards import public

# Django looks at a form's texts before any view does
TOO_MUCH = {
    RequestDataTooBig: f"Its texts are longer than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024} kB together.",
    TooManyFieldsSent: f"It has more than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} fields.",
    TooManyFilesSent: f"It has more than {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files.",
}


CALLS = "/api/1/"  # programs ask there (the Deploy API): they get an object, no page


def _page(request: HttpRequest, status: int, code: str, words: str) -> HttpResponse:
    if request.path_info.startswith(CALLS):
        return JsonResponse({"errorCode": code, "errorMessage": words}, status=status)
    return render(request, f"{status}.html", status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if too_much := next((words for kind, words in TOO_MUCH.items() if isinstance(exception, kind)), ""):
        if request.path_info.startswith(CALLS):
            return _page(request, 413, "TOO_LARGE", too_much)
        return render(request, "413.html", {"too_much": too_much}, status=413)
    return _page(request, 400, "INVALID_REQUEST", "The request can't be used.")


def not_this_way(request: HttpRequest, bare: HttpResponse) -> HttpResponse:
    """Give a page instead of the bare answer to a method that an address doesn't take."""
    page = render(request, "405.html", status=405)
    page["Allow"] = bare["Allow"]
    return page


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 403, "NO_ACCESS", "This is not permitted.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 404, "NOT_FOUND", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Rendered without the request: nothing that may have failed is asked again."""
    if request.path_info.startswith(CALLS):
        return _page(request, 500, "INTERNAL_SERVER_ERROR", "Something went wrong in the portal itself.")
    return HttpResponse(render_to_string("500.html"), status=500)


@public
@never_cache
def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Offer a form again that came with an old token (accounts.authenticator_views), refuse a foreign one."""
    offer = import_string("accounts.authenticator_views.offer_again")
    response: HttpResponse = offer(request, reason)
    return response
