"""Deleting, downloading, searching and listing packages through the pages."""

from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import FileResponse
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity
from deployments import package_views
from deployments.errors import Refused
from deployments.flows import request_job, upload_package
from deployments.models import Job, Live, Package
from deployments.removal import delete_package
from deployments.states import EnvironmentState, JobKind, JobState
from environments.authority import NotPermitted
from environments.models import Role
from tests.cast import Cast, signed_in, unlocked
from tests.deployments.fakes import actor_with_window, archive, make_package
from tests.deployments.zips import FOLDER, Item
from tests.deployments.zips import package as zipped

PACKAGES = "/apps/calc/packages/"


def page(client: Client, address: str = PACKAGES, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def address(package: Package, more: str = "") -> str:
    return f"{PACKAGES}{package.key}/{more}"


def finish(answer: Any) -> bytes:
    """Read an answer to its end and close its file, as a web server does."""
    content = b"".join(answer)
    for close in answer._resource_closers:
        close()
    return content


@pytest.fixture
def package(cast: Cast) -> Package:
    return make_package(cast.app, cast.alice, description="Adds up.")


def test_a_package_is_deleted_with_its_file_after_a_last_look(
    cast: Cast, package: Package, django_capture_on_commit_callbacks: Any
) -> None:
    bob = unlocked(cast.bob)
    shown = page(bob, address(package, "delete/"))
    assert "calc 1.0.0 and its file are removed for good." in shown
    with django_capture_on_commit_callbacks(execute=True):
        answer = bob.post(address(package, "delete/"), follow=True)
    assert "calc 1.0.0 was deleted." in answer.content.decode()
    assert not Package.objects.exists()
    assert not default_storage.exists(str(package.file.name))
    assert str(Activity.objects.first()) == "Bob deleted calc 1.0.0"


def test_the_file_stays_when_the_deletion_does_not_happen(
    cast: Cast, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.removal.record", lambda *args, **more: 1 / 0)
    by = actor_with_window(cast.bob)
    with pytest.raises(ZeroDivisionError):
        delete_package(package, by)
    assert Package.objects.exists()
    assert default_storage.exists(str(package.file.name))


def test_what_is_on_an_environment_is_not_deleted(cast: Cast, package: Package) -> None:
    Live.objects.create(environment=cast.test, state=EnvironmentState.STOPPED, package=package)
    bob = unlocked(cast.bob)
    assert "calc 1.0.0 is on Test." in page(bob, address(package, "delete/"))
    answer = bob.post(address(package, "delete/"))
    assert answer.status_code == 409
    assert "calc 1.0.0 is on Test." in answer.content.decode()
    assert "Delete…" not in page(bob, address(package))
    assert Package.objects.exists()


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_what_is_on_its_way_is_not_deleted(cast: Cast, package: Package, state: JobState) -> None:
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    Job.objects.update(state=state)
    with pytest.raises(Refused, match=r"on its way to Test"):
        delete_package(package, actor_with_window(cast.bob))
    assert Package.objects.exists()


def test_the_way_back_that_is_lost_is_said_before(cast: Cast, package: Package) -> None:
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    Job.objects.update(state=JobState.DONE)
    shown = page(unlocked(cast.bob), address(package, "delete/"))
    assert "one of the last five that were on Test: there is no way back to it then." in shown


def test_deleting_asks_for_the_code(cast: Cast, package: Package) -> None:
    """Production could want the package back, so the window is needed; the flow checks it once more."""
    answer = signed_in(cast.bob).post(address(package, "delete/"))
    assert answer.headers["Location"].startswith("/authenticator/?")
    with pytest.raises(NotPermitted):
        delete_package(package, Actor(cast.bob))


def test_who_lost_the_deploy_permission_deletes_nothing(cast: Cast, package: Package) -> None:
    by = actor_with_window(cast.bob)
    membership = cast.membership(cast.bob)
    membership.role = Role.objects.get(name="Product Owner")
    membership.save()
    with pytest.raises(NotPermitted, match="does not let you delete"):
        delete_package(package, by)


def test_the_second_of_two_who_delete_is_told(cast: Cast, package: Package) -> None:
    by = actor_with_window(cast.bob)
    same = Package.objects.get()
    delete_package(package, by)
    with pytest.raises(Refused, match="not in the repository any more"):
        delete_package(same, by)


def test_a_package_that_was_deleted_meanwhile_is_not_transported(cast: Cast, package: Package) -> None:
    Package.objects.filter(pk=package.pk).delete()
    with pytest.raises(Refused, match="not in the repository any more"):
        request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)


def test_a_download_gives_the_very_bytes_and_is_recorded(cast: Cast) -> None:
    file = archive()
    content = file.read()
    file.seek(0)
    package = make_package(cast.app, cast.alice)
    answer: Any = signed_in(cast.bob).get(address(package, "download/"))
    assert isinstance(answer, FileResponse)
    assert finish(answer) == content
    assert len(content) == int(answer.headers["Content-Length"])
    assert answer.headers["Content-Disposition"] == 'attachment; filename="calc-1.0.0.zip"'
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer.headers["Cache-Control"]
    assert str(Activity.objects.first()) == "Bob downloaded calc 1.0.0"


@pytest.mark.parametrize("method", ["head", "post"])
def test_only_a_real_download_is_recorded(cast: Cast, package: Package, method: str) -> None:
    answer = getattr(signed_in(cast.bob), method)(address(package, "download/"))
    finish(answer)
    assert answer.status_code == {"head": 200, "post": 405}[method]
    assert not Activity.objects.filter(act=Act.PACKAGE_DOWNLOADED).exists()


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [('a"b; x=y', "1\\2", "a-b-x-y-1-2.zip"), ("größe/..", "1", "gr-e-..-1.zip"), ("…", "–", "package.zip")],
)
def test_the_name_of_a_download_is_made_by_the_server(
    cast: Cast, package: Package, name: str, version: str, expected: str
) -> None:
    Package.objects.update(name=name, version=version)
    answer = signed_in(cast.bob).get(address(package, "download/"))
    finish(answer)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{expected}"'


def test_a_stored_file_that_is_gone_is_said(cast: Cast, package: Package) -> None:
    default_storage.delete(str(package.file.name))
    bob = signed_in(cast.bob)
    answer = bob.get(address(package, "download/"), follow=True)
    assert "can&#x27;t be read. Upload the package again." in answer.content.decode()
    assert "its content can't be listed" in page(bob, address(package))


def test_a_package_shows_all_that_is_in_it(cast: Cast) -> None:
    events = [{"name": "Report", "command": "python3 r.py", "schedule": "30 2 * * *"}]
    constants = [{"name": "GREETING", "default": "Good day", "description": "The first line."}]
    package = make_package(
        cast.app, cast.alice, description="Adds up.", constants=constants, scheduled_events=events, health_path="/ok"
    )
    shown = page(signed_in(cast.bob), address(package))
    wanted = [package.sha256, "Adds up.", "GREETING", "Good day", "The first line.", "Report", "30 2 * * *"]
    wanted += ["python3 r.py", "web: python3 app.py", "/ok", "model/metadata.json", "Procfile", "in 15 days", "Alice"]
    assert [text for text in wanted if text not in shown] == []


def test_the_list_of_files_has_pages_and_no_folders(cast: Cast) -> None:
    items = [Item(f"files/{number:03}.txt", b"x" * number) for number in range(120)]
    content = zipped(Item("files/", mode=FOLDER), *items).getvalue()
    upload = SimpleUploadedFile("calc-1.zip", content)
    package = upload_package(cast.app, Actor(cast.alice), upload, "calc-1.zip")
    bob = signed_in(cast.bob)
    first, last = page(bob, address(package)), page(bob, address(package), page="3")
    assert "files/048.txt" in first
    assert "files/049.txt" not in first
    assert "<code>files/</code>" not in first
    assert "Page 1 of 3" in first
    assert "files/119.txt" in last
    assert "119 bytes" in last


def test_the_list_of_files_reads_no_content(cast: Cast, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.archives.read_content", None)
    assert "Procfile" in page(signed_in(cast.bob), address(package))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ["calc 1.0.0", "calc 1.1.0", "shop 1.0.0"]),
        ("CALC", ["calc 1.0.0", "calc 1.1.0"]),
        ("1.0.0", ["calc 1.0.0", "shop 1.0.0"]),
        ("calc 1.1", ["calc 1.1.0"]),
        ("sells", ["shop 1.0.0"]),
        ("bob", ["calc 1.1.0"]),
        ("calc sells", []),
        ("%", []),
        ("nothing like that", []),
    ],
)
def test_packages_are_found_by_name_version_description_and_person(cast: Cast, words: str, found: list[str]) -> None:
    make_package(cast.app, cast.alice, "1.0.0")
    make_package(cast.app, cast.bob, "1.1.0")
    make_package(cast.app, cast.alice, "1.0.0", name="shop", description="Sells things.")
    rows = signed_in(cast.bob).get(PACKAGES, {"q": words}).context["rows"]
    assert sorted(str(row.package) for row in rows) == found


def test_a_search_without_result_says_so_and_leads_back(cast: Cast, package: Package) -> None:
    shown = page(signed_in(cast.bob), q="<b>nothing")
    assert "Nothing found" in shown
    assert "Show all packages" in shown
    assert "&lt;b&gt;nothing" in shown


def test_pages_keep_the_search(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_views, "PAGE", 2)
    for number in range(5):
        make_package(cast.app, cast.alice, f"1.0.{number}")
    shown = page(signed_in(cast.bob), q="calc", page="2")
    assert "Page 2 of 3" in shown
    assert "?q=calc&amp;page=3" in shown


def test_a_package_is_listed_with_all_that_is_known(cast: Cast, package: Package) -> None:
    Live.objects.create(environment=cast.acceptance, state=EnvironmentState.STOPPED, package=package)
    shown = page(signed_in(cast.bob))
    wanted = ["calc", "1.0.0", "Adds up.", package.sha256[:12], "Alice", "kept: on Acceptance", "bytes"]
    assert [text for text in wanted if text not in shown] == []
    assert package.sha256 not in shown
