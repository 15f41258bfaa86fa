"""A disk that is full at any moment of a job: what ran goes on, the page tells the truth, and with room it works again.

Of the runtime's disk on a small one that is really full, where one may be mounted; of the database's at its edge.
"""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.actor import Actor
from deployments.flows import request_job
from deployments.models import Job, Live, Package
from deployments.reconciliation import reconcile
from deployments.runtimes.base import Instance
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast, make_cast, signed_in
from tests.deployments.fakes import FakeRuntime, make_package
from tests.deployments.node import LocalNode, running_node
from tests.deployments.test_worker_real import HOST, carry_out, outputs, package_of

NO_ROOM = "There is not enough room on the portal's disk."


class FullDisk(FakeRuntime):
    """A runtime whose disk is full for some of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.full: set[str] = set()

    def _call(self, name: str, *what: object) -> None:
        if name in self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super()._call(name, *what)


class FullDatabase:
    """Refuses what would be written, as SQLite and PostgreSQL do: at once outside a transaction, else at its end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses = 0
        commit = connection._commit  # type: ignore[attr-defined]

        def commit_where_there_is_room() -> None:
            self._refuse()
            commit()

        monkeypatch.setattr(connection, "_commit", commit_where_there_is_room)

    def __call__(self, execute: Any, sql: str, *args: Any) -> Any:
        if not connection.in_atomic_block and sql.startswith(("INSERT", "UPDATE", "DELETE")):
            self._refuse()
        return execute(sql, *args)

    def _refuse(self) -> None:
        if self.refuses:
            self.refuses -= 1
            raise OperationalError("database or disk is full")


class FillsDatabase(FakeRuntime):
    """Fills the database's disk at the moment of one of its calls."""

    def __init__(self, database: FullDatabase) -> None:
        super().__init__()
        self.disk = database
        self.at, self.refuses = "", 0

    def _call(self, name: str, *what: object) -> None:
        super()._call(name, *what)
        if name == self.at:
            self.at, self.disk.refuses = "", self.refuses


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[FullDatabase]:
    full = FullDatabase(monkeypatch)
    with connection.execute_wrapper(full):
        yield full


def transport(runtime: FakeRuntime, cast: Cast, package: Package) -> Job:
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


def shown(cast: Cast, job: Job) -> str:
    return signed_in(cast.alice).get(f"/apps/calc/environments/test/deployments/{job.number}/").content.decode()


def runs(runtime: FakeRuntime, cast: Cast) -> Instance:
    """Give what the address leads to, which is alive and alone."""
    led = runtime.hosts[cast.test.host]
    assert led
    assert runtime.instances() == [led]
    return led


def versions(cast: Cast, runs_twice: bool) -> tuple[Package, Package]:
    first, second = (make_package(cast.app, cast.alice, number, runs_twice=runs_twice) for number in ("1.0", "2.0"))
    return first, second


@pytest.mark.parametrize("runs_twice", [True, False])
@pytest.mark.parametrize("call", ["prepare", "start", "route"])
def test_no_room_for_what_runs_is_said_and_the_old_version_goes_on(cast: Cast, call: str, runs_twice: bool) -> None:
    runtime = FullDisk()
    first, second = versions(cast, runs_twice)
    transport(runtime, cast, first)
    runtime.full = {call}
    job = transport(runtime, cast, second)
    assert job.state == "failed"
    assert "not enough room on the" in shown(cast, job)
    assert Live.objects.get().package == first
    if runs_twice or call == "prepare":
        assert runs(runtime, cast).number == 1
    else:  # it had to end before, and can't be brought back either
        assert job.result.startswith(NO_ROOM)
        assert job.result.endswith(f"{first} could not be started again yet; the portal goes on trying.")
    runtime.full = set()
    reconcile(runtime)
    assert runs(runtime, cast).number == 1
    assert transport(runtime, cast, second).state == "done"
    assert runs(runtime, cast).number == 3


MOMENTS = ["prepare", "start", "check", "route", "drain", "stop"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_database_without_room_for_a_while_is_waited_for(
    database: FullDatabase, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr("deployments.journal.time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))
    cast, runtime = make_cast(), FillsDatabase(database)
    first, second = versions(cast, runs_twice=True)
    transport(runtime, cast, first)
    runtime.at, runtime.refuses = moment, 3
    job = transport(runtime, cast, second)
    assert (job.state, database.refuses) == ("done", 0)
    assert runs(runtime, cast).number == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("moment", "runs_twice"),
    [(moment, twice) for moment in MOMENTS for twice in (True, False) if twice or moment != "drain"],
)
def test_a_database_that_stays_without_room_leaves_no_job_behind(
    database: FullDatabase, monkeypatch: pytest.MonkeyPatch, moment: str, runs_twice: bool
) -> None:
    monkeypatch.setattr("deployments.journal.DATABASE_PATIENCE", -1)
    cast, runtime = make_cast(), FillsDatabase(database)
    first, second = versions(cast, runs_twice)
    transport(runtime, cast, first)
    runtime.at, runtime.refuses = moment, 1000
    with pytest.raises(OperationalError):
        transport(runtime, cast, second)
    # Nobody is led to what has ended, though nothing can be written down
    led = runs(runtime, cast)
    assert led.number == Live.objects.get().instance

    database.refuses = 0
    Job.objects.filter(state="running").update(heartbeat=timezone.now() - timedelta(seconds=31))
    Worker(runtime, "tester").sweep()
    reconcile(runtime)
    job = Job.objects.get(number=2)
    assert job.state == "interrupted"
    assert str(Live.objects.get().package) in shown(cast, job)
    assert runs(runtime, cast) == led
    assert transport(runtime, cast, second).state == "done"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, where this user may mount one."""
    var = tmp_path / "var"
    var.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "small", str(var)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield var
    if mounted:
        subprocess.run(["umount", "--lazy", str(var)], check=True)


@contextmanager
def no_room(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fill the node's disk, or refuse what is written to it where it has none of its own."""
    if not node.var.is_mount():
        with monkeypatch.context() as patch:

            def refuse(*_: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr("deployments.packages.unpack", refuse)
            patch.setattr("deployments.runtimes.files.write", refuse)
            yield
        return
    filler = node.var / "filler"
    with filler.open("wb", buffering=0) as file:
        for piece in (2**20, 2**12):
            while True:
                try:
                    file.write(bytes(piece))
                except OSError:
                    break
    yield
    filler.unlink()


def test_a_disk_that_is_really_full_leaves_what_runs_where_it_is(
    small_disk: Path, cast: Cast, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STOP_GRACE = 2
    first, second = (package_of(cast, tmp_path, f"calc/{version}") for version in ("1.0.0", "1.1.0"))
    with running_node(small_disk) as node:
        assert carry_out(node, cast, JobKind.TRANSPORT, first).state == "done"
        with no_room(node, monkeypatch):
            unpacking = carry_out(node, cast, JobKind.TRANSPORT, second)
            assert node.get(HOST, "/version")[1].count("1.0.0") == 1
            assert not node.runtime.has_release(second.sha256)
        assert "No space left on device" in unpacking.result
        assert unpacking.result.endswith("keeps running.")
        job = carry_out(node, cast, JobKind.TRANSPORT, second)
        assert job.state == "done", outputs(job)
        with no_room(node, monkeypatch):  # its release is there: it does not get further than the start
            starting = carry_out(node, cast, JobKind.RESTART)
            assert node.get(HOST, "/version")[1].count("1.1.0") == 1
        assert starting.result.startswith(NO_ROOM)
        assert starting.result.endswith("keeps running.")
        reconcile(node.runtime)
        assert [instance.number for instance in node.runtime.instances()] == [job.number]
        job = carry_out(node, cast, JobKind.TRANSPORT, first)
        assert job.state == "done", outputs(job)
        assert node.get(HOST, "/version")[1].count("1.0.0") == 1
