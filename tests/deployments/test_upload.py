"""Uploading packages through the page: what is accepted, recognised, refused, and what is left behind then."""

import hashlib
import os
import time
from collections import namedtuple
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from typing import cast as cast_to
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, Session
from deployments import repository
from deployments.models import Package
from deployments.runtimes.process import ProcessRuntime
from deployments.uploads import PIECE, remove_abandoned
from environments.flows import add_member
from environments.models import Role
from tests.cast import Cast, signed_in
from tests.deployments.fakes import archive

UPLOAD = "/apps/calc/packages/upload/"


def stored(settings: Any) -> set[Path]:
    folders = (settings.VAR / "storage", settings.VAR / "uploads")
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def text(answer: Any) -> str:
    return str(answer.content.decode())


def send(client: Client, file: Any) -> Any:
    return client.post(UPLOAD, {"file": file})


def test_a_package_is_taken_in(cast: Cast) -> None:
    answer = send(signed_in(cast.bob), archive(description="Adds up."))
    package = Package.objects.get()
    assert answer.headers["Location"] == f"/apps/calc/packages/{package.key}/"
    assert (package.name, package.version, package.description) == ("calc", "1.0.0", "Adds up.")
    assert (package.uploaded_by, package.uploader_name) == (cast.bob, "Bob")
    assert package.file.size == package.size
    assert (package.expires_at - package.created_at).days == 15
    assert str(Activity.objects.first()) == "Bob uploaded calc 1.0.0"


def test_name_and_version_come_from_the_file_where_the_package_is_silent(cast: Cast) -> None:
    file = archive("", name="")
    file.name = "my calc-v1.2.0-rc.1.zip"
    send(signed_in(cast.bob), file)
    assert str(Package.objects.get()) == "my calc 1.2.0-rc.1"


def test_without_any_version_the_hash_tells_one_from_another(cast: Cast) -> None:
    file = archive("", name="")
    file.name = "app.mda"
    send(signed_in(cast.bob), file)
    package = Package.objects.get()
    assert (package.name, package.version) == ("app", package.sha256[:8])


def test_the_same_content_again_is_recognised(cast: Cast, settings: Any) -> None:
    client, content = signed_in(cast.bob), archive().read()
    first = send(client, SimpleUploadedFile("calc.zip", content))
    before = stored(settings)
    answer = client.post(UPLOAD, {"file": SimpleUploadedFile("other.mda", content)}, follow=True)
    assert answer.redirect_chain[-1][0] == first.headers["Location"]
    assert "is in the repository already" in text(answer)
    assert (Package.objects.count(), stored(settings)) == (1, before)


@pytest.mark.parametrize(
    ("file", "status", "sentence"),
    [
        (None, 400, "Choose the file of the package."),
        (SimpleUploadedFile("calc.zip", b""), 400, "The file is empty."),
        (SimpleUploadedFile("calc.tar", b"x"), 400, "This is no .zip or .mda file."),
        (SimpleUploadedFile("calc.zip", b"no zip at all, but long enough to be one"), 422, "is not a zip archive"),
    ],
)
def test_what_is_no_package_is_refused_at_the_field_and_leaves_nothing(
    cast: Cast, settings: Any, file: Any, status: int, sentence: str
) -> None:
    before = stored(settings)
    answer = signed_in(cast.bob).post(UPLOAD, {"file": file} if file else {})
    assert answer.status_code == status
    page = text(answer)
    assert sentence in page
    assert 'aria-invalid="true"' in page
    assert not Package.objects.exists()
    assert stored(settings) == before


def test_a_refusal_is_in_the_activity_with_its_reason(cast: Cast) -> None:
    send(signed_in(cast.bob), SimpleUploadedFile("\u202ecalc.zip", b"no zip at all, but long enough to be one"))
    entry = Activity.objects.get(act=Act.PACKAGE_REFUSED)
    assert "not a zip archive" in entry.reason
    assert "\u202e" not in entry.target


def test_a_package_without_a_procfile_is_told_so(cast: Cast) -> None:
    content = BytesIO()
    with ZipFile(content, "w") as file:
        file.writestr("app.py", "print()")
    answer = send(signed_in(cast.bob), SimpleUploadedFile("calc.zip", content.getvalue()))
    assert answer.status_code == 422
    assert "has no Procfile" in text(answer)


def test_a_nearly_full_disk_takes_nothing_and_says_so(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(cast.bob)
    before = stored(settings)
    settings.DISK_RESERVE_BYTES = 2**62
    answer = send(client, archive())
    assert answer.status_code == 507
    assert "disk is nearly full" in text(answer)
    assert "Choose the file" not in text(answer)
    assert (Package.objects.count(), stored(settings)) == (0, before)


def test_a_disk_that_fills_up_while_the_file_comes_in_is_noticed(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is too small for the file only after it began to come in."""
    usage = namedtuple("usage", "total used free")
    answers = iter([usage(0, 0, 2**62), usage(0, 0, 0)])
    monkeypatch.setattr("deployments.repository.shutil.disk_usage", lambda path: next(answers))
    before = stored(settings)
    answer = send(signed_in(cast.bob), archive())
    assert answer.status_code == 507
    assert (Package.objects.count(), stored(settings)) == (0, before)


def test_too_large_a_file_is_refused_before_it_is_read(cast: Cast, settings: Any) -> None:
    client = signed_in(cast.bob)
    answer = client.post(UPLOAD, {"file": archive()}, CONTENT_LENGTH=str(3 * 1024**3))
    assert answer.status_code == 413


def test_nobody_without_the_deploy_permission_uploads(cast: Cast) -> None:
    product_owner = Role.objects.get(name="Product Owner")
    add_member(cast.app, Actor(cast.alice), cast.sam, product_owner)
    assert send(signed_in(cast.sam), archive()).status_code == 403
    assert send(signed_in(cast.charlie), archive()).status_code == 404
    assert send(Client(), archive()).status_code == 302
    assert not Package.objects.exists()


def test_an_upload_writes_nothing_to_the_session(cast: Cast) -> None:
    """A window opened in another tab while a long upload runs must not be undone by the upload's end."""
    client = signed_in(cast.bob)
    before = Session.objects.values_list("session_data", flat=True).get()
    send(client, archive())
    assert Session.objects.values_list("session_data", flat=True).get() == before


def test_what_a_killed_upload_left_is_removed_a_day_later(settings: Any) -> None:
    old, young = (settings.VAR / "uploads" / f"{name}.upload.zip" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - 25 * 3600))
    remove_abandoned()
    assert (old.exists(), young.exists()) == (False, True)
    young.unlink()


def test_one_that_comes_second_by_a_hair_leaves_no_file(
    cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looked before either was there; the database decides."""
    content = archive().read()
    send(signed_in(cast.alice), SimpleUploadedFile("calc.zip", content))
    before, looks = stored(settings), iter([None])
    monkeypatch.setattr(repository, "_found", lambda app, sha256: next(looks, app.packages.get(sha256=sha256)))
    answer = send(signed_in(cast.bob), SimpleUploadedFile("calc.zip", content))
    assert answer.headers["Location"] == f"/apps/calc/packages/{Package.objects.get().key}/"
    assert stored(settings) == before


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("PACKAGE_MAX_BYTES", 100, "larger than 100 bytes"),
        ("PACKAGE_MAX_ENTRIES", 2, "more than 2 files and folders"),
        ("PACKAGE_MAX_UNPACKED_BYTES", 2_000_000, "“data” unpacks to more than 2 MiB"),
        ("PACKAGE_MAX_RATIO", 3, "“data” unpacks to more than 3 times its size"),
        ("PACKAGE_MAX_DEPTH", 1, "“model/metadata.json” lies 2 levels deep"),
    ],
)
def test_the_limits_of_an_archive_are_settings(
    cast: Cast, settings: Any, setting: str, value: int, sentence: str
) -> None:
    file = with_zeros(11_000_000)
    settings.PACKAGE_MAX_RATIO = 10_000
    setattr(settings, setting, value)
    before = stored(settings)
    answer = send(signed_in(cast.bob), file)
    assert answer.status_code == 422
    assert sentence in text(answer)
    assert (Package.objects.count(), stored(settings)) == (0, before)


def with_zeros(count: int) -> SimpleUploadedFile:
    content = BytesIO(archive().read())
    with ZipFile(content, "a", ZIP_DEFLATED) as file:
        file.writestr("data", bytes(count))
    return SimpleUploadedFile("calc.zip", content.getvalue())


def test_what_was_accepted_under_the_settings_is_unpacked_under_them(cast: Cast, settings: Any, tmp_path: Path) -> None:
    settings.PACKAGE_MAX_RATIO = 10_000
    send(signed_in(cast.bob), with_zeros(11_000_000))
    package = Package.objects.get()
    with package.file.open("rb") as file:
        ProcessRuntime(tmp_path, 8080, "apps.localhost").prepare(package.sha256, cast_to(BinaryIO, file.file))


def test_a_description_is_kept_where_the_package_has_none(cast: Cast) -> None:
    bob = signed_in(cast.bob)
    for file in (archive("1.0.0"), archive("1.1.0", description="Its own.")):
        bob.post(UPLOAD, {"file": file, "description": " Typed.\r\nTwice. "})
    described = dict(Package.objects.values_list("version", "description"))
    assert described == {"1.0.0": "Typed.\r\nTwice.", "1.1.0": "Its own."}


def test_the_script_is_told_where_to_go_and_what_is_wrong(cast: Cast) -> None:
    bob, as_json = signed_in(cast.bob), {"accept": "application/json"}
    taken = bob.post(UPLOAD, {"file": archive()}, headers=as_json)
    assert taken.json() == {"address": f"/apps/calc/packages/{Package.objects.get().key}/"}
    refused = bob.post(UPLOAD, {}, headers=as_json)
    assert (refused.status_code, refused.json()) == (
        400,
        {"field": "file", "error": "Choose the file of the package."},
    )


def test_the_hash_is_that_of_what_was_stored(cast: Cast) -> None:
    """It is worked out while the file comes in, in many pieces."""
    content = BytesIO(archive().read())
    with ZipFile(content, "a") as file:
        file.writestr("data", os.urandom(3 * PIECE + 1))
    send(signed_in(cast.bob), SimpleUploadedFile("calc.zip", content.getvalue()))
    package = Package.objects.get()
    assert package.sha256 == hashlib.sha256(Path(package.file.path).read_bytes()).hexdigest()
