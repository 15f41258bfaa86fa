"""The app's repository of packages: list, upload, details."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from accounts.actor import Actor
from deployments.errors import NoRoom
from deployments.forms import UploadForm
from deployments.overview import cards_of
from deployments.packages import PackageRefused
from deployments.repository import NO_ROOM, upload_package
from deployments.uploads import NO_ROOM as LACKED_ROOM
from environments.access import AppRequest, deployer
from environments.authority import NotPermitted

PAGE = 50


@deployer()
def packages(request: AppRequest, app: str) -> HttpResponse:
    page = Paginator(request.app.packages.all(), PAGE).get_page(request.GET.get("page"))
    return render(request, "deployments/packages.html", {"page": page, "active": "packages"})


@deployer(doing="Upload a package to {app}", max_body=settings.PACKAGE_MAX_BYTES + settings.FORM_MAX_BYTES)
def upload(request: AppRequest, app: str) -> HttpResponse:
    """Take in a package. Nothing is written to the session: a window opened meanwhile in another tab stays open."""
    if request.method != "POST":
        return _upload_page(request, UploadForm(), 200)
    form = UploadForm(request.POST, request.FILES)
    if getattr(request, LACKED_ROOM, False):
        form.errors.clear()
        form.add_error("file", NO_ROOM)
        return _upload_page(request, form, 507)
    if not form.is_valid():
        return _upload_page(request, form, 400)
    file = form.cleaned_data["file"]
    try:
        package = upload_package(request.app, Actor.of(request), file, file.name)
    except PackageRefused as refusal:
        form.add_error("file", refusal.reason)
        return _upload_page(request, form, 422)
    except NoRoom as lack:
        form.add_error("file", str(lack))
        return _upload_page(request, form, 507)
    except NotPermitted as reason:
        raise PermissionDenied from reason
    if package.was_there:
        messages.info(request, f"The very same file is in the repository already, as {package}. Nothing was added.")
    else:
        messages.success(request, f"{package} is in the repository. Transport it to an environment.")
    return redirect("deployments:package", request.app.slug, package.key)


def _upload_page(request: AppRequest, form: UploadForm, status: int) -> HttpResponse:
    context = {"form": form, "limit": settings.PACKAGE_MAX_BYTES, "active": "packages"}
    return render(request, "deployments/upload.html", context, status=status)


@deployer()
def package(request: AppRequest, app: str, package: UUID) -> HttpResponse:
    found = get_object_or_404(request.app.packages, key=package)
    cards = cards_of(request)
    context = {
        "package": found,
        "contents": found.contents,
        "places": [(card, card.may_transport, card.package == found) for card in cards],
        "may_anywhere": any(card.may_transport for card in cards),
        "active": "packages",
    }
    return render(request, "deployments/package.html", context)
