"""The pages of backups: list, take, details, download, restore, upload."""

import re
import tarfile
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http.response import HttpResponseBase
from django.test import Client
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Activity, ProductionWindow
from deployments.backups.flows import request_backup
from deployments.models import Backup, Job
from deployments.runtimes.base import Part
from deployments.states import BackupKind
from environments.permissions import Permission
from tests.cast import Cast, signed_in, unlock, unlocked
from tests.deployments.backups.memory import FIRST
from tests.deployments.backups.stage import backed_up, may_all, on, restored, work
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package

TEST = "/apps/calc/environments/test/"
PRODUCTION = "/apps/calc/environments/production/"
FIRST_ONE = "backups/1/"


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def backup(cast: Cast, runtime: FakeRuntime) -> Backup:
    on(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "x" * 5000)
    return backed_up(cast, runtime, cast.test)


def content(answer: HttpResponseBase) -> bytes:
    return b"".join(answer)


def text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_the_list_says_what_there_is_and_what_comes(cast: Cast, runtime: FakeRuntime) -> None:
    alice = signed_in(cast.alice)
    assert "Nothing to back up yet" in text(alice.get(TEST + "backups/"))
    on(cast, runtime, cast.test)
    assert "No backups yet" in text(alice.get(TEST + "backups/"))
    answer = alice.post(TEST + "backups/create/", {"comment": "before <b>the</b> sale"})
    assert answer.headers["Location"] == TEST + "deployments/2/"
    page = text(alice.get(TEST + "backups/"))
    assert "Queued" in page
    assert 'hx-trigger="every 2s"' in page
    work(runtime)
    page = text(alice.get(TEST + "backups/"))
    assert "Completed" in page
    assert "before &lt;b&gt;the&lt;/b&gt; sale" in page
    assert "hx-trigger" not in page
    assert alice.get(TEST + "backups/", headers={"HX-Request": "true"}).status_code == 204


def test_a_backup_is_no_deployment_but_a_restore_is_one(cast: Cast, runtime: FakeRuntime, backup: Backup) -> None:
    restored(runtime, cast.test, Actor(cast.alice), backup)
    alice = signed_in(cast.alice)
    for page in (text(alice.get(TEST)), text(alice.get(TEST + "deployments/"))):
        assert "Restore a backup" in page
        assert "Back up the data" not in page


def test_a_second_click_leads_to_the_first_one(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    alice = signed_in(cast.alice)
    first = alice.post(TEST + "backups/create/")
    second = alice.post(TEST + "backups/create/")
    assert first.headers["Location"] == second.headers["Location"]


def test_a_comment_that_is_too_long_is_kept_and_said(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    answer = signed_in(cast.alice).post(TEST + "backups/create/", {"comment": "y" * 301})
    assert answer.status_code == 400
    assert "y" * 301 in answer.content.decode()


def test_an_old_last_good_one_is_said_with_the_reason(cast: Cast, runtime: FakeRuntime, backup: Backup) -> None:
    alice, long_ago = signed_in(cast.alice), timezone.now() - timedelta(hours=27)
    assert "no good backup" not in text(alice.get(TEST + "backups/"))
    Job.objects.update(ended_at=long_ago)
    Backup.objects.update(completed_at=long_ago)
    runtime.spoiled.add(cast.test.pk)
    request_backup(cast.test, Actor(cast.alice))
    work(runtime)
    said = (
        f"There has been no good backup of Test since {long_ago:%-d %B, %H:%M} UTC. The latest one failed: The database"
    )
    assert said in text(alice.get(TEST + "backups/"))


def test_what_was_uploaded_is_no_good_backup_of_what_is_there(cast: Cast, runtime: FakeRuntime, backup: Backup) -> None:
    alice = signed_in(cast.alice)
    Job.objects.update(ended_at=timezone.now() - timedelta(hours=27))
    address = f"{TEST}transport/?package={make_package(cast.app, cast.alice, '2.0.0').key}"
    assert "Last good backup:" in text(alice.get(address))
    Backup.objects.update(kind=BackupKind.UPLOADED)
    assert "There has been no good backup of Test" in text(alice.get(TEST + "backups/"))
    assert "No good backup of Test yet" in text(alice.get(address))


def test_one_that_never_had_a_night_has_no_trouble(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    alice = signed_in(cast.alice)
    assert "no good backup" not in text(alice.get(TEST + "backups/"))
    Job.objects.update(ended_at=timezone.now() - timedelta(hours=27))
    assert "no good backup of Test since" in text(alice.get(TEST + "backups/"))


@pytest.mark.parametrize(
    ("choice", "name", "kind"),
    [
        ("full", "calc-test-1-{}.tar", "application/x-tar"),
        ("database", "calc-test-1-{}.sqlite3", "application/vnd.sqlite3"),
        ("files", "calc-test-1-{}.files.tar", "application/x-tar"),
    ],
)
def test_each_choice_is_downloaded_and_recorded(cast: Cast, backup: Backup, choice: str, name: str, kind: str) -> None:
    answer = signed_in(cast.alice).get(f"{TEST}{FIRST_ONE}{choice}/")
    body = content(answer)
    assert int(answer.headers["Content-Length"]) == len(body)
    stamp = f"{backup.created_at:%Y-%m-%d-%H%M}"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name.format(stamp)}"'
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (kind, "private, no-store")
    entry = Activity.objects.get(act="backup.downloaded")
    assert entry.target.startswith("backup 1 of Test (")
    if choice == "full":
        with tarfile.open(fileobj=BytesIO(body)) as archive:
            assert archive.getnames() == ["backup.json", "database.sqlite3", "files.tar"]


def test_a_download_is_resumed_from_any_byte(cast: Cast, backup: Backup) -> None:
    alice, address = signed_in(cast.alice), f"{TEST}{FIRST_ONE}full/"
    whole = alice.get(address)
    body, etag = content(whole), whole.headers["ETag"]
    for asked, expected in [
        ("bytes=0-0", body[:1]),
        ("bytes=1500-", body[1500:]),
        ("bytes=511-513", body[511:514]),
        ("bytes=-700", body[-700:]),
        (f"bytes=0-{len(body) + 5}", body),
    ]:
        answer = alice.get(address, headers={"Range": asked, "If-Range": etag})
        assert content(answer) == expected, asked
        if expected != body:
            assert answer.status_code == 206
            assert answer.headers["Content-Range"].endswith(f"/{len(body)}")
    assert content(alice.get(address, headers={"Range": "bytes=9-", "If-Range": '"another"'})) == body
    answer = alice.get(address, headers={"Range": f"bytes={len(body)}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(body)}")
    for odd in ("bytes=5-2", "bytes=-0"):
        assert alice.get(address, headers={"Range": odd}).status_code == 416
    for odd in ("bytes=-", "lines=1-2", "bytes=0-1,5-6", "bytes=x-"):
        assert content(alice.get(address, headers={"Range": odd})) == body
    assert content(alice.head(address)) == b""


def test_a_resumed_download_is_the_one_that_was_recorded_but_only_then(cast: Cast, backup: Backup) -> None:
    alice, address = signed_in(cast.alice), f"{TEST}{FIRST_ONE}full/"
    records = Activity.objects.filter(act="backup.downloaded")
    content(alice.get(address, headers={"Range": "bytes=1-"}))  # all but one byte, without a record before
    assert records.count() == 1
    content(alice.get(address, headers={"Range": "bytes=600-"}))
    assert records.count() == 1
    content(alice.get(address))
    alice.head(address)
    assert records.count() == 2


def test_what_is_gone_from_the_storage_is_said(cast: Cast, backup: Backup) -> None:
    default_storage.delete(str(backup.files.name))
    alice = signed_in(cast.alice)
    answer = alice.get(f"{TEST}{FIRST_ONE}full/", follow=True)
    assert "What is stored of backup 1 of Test can&#x27;t be read" in text(answer)


def test_what_is_not_there_is_404(cast: Cast, backup: Backup) -> None:
    alice = signed_in(cast.alice)
    for path in ("backups/2/", "backups/99999999999/", "backups/1/secret/", "backups/2/full/"):
        assert alice.get(TEST + path).status_code == 404, path
    Backup.objects.update(state="failed")
    assert alice.get(f"{TEST}{FIRST_ONE}full/").status_code == 404
    assert alice.get(f"{TEST}backups/restore/{backup.key}/").status_code == 404


def test_a_link_dies_with_right_session_and_window(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.production)
    backed_up(cast, runtime, cast.production)
    may_all(cast, cast.bob, cast.production)
    bob, address = unlocked(cast.bob), f"{PRODUCTION}{FIRST_ONE}database/"
    assert bob.get(address).status_code == 200
    ProductionWindow.objects.filter(user=cast.bob).update(ends_at=timezone.now())
    assert bob.get(address, headers={"Range": "bytes=5-"}).headers["Location"].startswith("/authenticator/?")
    unlock(bob, cast.bob)
    assert bob.get(address).status_code == 200
    member = cast.membership(cast.bob)
    member.node_permissions.filter(permission=Permission.BACKUPS).delete()
    assert bob.get(address).status_code == 403
    bob.post("/sign-out/")
    assert bob.get(address).headers["Location"].startswith("/sign-in/")


def production_in_test(cast: Cast, runtime: FakeRuntime) -> Backup:
    """A backup of Test that holds data of production."""
    alice = actor_with_window(cast.alice)
    for environment in (cast.test, cast.production):
        on(cast, runtime, environment)
    restored(runtime, cast.test, alice, backed_up(cast, runtime, cast.production, alice))
    return backed_up(cast, runtime, cast.test, alice)


def test_data_of_production_ask_for_the_code_and_the_right_there_wherever_they_are(
    cast: Cast, runtime: FakeRuntime
) -> None:
    backup = production_in_test(cast, runtime)
    may_all(cast, cast.bob, cast.test)
    bob = signed_in(cast.bob)
    page, download = f"{TEST}backups/{backup.number}/", f"{TEST}backups/{backup.number}/files/"
    restore = f"{TEST}backups/restore/{backup.key}/"
    shown = text(bob.get(page))
    assert "It holds data of production (Production)" in shown
    assert shown.count("You need Access to Backups on Production for this.") == 2  # to download, to restore into Test
    assert shown.count("You need Transport Rights and Access to Backups there.") == 1  # on Production
    # The right first: nobody sets up an authenticator to be refused afterwards
    assert (bob.get(download).status_code, bob.head(download).status_code) == (403, 403)
    assert "You need Access to Backups on Production for this." in text(bob.get(restore))
    assert bob.post(restore, {"name": "Test"}).status_code == 403
    may_all(cast, cast.bob, cast.production)
    for address in (download, restore):
        assert bob.get(address).headers["Location"].startswith("/authenticator/?"), address
        assert bob.post(address, {"name": "Test"}).headers["Location"].startswith("/authenticator/?"), address
    unlock(bob, cast.bob)
    assert bob.get(download).status_code == 200
    assert bob.post(restore, {"name": "Test"}).status_code == 302


def test_a_restore_says_what_happens_and_takes_the_name(cast: Cast, runtime: FakeRuntime, backup: Backup) -> None:
    on(cast, runtime, cast.test, "2.0.0")
    alice, address = signed_in(cast.alice), f"{TEST}backups/restore/{backup.key}/"
    page = text(alice.get(address))
    assert "calc 2.0.0 is on Test and may not understand its data." in page
    assert re.search('<input type="checkbox" name="back_up"[^>]* checked', page)
    assert text(alice.post(address, {"name": "test"})).count("That is not the name of the environment.") == 1
    answer = alice.post(address, {"name": "Test", "back_up": "on"})
    job = Job.objects.get(kind="restore")
    assert answer.headers["Location"] == f"{TEST}deployments/{job.number}/"
    assert job.backs_up
    work(runtime)
    page = text(alice.get(answer.headers["Location"]))
    assert "Test has the data of backup 1 of Test now." in page
    assert "Back up what is overwritten" in page


def test_an_unticked_safety_backup_is_not_taken(cast: Cast, backup: Backup) -> None:
    signed_in(cast.alice).post(f"{TEST}backups/restore/{backup.key}/", {"name": "Test"})
    assert not Job.objects.get(kind="restore").backs_up


def test_a_restore_into_another_environment_of_the_app(cast: Cast, runtime: FakeRuntime, backup: Backup) -> None:
    alice = signed_in(cast.alice)
    address = f"/apps/calc/environments/acceptance/backups/restore/{backup.key}/"
    assert "Nothing is on Acceptance yet" in text(alice.get(address))
    on(cast, runtime, cast.acceptance)
    assert alice.post(address, {"name": "Acceptance"}).status_code == 302
    work(runtime)
    assert runtime.content(cast.acceptance.pk) == runtime.content(cast.test.pk)
    cast.grant(cast.bob, cast.acceptance, Permission.BACKUPS)
    bob = signed_in(cast.bob)
    assert "you need Transport Rights there, too" in text(bob.get(address))
    may_all(cast, cast.bob, cast.acceptance)
    assert "You need Access to Backups on Test for this." in text(bob.get(address))


def test_a_restore_into_production_waits_for_the_code(cast: Cast, runtime: FakeRuntime, backup: Backup) -> None:
    on(cast, runtime, cast.production)
    alice = signed_in(cast.alice)
    address = f"{PRODUCTION}backups/restore/{backup.key}/"
    answer = alice.post(address, {"name": "Production", "back_up": "on"})
    assert answer.headers["Location"].startswith("/authenticator/?waiting=")
    assert not Job.objects.filter(kind="restore").exists()
    unlock(alice, cast.alice)
    page = text(alice.get(f"/authenticator/continue/{answer.headers['Location'].partition('waiting=')[2]}/"))
    assert "Restore backup 1 of Test into Production" in page
    assert "Back up first what is overwritten" in page
    confirmed = re.search(r'action="([^"]*confirmed=[^"]*)"', page)
    assert confirmed
    answer = alice.post(confirmed[1], {"name": "Production", "back_up": "on"})
    assert answer.headers["Location"].startswith(f"{PRODUCTION}deployments/")
    assert Job.objects.get(kind="restore").backs_up


def upload(browser: Client, content: bytes, name: str = "x.sqlite3", **more: Any) -> Any:
    file = SimpleUploadedFile(name, content)
    return browser.post(TEST + "backups/upload/", {"file": file, "comment": "home"}, **more)


def test_data_are_uploaded_with_and_without_the_script(cast: Cast, runtime: FakeRuntime) -> None:
    alice = signed_in(cast.alice)
    answer = upload(alice, FIRST[Part.DATABASE])
    assert answer.status_code == 302
    work(runtime)
    backup = Backup.objects.get()
    assert (backup.state, backup.kind, backup.holds, backup.comment) == ("completed", "uploaded", "database", "home")
    asked = upload(alice, FIRST[Part.DATABASE], headers={"Accept": "application/json"}).json()
    assert asked["address"].startswith(TEST + "deployments/")
    refused = upload(alice, b"hello", headers={"Accept": "application/json"})
    assert (refused.status_code, refused.json()["field"]) == (422, "file")
    again = upload(alice, FIRST[Part.DATABASE])
    assert again.status_code == 409
    assert "is waiting for its turn already" in text(again)


def test_nothing_and_too_much_are_refused(cast: Cast, settings: Any) -> None:
    alice = signed_in(cast.alice)
    assert "Choose the file." in text(alice.post(TEST + "backups/upload/", {}))
    settings.DISK_RESERVE_BYTES = 2**62
    answer = upload(alice, FIRST[Part.DATABASE])
    assert answer.status_code == 507
    assert not Backup.objects.exists()


def test_a_large_body_is_refused_unread_without_the_right(cast: Cast) -> None:
    answer = upload(signed_in(cast.bob), b"SQLite format 3\0" + bytes(600_000))
    assert answer.status_code == 403


def test_a_transport_to_production_offers_the_backup(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.production)
    package = make_package(cast.app, cast.alice, "2.0.0")
    alice = unlocked(cast.alice)
    page = text(alice.get(f"{PRODUCTION}transport/?package={package.key}"))
    assert "No good backup of Production yet" in page
    assert "Back up Production first" in page
    backed_up(cast, runtime, cast.production)
    page = text(alice.get(f"{PRODUCTION}transport/?package={package.key}"))
    assert "Last good backup:" in page
    alice.post(f"{PRODUCTION}transport/", {"package": package.key, "revision": 0})
    assert not Job.objects.filter(kind="transport").latest("pk").backs_up
    Job.objects.active().delete()
    alice.post(f"{PRODUCTION}transport/", {"package": package.key, "revision": 0, "back_up": "on"})
    assert Job.objects.filter(kind="transport").latest("pk").backs_up
    page = text(alice.get(f"{TEST}transport/?package={package.key}"))
    assert "Back up Test first" not in page
