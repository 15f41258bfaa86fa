"""What real apps use and their visitors meet, as the runtime says it; reading the router's access log."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.runtimes import visits
from deployments.runtimes.base import Instance, Measured, Stored, Traffic
from tests.deployments.node import HOST, LocalNode, wait_until

BUSY = "import time\nkept = b'x' * (64 << 20)\nwhile time.process_time() < 0.5: pass\ntime.sleep(600)\n"
MIB = 1024**2


def measured(node: LocalNode, instance: Instance) -> Measured:
    found = [each for each in node.runtime.measure() if each.instance == instance]
    return found[0] if found else Measured(instance, 0, 0, 0)


def test_what_an_instance_uses(node: LocalNode) -> None:
    idle = node.serve(environment=31)
    busy = node.start(node.release({"app.py": BUSY}), environment=32)
    wait_until(lambda: measured(node, busy).processor > 0.45)
    assert measured(node, busy).memory > 64 * MIB
    wait_until(lambda: 0 < measured(node, idle).memory < 64 * MIB)
    assert measured(node, idle).processor < 5
    assert [each.instance for each in node.runtime.measure()] == [idle, busy]
    node.runtime.stop(busy, 0.5)
    assert [each.instance for each in node.runtime.measure()] == [idle]


def test_what_children_used_counts(node: LocalNode) -> None:
    spin = "python3 -c 'import time\nwhile time.process_time() < 0.4: pass'"
    instance = node.start(node.release({"app.py": ""}), f"{spin}; {spin}; sleep 600", environment=33)
    wait_until(lambda: measured(node, instance).processor > 0.7)


def test_an_instance_that_came_back_by_itself_is_counted(node: LocalNode) -> None:
    import os
    import signal

    instance = node.serve(environment=34)
    assert measured(node, instance).restarts == 0
    os.kill(node.runtime.layout.record(34, instance.number).state["launcher"], signal.SIGKILL)
    wait_until(lambda: any(each.restarts == 1 for each in node.runtime.measure()))


def test_storage_is_what_the_database_and_the_files_take(node: LocalNode) -> None:
    assert node.runtime.storage(35) == Stored(0, 0)
    folder = node.runtime.layout.data(35)
    folder.mkdir(parents=True)
    (folder / "big").write_bytes(bytes([1]) * 3 * MIB)
    (folder / "link").symlink_to("/usr")
    (folder / "database.sqlite3").write_bytes(bytes([1]) * 5 * MIB)
    (folder / "database.sqlite3-wal").write_bytes(bytes([1]) * 2 * MIB)
    stored = node.runtime.storage(35)
    assert stored.database == 7 * MIB
    assert 3 * MIB <= stored.files < 4 * MIB


def test_a_database_that_is_a_link_counts_nothing_of_what_it_leads_to(node: LocalNode) -> None:
    folder = node.runtime.layout.data(37)
    folder.mkdir(parents=True)
    (folder / "database.sqlite3").symlink_to("/usr/bin/python3")
    assert node.runtime.storage(37).database < MIB


def test_room_is_what_is_free_where_the_data_are(node: LocalNode) -> None:
    free = shutil.disk_usage(node.runtime.layout.environments).free
    assert node.runtime.room(38) == pytest.approx(free, rel=0.1)
    assert node.runtime.limits().largest_file == 8 * 1024**3


def test_visits_are_counted_by_host_without_what_was_typed(node: LocalNode) -> None:
    node.runtime.route(HOST, node.serve(environment=36))
    node.get(path="/first")
    wait_until(lambda: (node.runtime.layout.log / "access.log").exists())
    begin = node.runtime.visits("").cursor
    for path in ("/?password=hush", "/plain"):
        node.get(path=path)
    node.get("nobody--knows", "/lost")
    log = node.runtime.layout.log / "access.log"
    wait_until(lambda: "/lost" in log.read_text())
    seen = node.runtime.visits(begin)
    (traffic,) = seen.hosts
    assert (traffic.host, traffic.statuses, sum(traffic.seconds)) == (HOST, (0, 2, 0, 0, 0), 2)
    assert node.runtime.visits(seen.cursor).hosts == ()
    text = log.read_text()
    assert "hush" not in text
    assert "User-Agent" not in text
    assert '"uri":"/plain"' in text


def visit(host: str = "test--calc.apps.localhost:8080", status: Any = 200, duration: Any = 0.003) -> str:
    return json.dumps({"request": {"host": host}, "status": status, "duration": duration}) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(visit())
    return path


def count(log: Path, cursor: str) -> tuple[tuple[Traffic, ...], str]:
    found = visits.since(log.parent, cursor, {"test--calc"})
    return found.hosts, found.cursor


def test_what_was_before_the_first_look_does_not_count(log: Path) -> None:
    hosts, cursor = count(log, "")
    assert hosts == ()
    log.write_text(
        log.read_text() + visit(duration=0.0005) + visit(status=503, duration=99) + visit("TEST--calc.x", 404)
    )
    ((traffic,), cursor) = count(log, cursor)
    assert traffic.statuses == (0, 1, 0, 1, 1)
    assert (traffic.seconds[0], traffic.seconds[2], traffic.seconds[-1]) == (1, 1, 1)
    assert count(log, cursor) == ((), cursor)


def test_the_very_first_visitor_counts(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    _, cursor = count(log, "")
    log.write_text(visit())
    ((traffic,), cursor) = count(log, cursor)
    assert traffic.statuses == (0, 1, 0, 0, 0)
    assert count(log, cursor)[0] == ()


def test_a_line_that_is_just_written_counts_once_it_is_whole(log: Path) -> None:
    _, cursor = count(log, "")
    line = visit()
    log.write_text(log.read_text() + line[:20])
    hosts, cursor = count(log, cursor)
    assert hosts == ()
    log.write_text(log.read_text() + line[20:])
    assert count(log, cursor)[0][0].statuses == (0, 1, 0, 0, 0)


def test_the_rest_of_a_log_that_was_rolled_counts(log: Path) -> None:
    _, cursor = count(log, "")
    with log.open("a") as file:
        file.write(visit())
    log.rename(log.with_name("access-2026-05-03T12-00-00.000.log"))
    log.write_text(visit(status=500))
    hosts, cursor = count(log, cursor)
    assert hosts[0].statuses == (0, 1, 0, 0, 1)
    for path in log.parent.iterdir():
        path.unlink()
    assert count(log, cursor) == ((), cursor)
    log.with_name("another").touch()
    log.write_text(visit())
    assert count(log, "1.0")[0] == ()


def test_what_makes_no_sense_is_passed_over(log: Path) -> None:
    _, cursor = count(log, "")
    odd = ["", "{", "[]", "1", '{"request": 1}', '{"request": {"host": 7}, "status": 200, "duration": 1}', "\0" * 50]
    with log.open("a") as file:
        file.write(
            "\n".join(odd) + "\n" + visit("x--y.z") + visit(status="x") + visit(duration=None) + visit(status=999)
        )
    assert [(each.host, each.statuses) for each in count(log, cursor)[0]] == [("test--calc", (0, 0, 0, 0, 1))]


@pytest.mark.parametrize("cursor", ["../x", "-1.5", "1", "1.1.1", "\0"])
def test_a_cursor_that_makes_no_sense_begins_now(log: Path, cursor: str) -> None:
    assert count(log, cursor)[0] == ()
