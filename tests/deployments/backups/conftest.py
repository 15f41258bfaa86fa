"""What tests of killed workers share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments.node import LocalNode

pytest.register_assert_rewrite("tests.deployments.backups.killing")
from tests.deployments.backups.killing import Scene, scene_on  # noqa: E402


@pytest.fixture
def scene(transactional_db: None, node: LocalNode, tmp_path: Path) -> Iterator[Scene]:
    """An app that runs on Test with data of its own, and workers that may be killed."""
    with scene_on(node, tmp_path) as scene:
        yield scene
