"""No room, or no database, in the middle of a backup or a restore: the data stay whole, and the reason is in words."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from accounts.actor import Actor
from deployments.backups.flows import request_restore
from deployments.runtimes.base import Instance
from tests.cast import make_cast
from tests.deployments.backups.stage import backed_up, on, work
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
