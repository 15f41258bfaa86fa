"""Backups and restores of a real app whose database is on a server, through real jobs."""

import io
import os
import tarfile
import threading
from typing import Any

import pytest
from django.core.files.base import ContentFile

from accounts.actor import Actor
from deployments.backups import fitting
from deployments.backups.bundle import Bundle, Choice
from deployments.backups.flows import request_backup, request_nightly, request_restore, take_in_upload
from deployments.deletion import delete_environment
from deployments.flows import request_job
from deployments.models import Backup, Live
from deployments.states import JobKind
from tests.cast import Cast
from tests.deployments.databases.conftest import names_on
from tests.deployments.databases.stage import SCHEMA, Keeper, keeper_on, package_of, work
from tests.deployments.fakes import actor_with_window
from tests.deployments.node import LocalNode, wait_until


@pytest.fixture(autouse=True)
def _this_node(settings: Any, monkeypatch: pytest.MonkeyPatch, node: LocalNode) -> None:
    settings.HEALTH_PATIENCE = 15
    settings.STOP_GRACE = 2
    monkeypatch.setattr(fitting, "get_runtime", lambda: node.runtime)


@pytest.fixture
def keeper(node: LocalNode, server: str, cast: Cast) -> Keeper:
    """The app on Test, with data."""
    keeper = keeper_on(node, server, cast, cast.test, Actor(cast.alice))
    keeper.tell(SCHEMA)
    keeper.keep("uploads/picture", os.urandom(300_000))
    keeper.keep("database.sqlite3", b"a file like any other")
    return keeper


def taken(node: LocalNode, cast: Cast) -> Backup:
    backup = request_backup(cast.test, Actor(cast.alice))
    work(node, backup.job)
    backup.refresh_from_db()
    assert backup.verified_at
    return backup


def change(keeper: Keeper) -> None:
    keeper.tell(
        "DELETE FROM customer WHERE id < 40; INSERT INTO customer (name) VALUES ('new'); DROP VIEW owed CASCADE;"
    )
    keeper.tell("SELECT lo_unlink(content) FROM picture; SELECT setval('ticket', 1); DROP INDEX invoice_amount;")
    keeper.keep("uploads/picture", b"changed")
    keeper.keep("uploads/more", b"new")


def test_data_go_round_to_the_last_row_and_byte(node: LocalNode, server: str, cast: Cast, keeper: Keeper) -> None:
    before = keeper.holds()
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            keeper.tell("BEGIN; INSERT INTO busy VALUES (1, 0); INSERT INTO busy VALUES (0, 1); COMMIT;")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup = taken(node, cast)
    finally:
        ending.set()
        writer.join()
    written = int(keeper.tell("SELECT count(*) FROM busy"))
    change(keeper)
    assert keeper.tell("SELECT count(*) FROM customer") == "12"
    job = work(node, request_restore(cast.test, Actor(cast.alice), backup))
    assert job.result.endswith("keeper 1 runs with them.")
    assert keeper.holds() == before
    same, count = keeper.tell("SELECT sum(a) = sum(b), count(*) FROM busy").split("|")
    assert (same, int(count) <= written) == ("t", True)
    keeper.tell("INSERT INTO customer (name) VALUES ('later'); SELECT nextval('ticket')")
    assert keeper.tell("SELECT name FROM customer WHERE name = 'LATER'") == "LATER"
    assert names_on(server) == {keeper.database.name}


def test_a_download_is_uploaded_and_restored_elsewhere(
    node: LocalNode, server: str, cast: Cast, keeper: Keeper
) -> None:
    before = keeper.holds()
    whole = b"".join(Bundle(taken(node, cast), Choice.FULL).read())
    other = keeper_on(node, server, cast, cast.acceptance, Actor(cast.alice))
    uploaded = take_in_upload(cast.acceptance, Actor(cast.alice), ContentFile(whole, "x"))
    work(node, uploaded.job)
    uploaded.refresh_from_db()
    assert (uploaded.holds, uploaded.database_kind) == ("full", "postgresql")
    work(node, request_restore(cast.acceptance, Actor(cast.alice), uploaded))
    assert other.database.role != keeper.database.role
    assert other.holds() == before == keeper.holds()
    assert names_on(server) == {keeper.database.name, other.database.name}


def test_parts_of_it_replace_only_what_they_hold(node: LocalNode, cast: Cast, keeper: Keeper) -> None:
    before = keeper.holds()
    backup = taken(node, cast)
    database, files = (b"".join(Bundle(backup, choice).read()) for choice in (Choice.DATABASE, Choice.FILES))
    keeper.tell("INSERT INTO customer (name) VALUES ('now')")
    keeper.keep("uploads/picture", b"now")
    now = keeper.holds()
    for content, holds, of_then in [(files, "files", {"files"}), (database, "database", set(before))]:
        uploaded = take_in_upload(cast.test, Actor(cast.alice), ContentFile(content, "x"))
        work(node, uploaded.job)
        uploaded.refresh_from_db()
        assert uploaded.holds == holds
        work(node, request_restore(cast.test, Actor(cast.alice), uploaded, back_up_first=False))
        assert keeper.holds() == now | {name: before[name] for name in of_then}
    assert names_in(files) >= {"database.sqlite3", "uploads/picture"}


def names_in(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return set(files.getnames())


def test_an_app_that_is_not_healthy_with_the_data_has_its_own_again(
    node: LocalNode, server: str, cast: Cast, keeper: Keeper, settings: Any
) -> None:
    keeper.tell("CREATE TABLE sick ()")
    backup = taken(node, cast)
    keeper.tell("DROP TABLE sick; INSERT INTO customer (name) VALUES ('now')")
    now = keeper.holds()
    settings.HEALTH_PATIENCE = 2
    job = work(node, request_restore(cast.test, Actor(cast.alice), backup, back_up_first=False), "failed")
    assert job.result.endswith("The data are as they were. keeper 1 keeps running.")
    assert keeper.holds() == now
    wait_until(lambda: node.get(cast.test.host) == (200, "t\n"))
    assert Live.objects.get(environment=cast.test).is_running
    assert names_on(server) == {keeper.database.name}


def test_production_is_saved_before_a_transport_and_every_night(node: LocalNode, server: str, cast: Cast) -> None:
    by = actor_with_window(cast.alice)
    keeper = keeper_on(node, server, cast, cast.production, by)
    keeper.tell(SCHEMA)
    work(node, request_job(JobKind.TRANSPORT, cast.production, by, package_of(cast, "2")))
    work(node, request_nightly(cast.production).job)
    kinds = {backup.kind: backup for backup in Backup.objects.all()}
    assert set(kinds) == {"transport", "nightly"}
    before = keeper.holds()
    for backup in kinds.values():
        assert (backup.state, backup.database_kind, bool(backup.verified_at)) == ("completed", "postgresql", True)
        keeper.tell("DELETE FROM customer")
        work(node, request_restore(cast.production, by, backup, back_up_first=False))
        assert keeper.holds() == before


def test_a_cleared_and_a_deleted_environment_leave_nothing_on_the_server(
    node: LocalNode,
    server: str,
    cast: Cast,
    keeper: Keeper,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    monkeypatch.setattr("deployments.deletion.get_runtime", lambda: node.runtime)
    other = keeper_on(node, server, cast, cast.acceptance, Actor(cast.alice))
    by = Actor(cast.alice)
    work(node, request_job(JobKind.STOP, cast.test, by))
    work(node, request_job(JobKind.CLEAR, cast.test, by))
    assert names_on(server) == {other.database.name}
    again = keeper_on(node, server, cast, cast.test, by)
    assert again.tell("SELECT to_regclass('customer') IS NULL") == "t"
    work(node, request_job(JobKind.STOP, cast.test, by))
    work(node, request_job(JobKind.CLEAR, cast.test, by))
    with django_capture_on_commit_callbacks(execute=True):
        delete_environment(cast.test, actor_with_window(cast.alice))
    assert names_on(server) == {other.database.name}
    assert cast.test.pk not in node.runtime.environments()
