"""A worker killed with SIGKILL while it dumps, stages and switches a database on a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.backups import fitting
from deployments.backups.flows import request_backup, request_restore
from tests.deployments.backups.killing import SICK
from tests.deployments.databases.killing import ServerScene, scene_on
from tests.deployments.node import LocalNode

SWITCHING = ("_rename", "rename to data")


@pytest.fixture
def scene(
    transactional_db: None, node: LocalNode, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerScene]:
    monkeypatch.setattr(fitting, "get_runtime", lambda: node.runtime)
    with scene_on(node, server, tmp_path) as scene:
        yield scene


def test_a_backup(scene: ServerScene) -> None:
    tried = scene.kill_at_each(
        lambda: request_backup(scene.cast.test, scene.by).job, "now", "now", ("half stored", "half staged")
    )
    assert set(tried) == {"half stored", "half staged"}


def test_a_restore(scene: ServerScene) -> None:
    backup = scene.backed_up("then")
    tried = scene.kill_at_each(
        lambda: request_restore(scene.cast.test, scene.by, backup, False), "now", "then", ("half staged", *SWITCHING)
    )
    assert tried == ["half staged", "_rename", "_rename", "rename to data"]


def test_a_restore_that_is_taken_back(scene: ServerScene) -> None:
    backup = scene.backed_up(SICK)
    tried = scene.kill_at_each(
        lambda: request_restore(scene.cast.test, scene.by, backup, False), "now", SICK, SWITCHING, since="start"
    )
    assert tried == ["_rename", "_rename", "rename to data"]
