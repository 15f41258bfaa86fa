"""What real apps print, in their environment's log."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.runtimes.base import Instance, InstanceState
from tests.deployments.node import LocalNode, wait_until

MOST = 64 * 1024


@pytest.fixture
def environment(node: LocalNode) -> int:
    """One that no other test of the module writes to."""
    node.count += 100
    return node.count


def said(node: LocalNode, environment: int) -> list[tuple[int, str]]:
    """Give which instance wrote what, and hold that each line says when."""
    found = []
    for line in node.runtime.log_before(environment, "", MOST).text.decode().splitlines():
        at, instance, text = line.split(" ", 2)
        assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=2)
        found.append((int(instance), text))
    return found


def ends(node: LocalNode, instance: Instance) -> None:
    wait_until(lambda: node.runtime.status(instance).state is InstanceState.ENDED)


def test_one_log_for_all_versions_says_who_wrote_what(node: LocalNode, environment: int) -> None:
    release = node.release({"app.py": ""})
    first = node.start(release, "echo out; echo err >&2; printf 'no end'", environment=environment)
    ends(node, first)
    second = node.start(release, "echo again; exit 3", environment=environment)
    ends(node, second)
    started, ended = "[portal] The app was started.", "[portal] The app ended: exit code"
    assert said(node, environment) == [
        *((first.number, text) for text in (started, "out", "err", "no end", f"{ended} 0.")),
        *((second.number, text) for text in (started, "again", f"{ended} 3.")),
    ]
    assert node.runtime.output(second) == "again"


def test_stopping_keeps_the_log_and_forgetting_removes_it(node: LocalNode, environment: int) -> None:
    instance = node.serve(environment)
    node.runtime.stop(instance, 1)
    assert (instance.number, "listening") in said(node, environment)
    node.runtime.clear(environment)
    (day,) = node.runtime.log_days(environment)
    assert not day.packed
    with node.runtime.open_day(environment, day.day) as file:
        assert b"listening\n" in file.read()
    node.runtime.keep_logs(180, 1024**3)
    assert said(node, environment)
    node.runtime.forget(environment)
    assert node.runtime.log_days(environment) == []
    assert environment not in node.runtime.environments()


def test_a_log_is_for_the_portal_only(node: LocalNode, environment: int) -> None:
    ends(node, node.start(node.release({"app.py": ""}), "echo x", environment=environment))
    folder = node.runtime.layout.lines(environment)
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.stat().st_mode & 0o077 for path in folder.iterdir()] == [0]
