"""No room, or no database, in the middle of a backup or a restore: the data stay whole, and the reason is in words."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import OperationalError

from accounts.actor import Actor
from deployments.backups.flows import request_backup, request_restore, take_in_upload
from deployments.backups.taking import Taking, remove_unfinished
from deployments.runtimes.base import Instance
from deployments.worker import Worker
from tests.cast import make_cast
from tests.deployments.backups.stage import backed_up, on, work
from tests.deployments.fakes import FakeRuntime
from tests.deployments.test_disk_full import FillsDatabase, FullDatabase, database

__all__ = ["database"]


@pytest.mark.django_db(transaction=True)
def test_the_data_are_put_back_before_anybody_waits_for_the_database(
    database: FullDatabase, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.HEALTH_PATIENCE = 0
    cast, runtime = make_cast(), FillsDatabase(database)
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    runtime.write(cast.test.pk, "now")
    waited: list[tuple[str, Instance | None]] = []

    def wait(_: float) -> None:
        waited.append((runtime.read(cast.test.pk), runtime.hosts[cast.test.host]))

    monkeypatch.setattr("deployments.journal.time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    runtime.sick = {"python3 app.py"}
    runtime.at, runtime.refuses = "check", 3
    job = work(runtime, request_restore(cast.test, Actor(cast.alice), backup))
    assert job is not None
    assert waited == [("now", Instance(cast.test.pk, 1))] * 2
    assert (job.state, database.refuses, runtime.aside()) == ("failed", 0, [])
    health = job.steps.get(name="health")
    assert (health.state, health.output) == ("failed", "\x1b[31mNo such table")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("uploaded", [False, True])
def test_a_backup_that_is_complete_stays_so_though_the_end_of_its_job_can_not_be_written_down(
    database: FullDatabase, monkeypatch: pytest.MonkeyPatch, uploaded: bool
) -> None:
    cast, runtime = make_cast(), FakeRuntime()
    on(cast, runtime, cast.test)
    given = ContentFile(b"SQLite format 3\0brought along", "x")
    backup = (
        take_in_upload(cast.test, Actor(cast.alice), given)
        if uploaded
        else request_backup(cast.test, Actor(cast.alice))
    )
    complete = Taking.complete

    def complete_and_full(taking: Taking) -> None:
        complete(taking)
        database.refuses = 1000

    monkeypatch.setattr("deployments.journal.DATABASE_PATIENCE", -1)
    monkeypatch.setattr(Taking, "complete", complete_and_full)
    with pytest.raises(OperationalError):
        work(runtime)
    database.refuses = 0
    Worker(runtime, "tester").begin()
    remove_unfinished()
    backup.refresh_from_db()
    assert backup.is_completed
    assert all(default_storage.exists(name) for name in backup.stored)
    assert len(backup.stored) == (1 if uploaded else 2)
    assert backup.job
    assert backup.job.result.endswith("The backup was complete by then.")
