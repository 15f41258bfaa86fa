"""What tests of real processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments.node import LocalNode, running_node


@pytest.fixture(scope="module")
def module_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    with running_node(tmp_path_factory.mktemp("var")) as node:
        yield node


@pytest.fixture
def node(module_node: LocalNode) -> Iterator[LocalNode]:
    """A running node on which nothing runs; supervisord and the router are shared by a module's tests."""
    yield module_node
    module_node.stop_all()


@pytest.fixture
def shared_node(tmp_path: Path) -> Iterator[LocalNode]:
    """A node on a host that can give apps no network of their own."""
    with running_node(tmp_path / "var", shared_network=True) as node:
        yield node


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[LocalNode]:
    """A node for a test that breaks it."""
    with running_node(tmp_path / "var") as node:
        yield node
