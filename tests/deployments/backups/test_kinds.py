"""Backups of databases on a server: stored, offered and restored as what they are, never where they don't fit."""

import tarfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client

from accounts.actor import Actor
from deployments.backups.bundle import Bundle, Choice
from deployments.backups.flows import request_restore, take_in_upload
from deployments.errors import Refused
from deployments.models import Backup, Job
from deployments.runtimes import get_runtime
from deployments.runtimes.base import Instance, Part, RuntimeFailure
from deployments.runtimes.process import ProcessRuntime
from deployments.states import BackupState, JobState
from tests.cast import Cast, signed_in
from tests.deployments.backups.memory import FIRST
from tests.deployments.backups.stage import backed_up, on, restored, stored_of, work
from tests.deployments.backups.test_pages import text, upload
from tests.deployments.backups.test_runtime_data import bundle, entry
from tests.deployments.fakes import FakeRuntime
from tests.deployments.node import LocalNode

TEST = "/apps/calc/environments/test/"
DUMP = b"PGDMP\1 what pg_dump wrote"


class OnServer:
    """Puts the databases of environments on a server: for the worker's runtime, and for that of the pages."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.runtime = runtime
        pages = get_runtime()
        assert isinstance(pages, ProcessRuntime)
        self.layout = pages.layout
        self.made: list[int] = []

    def put(self, environment: int) -> None:
        self.runtime.on_server.add(environment)
        self.runtime.data[environment] = {Part.DATABASE: DUMP, Part.FILES: FIRST[Part.FILES]}
        self.note(environment)

    def note(self, environment: int) -> None:
        path = self.layout.database(environment)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"name": "x", "role": "x", "password": "x"}')
        self.made.append(environment)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def server(runtime: FakeRuntime) -> Iterator[OnServer]:
    server = OnServer(runtime)
    yield server
    for environment in server.made:
        server.layout.database(environment).unlink()


@pytest.fixture
def alice(cast: Cast) -> Client:
    return signed_in(cast.alice)


def test_a_dump_is_stored_shown_and_given_as_one(
    cast: Cast, runtime: FakeRuntime, server: OnServer, alice: Client
) -> None:
    on(cast, runtime, cast.test)
    server.put(cast.test.pk)
    backup = backed_up(cast, runtime, cast.test)
    assert stored_of(cast) == [f"{backup.key}/database.dump", f"{backup.key}/files.tar"]
    assert "PostgreSQL, " in text(alice.get(f"{TEST}backups/1/"))
    assert '<span class="soft small">PostgreSQL</span>' in text(alice.get(f"{TEST}backups/"))
    answer = alice.get(f"{TEST}backups/1/database/")
    assert b"".join(answer) == DUMP
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].endswith('.dump"')
    with tarfile.open(fileobj=BytesIO(b"".join(alice.get(f"{TEST}backups/1/full/")))) as archive:
        assert archive.getnames() == ["backup.json", "database.dump", "files.tar"]


def test_a_name_that_was_taken_still_says_what_it_is(cast: Cast, runtime: FakeRuntime, server: OnServer) -> None:
    on(cast, runtime, cast.test)
    server.put(cast.test.pk)
    backup = backed_up(cast, runtime, cast.test)
    again = default_storage.save(str(backup.database.name), ContentFile(DUMP))
    assert again != backup.database.name
    assert Backup(database=again).database_kind is backup.database_kind


def test_what_was_stored_before_there_were_servers_is_sqlite(cast: Cast, runtime: FakeRuntime, alice: Client) -> None:
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    assert str(backup.database.name).endswith("/database.sqlite3")
    assert "SQLite, " in text(alice.get(f"{TEST}backups/1/"))


def test_a_restore_of_another_kind_is_refused_on_the_page_and_by_the_flow(
    cast: Cast, runtime: FakeRuntime, server: OnServer, alice: Client
) -> None:
    on(cast, runtime, cast.test)
    on(cast, runtime, cast.acceptance)
    server.put(cast.acceptance.pk)
    backup = backed_up(cast, runtime, cast.test)
    assert text(alice.get(f"{TEST}backups/1/")).count("Its database is of another kind") == 1
    address = f"/apps/calc/environments/acceptance/backups/restore/{backup.key}/"
    words = (
        "The backup holds an SQLite database, and Acceptance keeps its own on a PostgreSQL server. Restore it into an "
        "environment that keeps one in an SQLite file. For its files alone, download them and upload them to "
        "Acceptance."
    )
    assert words in text(alice.get(address))
    assert 'name="back_up"' not in text(alice.get(address))
    answer = alice.post(address, {"name": "Acceptance"})
    assert answer.status_code == 409
    assert words in text(answer)
    with pytest.raises(Refused, match="holds an SQLite database"):
        request_restore(cast.acceptance, Actor(cast.alice), backup)
    assert not Job.objects.filter(kind="restore").exists()


def test_the_job_refuses_it_too_and_touches_nothing(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    job = request_restore(cast.test, Actor(cast.alice), backup)
    runtime.on_server.add(cast.test.pk)  # cleared and started anew meanwhile
    before, runtime.calls = runtime.content(cast.test.pk), []
    work(runtime, job)
    assert (job.state, job.result.partition(".")[0]) == (
        JobState.CANCELLED,
        "The backup holds an SQLite database, and Test keeps its own on a PostgreSQL server",
    )
    assert runtime.content(cast.test.pk) == before
    assert not any(call.startswith(("stop", "stage", "swap")) for call in runtime.calls)


def test_files_alone_and_a_backup_without_a_database_fit_everywhere(
    cast: Cast, runtime: FakeRuntime, server: OnServer
) -> None:
    on(cast, runtime, cast.test)
    on(cast, runtime, cast.acceptance)
    server.put(cast.acceptance.pk)
    files = b"".join(Bundle(backed_up(cast, runtime, cast.test), Choice.FILES).read())
    uploaded = take_in_upload(cast.acceptance, Actor(cast.alice), ContentFile(_some(files), "x"))
    work(runtime)
    uploaded.refresh_from_db()
    assert (uploaded.state, uploaded.holds, uploaded.database_kind) == (BackupState.COMPLETED, "files", None)
    assert restored(runtime, cast.acceptance, Actor(cast.alice), uploaded).state == "done"
    assert runtime.content(cast.acceptance.pk)[Part.DATABASE] == DUMP


def _some(files: bytes) -> bytes:
    """Give the archive with a file in it, so that it is seen to be one."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("picture"))
    return buffer.getvalue() if files == FIRST[Part.FILES] else files


def test_a_dump_is_uploaded_where_the_database_is_on_a_server(
    cast: Cast, runtime: FakeRuntime, server: OnServer, alice: Client
) -> None:
    assert "an SQLite database" in text(alice.get(f"{TEST}backups/upload/"))
    server.put(cast.test.pk)
    page = text(alice.get(f"{TEST}backups/upload/"))
    assert "in custom format (pg_dump -Fc)" in page
    assert "SQLite" not in page
    on(cast, runtime, cast.test)
    assert upload(alice, DUMP, "home.dump").status_code == 302
    work(runtime)
    backup = Backup.objects.get()
    assert (backup.state, backup.holds, backup.database_kind) == ("completed", "database", "postgresql")


@pytest.mark.parametrize("whole", [True, False])
def test_an_upload_of_another_kind_is_refused_at_once(
    cast: Cast, runtime: FakeRuntime, server: OnServer, alice: Client, whole: bool
) -> None:
    on(cast, runtime, cast.test)
    backup: Any = backed_up(cast, runtime, cast.test)
    content = b"".join(Bundle(backup, Choice.FULL if whole else Choice.DATABASE).read())
    server.put(cast.test.pk)
    answer = upload(alice, content)
    assert answer.status_code == 422
    assert "It holds an SQLite database, and Test keeps its own on a PostgreSQL server." in text(answer)
    assert Backup.objects.count() == 1


@pytest.mark.parametrize("name", ["database.sqlite3", "./database.sqlite3-wal"])
def test_a_file_does_not_pass_for_the_database_of_another_kind(node: LocalNode, name: str) -> None:
    """Where the database is on a server, a file of its name is one like any other."""
    files = entry(name, content=b"SQLite format 3\0").getvalue()
    with pytest.raises(RuntimeFailure, match="has the place of the database here"):
        node.runtime.stage(Instance(1, 7), bundle(None, files))
    assert node.runtime.aside() == []
