"""Backups and restores on a small disk that is really full: the reason is in words, the data stay, nothing is left."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from accounts.actor import Actor
from deployments.backups.bundle import Bundle, Choice
from deployments.backups.flows import request_backup, request_restore, take_in_upload
from deployments.errors import NoRoom
from deployments.flows import request_job, upload_package
from deployments.models import Backup, Job
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast
from tests.deployments.backups.killing import packed
from tests.deployments.backups.stage import stored_of
from tests.deployments.backups.test_runtime_data import COUNTERS, own, tree
from tests.deployments.node import LocalNode, running_node
from tests.deployments.test_disk_full import small_disk
from tests.deployments.test_worker_real import HOST

__all__ = ["small_disk"]

MIB = 2**20
ON_DISK, ON_PORTALS_DISK = (f"There is not enough room on the {disk}." for disk in ("disk", "portal's disk"))


class Small:
    """An app on a small disk with all that is the portal's."""

    def __init__(self, node: LocalNode, cast: Cast, settings: Any) -> None:
        self.node = node
        self.cast = cast
        self.settings = settings
        self.by = Actor(cast.alice)
        self.data = node.runtime.layout.data(cast.test.pk)
        package = upload_package(cast.app, self.by, ContentFile(packed(), "keeper.zip"), "keeper.zip")
        assert self.work(request_job(JobKind.TRANSPORT, cast.test, self.by, package)).state == "done"

    def work(self, job: Job | None) -> Job:
        assert job
        Worker(self.node.runtime, "real").run_once()
        job.refresh_from_db()
        return job

    def write(self, text: str, database: int, files: int) -> None:
        """Let the app have a database and a file of so many MiB, which can't be made smaller."""
        path = self.data / "database.sqlite3"
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE lines (text TEXT, more BLOB)")
            connection.execute("INSERT INTO lines VALUES (?, randomblob(?))", [text, max(1, database * MIB)])
        connection.close()
        (self.data / "file").write_bytes(bytes([7]) * (files * MIB))
        own(self.node, self.data)

    def found(self) -> dict[str, object]:
        database = (self.data / "database.sqlite3").read_bytes()[COUNTERS:]
        return tree(self.data) | {"database.sqlite3": database}

    def backed_up(self) -> Backup:
        backup = request_backup(self.cast.test, self.by)
        self.work(backup.job)
        backup.refresh_from_db()
        return backup

    @contextmanager
    def with_left(self, size: int) -> Iterator[None]:
        """Have so many MiB left; none above the reserve where the disk could not be mounted."""
        if not self.node.var.is_mount():
            self.settings.DISK_RESERVE_BYTES = 2**62
            yield
            self.settings.DISK_RESERVE_BYTES = 0
            return
        filler = self.node.var / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(self.node.var).free - size * MIB))
        yield
        filler.unlink()


@pytest.fixture
def small(small_disk: Path, cast: Cast, settings: Any) -> Iterator[Small]:
    settings.STOP_GRACE, settings.HEALTH_PATIENCE, settings.DISK_RESERVE_BYTES = 2, 15, 0
    settings.VAR, settings.MEDIA_ROOT = small_disk, small_disk / "storage"
    default = {**settings.STORAGES["default"], "OPTIONS": {"location": small_disk / "storage"}}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    with running_node(small_disk) as node:
        yield Small(node, cast, settings)


def test_backups(small: Small) -> None:
    for what, database, files, left, disk in [
        ("a copy of the database", 8, 0, 4, ON_DISK),
        ("the database in the storage", 8, 0, 12, ON_PORTALS_DISK),
        ("the files in the storage", 0, 8, 4, ON_PORTALS_DISK),
    ]:
        small.write("now", database, files)
        before = small.found()
        with small.with_left(left):
            backup = small.backed_up()
        assert backup.state == "failed", what
        assert backup.reason.startswith(disk if small.node.var.is_mount() else ON_PORTALS_DISK), what
        assert backup.reason.endswith("There is no backup."), what
        assert small.found() == before, what
        assert stored_of(small.cast) == [], what
        assert_nothing_is_aside(small)
    assert small.backed_up().verified_at


def assert_nothing_is_aside(small: Small) -> None:
    assert [path.name for path in small.data.parent.iterdir()] == ["data"]
    assert small.node.get(HOST) == (200, "now")


def test_one_that_can_not_be_restored_aside_for_lack_of_room_is_there_and_says_so(small: Small) -> None:
    small.write("now", 0, 6)
    with small.with_left(9):
        backup = small.backed_up()
    if not small.node.var.is_mount():  # full from the beginning
        assert backup.state == "failed"
        return
    assert (backup.state, backup.verified_at) == ("completed", None)
    assert backup.job
    assert "not enough room to restore it aside" in backup.job.steps.get(name="verify").output
    assert_nothing_is_aside(small)


def test_restores(small: Small) -> None:
    small.write("then", 0, 8)
    backup = small.backed_up()
    small.write("now", 0, 0)
    before = small.found()
    stored = stored_of(small.cast)
    for saving in (False, True):
        if saving:
            small.write("now", 6, 0)
            before = small.found()
        with small.with_left(4):
            job = small.work(request_restore(small.cast.test, small.by, backup, saving))
        assert job.state == "failed"
        assert job.result.startswith(ON_DISK)
        assert job.result.endswith("The data are as they were. keeper 1 keeps running.")
        assert small.found() == before
        assert stored_of(small.cast) == stored
        assert_nothing_is_aside(small)
    small.write("now", 0, 0)
    assert small.work(request_restore(small.cast.test, small.by, backup)).state == "done"
    assert small.node.get(HOST) == (200, "then")


def test_an_upload(small: Small) -> None:
    small.write("now", 0, 6)
    before = small.found()
    downloaded = b"".join(Bundle(small.backed_up(), Choice.FULL).read())
    stored = stored_of(small.cast)
    with small.with_left(3), pytest.raises(NoRoom, match=ON_PORTALS_DISK):
        take_in_upload(small.cast.test, small.by, ContentFile(downloaded, "x"))
    assert (Backup.objects.count(), stored_of(small.cast)) == (1, stored)
    uploaded = take_in_upload(small.cast.test, small.by, ContentFile(downloaded, "x"))
    with small.with_left(3):
        job = small.work(uploaded.job)
    assert job.state == "failed"
    assert job.result == "There is not enough room on the disk. Nothing was kept of it."
    assert small.found() == before
    assert stored_of(small.cast) == stored
    assert_nothing_is_aside(small)
