"""Calls on an app's repository of packages: list, look, download, upload, delete."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from deployments.api.answers import KEY, NOTHING, PACKAGE, a_list, an_object, package_answer
from deployments.api.calls import call, is_plain
from deployments.api.uploads import file_of
from deployments.models import NAME_LENGTH, Package
from deployments.package_views import attachment
from deployments.removal import delete_package
from deployments.repository import upload_package
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.models import App

FILE = {"type": "string", "format": "binary"}


@call("The packages in an app's repository, the newest first", a_list(PACKAGE), deploys=True)
def packages(request: ApiRequest) -> list[dict[str, Any]]:
    return [package_answer(package) for package in request.app.packages.defer("manifest")]


@call("One package", PACKAGE, Code.PACKAGE_NOT_FOUND, deploys=True)
def package(request: ApiRequest, package: str) -> dict[str, Any]:
    return package_answer(find_package(request.app, package))


@call("The file of a package, as it was uploaded", FILE, Code.PACKAGE_NOT_FOUND, deploys=True)
def download(request: ApiRequest, package: str) -> HttpResponseBase:
    found = find_package(request.app, package)
    try:
        file = found.file.open("rb")
    except OSError as error:
        says = f"The stored file of {found} can't be read. Upload it again."
        raise ApiRefused(Code.PACKAGE_NOT_FOUND, says) from error
    if request.method == "GET":
        record(Act.PACKAGE_DOWNLOADED, Actor.of(request), str(found), app=request.app)
    return attachment(found, file)


@call(
    "Remove a package that is on no environment",
    NOTHING,
    Code.PACKAGE_NOT_FOUND,
    Code.PACKAGE_IN_USE,
    deploys=True,
    changes=True,
    refused=Code.PACKAGE_IN_USE,
)
def delete(request: ApiRequest, package: str) -> dict[str, Any]:
    found = find_package(request.app, package)
    found.app = request.app
    delete_package(found, Actor.of(request))
    return {}


@call(
    "Upload a package: a form with the field `file`, or the bare file. The same content again gives the same PackageId",
    an_object(PackageId=KEY),
    Code.UPLOAD_COPY_FAILED,
    Code.INVALID_PACKAGE,
    deploys=True,
    changes=True,
    body=FILE,
    max_body=settings.PACKAGE_MAX_BYTES + settings.FORM_MAX_BYTES,
)
def upload(request: ApiRequest) -> dict[str, Any]:
    name = request.GET.get("name") or request.GET.get("Name") or ""
    if not is_plain(name) or len(name) > NAME_LENGTH:
        raise ApiRefused(Code.INVALID_REQUEST, f"The name is longer than {NAME_LENGTH} characters, or no text.")
    with file_of(request, name) as file:
        found = upload_package(request.app, Actor.of(request), file, name or file.name or "package")
    return {"PackageId": str(found.key)}


def find_package(app: App, key: str) -> Package:
    try:
        found = app.packages.filter(key=UUID(key)).first()
    except ValueError:
        found = None
    if found is None:
        raise ApiRefused(Code.PACKAGE_NOT_FOUND, f"{app.name} has no such package.")
    return found
