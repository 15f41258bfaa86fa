"""Snapshots, restores and logs of a day: calls, and the signed links that they lead to."""

import json
import tarfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.test import Client

from accounts.acts import Act
from accounts.models import Activity
from environments.models import ApiKey, NodePermission
from environments.permissions import Permission
from tests.deployments.api.client import ApiError, DeployClient
from tests.deployments.api.conftest import World
from tests.deployments.monitoring.written import empty_logs, write

TEST = "apps/calc/environments/Test"


@pytest.fixture
def client(world: World) -> DeployClient:
    """Alice's, with calc 1.0.0 stopped on Test."""
    client = world.client()
    client.transport("calc", "Test", str(world.old.key))
    world.work()
    return client


def refused(act: Any, status: int, code: str) -> str:
    with pytest.raises(ApiError) as refusal:
        act()
    assert (refusal.value.status, refusal.value.code) == (status, code), refusal.value.message
    return refusal.value.message


def follow(link: str) -> tuple[int, bytes]:
    """Follow a link as anybody may who has it: no key, no cookies."""
    assert link.startswith("http://localhost:8000/api/1/links/")
    answer: Any = Client().get(link.removeprefix("http://localhost:8000"))
    return answer.status_code, answer.getvalue()


def snapshot(client: DeployClient, world: World, **body: Any) -> str:
    made = client.call("POST", f"{TEST}/snapshots", body)
    world.work()
    return str(made["SnapshotID"])


def test_a_snapshot_is_taken_listed_and_downloaded(world: World, client: DeployClient) -> None:
    world.runtime.write(world.cast.test.pk, "sums")
    made = client.call("POST", f"{TEST}/snapshots", {"Comment": "Before the migration"})
    assert (made["State"], made["Comment"]) == ("Queued", "Before the migration")
    assert client.call("POST", f"{TEST}/snapshots/") == made, "asked for again while it waits"
    refused(lambda: client.call("GET", f"{TEST}/snapshots/{made['SnapshotID']}"), 500, "SNAPSHOT_NOT_READY")
    world.work()
    [listed] = client.call("GET", f"{TEST}/snapshots")
    assert (listed["State"], listed["ModelVersion"]) == ("Completed", "1.0.0")
    assert listed["ExpiresOn"] > listed["CreatedOn"] > 0
    links = client.call("GET", f"{TEST}/snapshots/{made['SnapshotID']}")
    status, whole = follow(links["DatabaseAndFiles"])
    assert status == 200
    with tarfile.open(fileobj=BytesIO(whole)) as archive:
        assert set(archive.getnames()) == {"backup.json", "database.sqlite3", "files.tar"}
    assert follow(links["DatabaseOnly"]) == (200, b"SQLite format 3\0sums")
    part: Any = Client().get(
        links["DatabaseOnly"].removeprefix("http://localhost:8000"), headers={"Range": "bytes=16-"}
    )
    assert (part.status_code, part.getvalue()) == (206, b"sums"), "a download that broke off goes on"
    entry = Activity.objects.filter(act=Act.BACKUP_DOWNLOADED).first()
    assert entry
    assert entry.key == f"CI 1 ({world.made[0].prefix}…)"


def test_snapshots_that_are_not_there(world: World, client: DeployClient) -> None:
    mine = snapshot(client, world)
    for key in (str(uuid4()), "x"):
        refused(lambda key=key: client.call("GET", f"{TEST}/snapshots/{key}"), 404, "SNAPSHOT_NOT_FOUND")
        refused(lambda key=key: client.call("POST", f"{TEST}/restore/{key}"), 400, "NOT_FOUND")
    elsewhere = f"apps/calc/environments/Acceptance/snapshots/{mine}"
    refused(lambda: client.call("GET", elsewhere), 404, "SNAPSHOT_NOT_FOUND")
    acceptance = "apps/calc/environments/Acceptance/snapshots"
    assert "Nothing is on Acceptance" in refused(lambda: client.call("POST", acceptance), 400, "ERROR_NOT_ALLOWED")


def test_a_snapshot_that_failed_says_why(world: World, client: DeployClient) -> None:
    world.runtime.spoiled.add(world.cast.test.pk)
    failed = snapshot(client, world)
    refused(lambda: client.call("GET", f"{TEST}/snapshots/{failed}"), 404, "SNAPSHOT_NOT_FOUND")


def test_a_restore_needs_the_app_to_be_stopped(world: World, client: DeployClient) -> None:
    world.runtime.write(world.cast.test.pk, "before")
    key = snapshot(client, world)
    world.runtime.write(world.cast.test.pk, "after")
    client.start("calc", "Test")
    refused(lambda: client.call("POST", f"{TEST}/restore/{key}"), 400, "ERROR_NOT_ALLOWED")
    world.work()
    refused(lambda: client.call("POST", f"{TEST}/restore/{key}"), 400, "ERROR_NOT_ALLOWED")
    client.stop("calc", "Test")
    answer = client.call("POST", f"{TEST}/restore/{key}")
    assert answer["SnapshotID"] == key
    assert client.call("POST", f"{TEST}/restore/{key}") == answer, "asked for again while it waits"
    world.work()
    assert world.runtime.read(world.cast.test.pk) == "before"
    assert client.environment("calc", "Test")["Status"] == "Stopped"


def test_a_restore_from_another_environment(world: World, client: DeployClient) -> None:
    world.runtime.write(world.cast.test.pk, "of Test")
    key = snapshot(client, world)
    client.transport("calc", "Acceptance", str(world.old.key))
    client.call("POST", f"apps/calc/environments/Acceptance/restore/{key}")
    world.work()
    assert world.runtime.read(world.cast.acceptance.pk) == "of Test"
    entry = Activity.objects.get(act=Act.RESTORE_ASKED)
    assert (entry.via, entry.key) == ("API", f"CI 1 ({world.made[0].prefix}…)")


def test_data_of_production_are_out_of_reach_for_a_key_that_does_not_reach_it(world: World) -> None:
    cast = world.cast
    world.open_production(cast.alice)
    far, near = world.client(production=[cast.production]), world.client()
    far.transport("calc", "Production", str(world.old.key))
    far.transport("calc", "Test", str(world.old.key))
    key = far.call("POST", "apps/calc/environments/Production/snapshots")["SnapshotID"]
    world.work()
    refused(lambda: near.call("POST", f"{TEST}/restore/{key}"), 403, "NO_ACCESS")
    assert far.call("POST", f"{TEST}/restore/{key}")
    world.work()
    marked = far.call("POST", f"{TEST}/snapshots")["SnapshotID"]
    world.work()
    refused(lambda: near.call("GET", f"{TEST}/snapshots/{marked}"), 403, "NO_ACCESS")
    link = far.call("GET", f"{TEST}/snapshots/{marked}")["DatabaseAndFiles"]
    assert follow(link)[0] == 200
    NodePermission.objects.filter(environment=cast.production).delete()
    assert follow(link)[0] == 403


class TestLinks:
    """A link dies after ten minutes, with the key and with the permission."""

    @pytest.fixture
    def link(self, world: World, client: DeployClient) -> str:
        key = snapshot(client, world)
        cast = world.cast
        cast.grant(cast.bob, cast.test, Permission.BACKUPS)
        bob = world.client(cast.bob, read_only=True)
        found = str(bob.call("GET", f"{TEST}/snapshots/{key}")["DatabaseOnly"])
        assert follow(found)[0] == 200
        return found

    def code(self, link: str) -> tuple[int, str]:
        status, body = follow(link)
        return status, json.loads(body)["errorCode"]

    def test_after_ten_minutes(self, world: World, link: str) -> None:
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=9, seconds=50), tick=False):
            assert follow(link)[0] == 200
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=10, seconds=2), tick=False):
            assert self.code(link) == (403, "NO_ACCESS")

    def test_with_the_key(self, world: World, link: str) -> None:
        ApiKey.objects.filter(user=world.cast.bob).delete()
        assert self.code(link) == (403, "NO_ACCESS")

    def test_with_the_account(self, world: World, link: str) -> None:
        world.cast.bob.is_active = False
        world.cast.bob.save()
        assert self.code(link) == (403, "NO_ACCESS")

    def test_with_the_permission(self, world: World, link: str) -> None:
        world.cast.membership(world.cast.bob).node_permissions.all().delete()
        assert self.code(link) == (403, "NO_ACCESS")

    def test_when_somebody_changes_it(self, world: World, link: str) -> None:
        begin, _, token = link.rpartition("/")
        for changed in (link[:-2], link + "x", f"{begin}/{token.replace(':', '.')}", f"{begin}/x"):
            assert self.code(changed) == (403, "NO_ACCESS")

    def test_a_log_never_shows_one(self, link: str) -> None:
        import logging

        from portal.logs import Line

        record = logging.LogRecord("x", logging.WARNING, "", 0, "Forbidden: %s", (link,), None)
        assert link.rpartition("/")[2] not in Line("{message}", style="{").format(record)


def test_the_log_of_a_day(world: World, client: DeployClient) -> None:
    with empty_logs(world.cast.test):
        write(world.cast.test, "Good morning")
        today = datetime.now(UTC).date()
        answer = client.call("GET", f"{TEST}/logs/{today.isoformat()}/")
        assert answer["Environment"] == client.environment("calc", "Test")["EnvironmentId"]
        assert answer["Date"] == datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp() * 1000
        status, content = follow(answer["DownloadUrl"])
        assert status == 200
        assert b"Good morning" in content
        assert Activity.objects.get(act=Act.LOG_DOWNLOADED).via == "API"
        ApiKey.objects.all().delete()
        assert follow(answer["DownloadUrl"])[0] == 403


def test_days_without_a_log_and_what_is_no_day(world: World, client: DeployClient) -> None:
    for day in ("2020-01-01", "2020-1-1", "today", "2026-02-30"):
        refused(lambda day=day: client.call("GET", f"{TEST}/logs/{day}"), 404, "NOT_FOUND")
