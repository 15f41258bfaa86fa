"""The app's repository of packages: list, upload, details, download, delete."""

import re
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files import File
from django.core.paginator import Page, Paginator
from django.http import FileResponse, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from deployments import keeping, repository
from deployments.archive_entries import Entry
from deployments.errors import NoRoom, Refused
from deployments.forms import UploadForm
from deployments.models import Package
from deployments.overview import Card, cards_of
from deployments.packages import PackageRefused
from deployments.removal import delete_package, in_use, removed_lately
from deployments.uploads import NO_ROOM
from environments.access import AppRequest, deployer
from environments.authority import NotPermitted

PAGE = 50
LONGEST_SEARCH = 100
PLAIN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@deployer()
def packages(request: AppRequest, app: str) -> HttpResponse:
    words = request.GET.get("q", "").strip()[:LONGEST_SEARCH]
    found = repository.search(request.app.packages.defer("manifest"), words)
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": keeping.listed(page, keeping.of_app(request.app)),
        "words": words,
        "removed": removed_lately(request.app),
        "active": "packages",
    }
    return render(request, "deployments/packages.html", context)


@deployer(doing="Upload a package to {app}", max_body=settings.PACKAGE_MAX_BYTES + settings.FORM_MAX_BYTES)
def upload(request: AppRequest, app: str) -> HttpResponse:
    """Take in a package. Nothing is written to the session: a window opened meanwhile in another tab stays open.

    The page's script asks for JSON: where to go on, or what is wrong and with which field.
    """
    if request.method != "POST":
        return _upload_page(request, UploadForm(), 200)
    form = UploadForm(request.POST, request.FILES)
    if getattr(request, NO_ROOM, False):
        form.errors.clear()
        form.add_error("file", repository.NO_ROOM)
        return _upload_page(request, form, 507)
    if not form.is_valid():
        return _upload_page(request, form, 400)
    file = form.cleaned_data["file"]
    try:
        actor, description = Actor.of(request), form.cleaned_data["description"]
        package = repository.upload_package(request.app, actor, file, file.name, description)
    except PackageRefused as refusal:
        form.add_error("file", refusal.reason)
        return _upload_page(request, form, 422)
    except NoRoom as lack:
        form.add_error("file", str(lack))
        return _upload_page(request, form, 507)
    except NotPermitted as reason:
        raise PermissionDenied from reason
    if package.was_there:
        messages.info(
            request, f"The very same file is in the repository already, as {package}. It is kept as long as a new one."
        )
    else:
        messages.success(request, f"{package} is in the repository. Transport it to an environment.")
    address = reverse("deployments:package", args=[request.app.slug, package.key])
    return JsonResponse({"address": address}) if _asks_for_json(request) else redirect(address)


def _asks_for_json(request: AppRequest) -> bool:
    return request.headers.get("Accept") == "application/json"


def _upload_page(request: AppRequest, form: UploadForm, status: int) -> HttpResponse:
    if _asks_for_json(request):
        field, problems = next(iter(form.errors.items()))
        return JsonResponse({"field": field, "error": " ".join(map(str, problems))}, status=status)
    context = {"form": form, "limit": settings.PACKAGE_MAX_BYTES, "active": "packages"}
    return render(request, "deployments/upload.html", context, status=status)


@deployer()
def package(request: AppRequest, app: str, package: UUID) -> HttpResponse:
    found = get_object_or_404(request.app.packages, key=package)
    cards = cards_of(request)
    row = keeping.listed([found], keeping.of_cards(cards))[0]
    context = {
        "package": found,
        "row": row,
        "contents": found.contents,
        "files": _files(found, request.GET.get("page")),
        "places": [(card, card.may_transport, card.package == found) for card in cards],
        "may_anywhere": any(card.may_transport for card in cards),
        "may_delete": not row.places.on and not row.places.awaited,
        "guarded": _guarded(cards),
        "active": "packages",
    }
    return render(request, "deployments/package.html", context)


def _files(package: Package, number: str | None) -> "tuple[Page[int], list[Entry]] | None":
    """Give a page of the list of files, read from the stored archive; None when that can't be read."""
    page = Paginator(range(package.contents.files), PAGE).get_page(number)
    try:
        return page, repository.files_of(package, page.start_index() - 1, PAGE)
    except (OSError, PackageRefused):
        return None


def _guarded(cards: list[Card]) -> bool:
    return any(card.environment.is_production for card in cards)


@deployer()
@require_safe
def download(request: AppRequest, app: str, package: UUID) -> HttpResponseBase:
    """Give the archive as it was uploaded, piece by piece."""
    found = get_object_or_404(request.app.packages, key=package)
    try:
        file = found.file.open("rb")
    except OSError:
        messages.error(request, f"The stored file of {found} can't be read. Upload the package again.")
        return redirect("deployments:package", request.app.slug, found.key)
    if request.method == "GET":
        record(Act.PACKAGE_DOWNLOADED, Actor.of(request), str(found), app=request.app)
    return attachment(found, file)


def attachment(package: Package, file: File[bytes]) -> FileResponse:
    """Send a package's stored archive, piece by piece, as a file."""
    # SECURITY: the file's name is made here; what the package says of itself could hold quotes and line breaks
    name = PLAIN_NAME.sub("-", f"{package.name}-{package.version}").strip("-.") or "package"
    headers = {"Cache-Control": "private, no-store"}
    return FileResponse(
        file, as_attachment=True, filename=f"{name}.zip", content_type="application/zip", headers=headers
    )


def deleting(request: AppRequest) -> str:
    """Say what the form of the page that deletes a package is about to do."""
    match = request.resolver_match
    found = request.app.packages.filter(key=match.kwargs["package"]).first() if match else None
    return f"Delete {found or 'a package'}"


@deployer(doing=deleting, decides_production=True)
def delete(request: AppRequest, app: str, package: UUID) -> HttpResponse:
    """Show what goes with a package, then delete it. An environment could want it back, so production's code counts."""
    found = get_object_or_404(request.app.packages, key=package)
    found.app = request.app
    problem, status = in_use(found), 200
    if request.method == "POST":
        try:
            delete_package(found, Actor.of(request))
        except Refused as reason:
            problem, status = str(reason), 409
        except NotPermitted as reason:
            raise PermissionDenied from reason
        else:
            messages.success(request, f"{found} was deleted.")
            return redirect("deployments:packages", request.app.slug)
    places = keeping.of_app(request.app).get(found.pk, keeping.Places())
    context = {
        "package": found,
        "problem": problem,
        "what": _what_goes(found, places),
        "label": f"Delete {found}",
        "back_url": reverse("deployments:package", args=[request.app.slug, found.key]),
        "active": "packages",
    }
    return render(request, "deployments/delete_package.html", context, status=status)


def _what_goes(package: Package, places: keeping.Places) -> list[str]:
    what = [f"{package} and its file are removed for good.", "The history of its deployments stays."]
    if places.lately:
        names = keeping.names(places.lately)
        what.insert(1, f"It is one of the last five that were on {names}: there is no way back to it then.")
    return what
