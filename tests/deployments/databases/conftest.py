"""A PostgreSQL server for environments, and a node whose environments have their databases on it."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.runtimes.databases import Databases
from tests.deployments.node import LocalNode, free_port, running_node
from tests.postgres import server_of_environments

# They have run on SQLite: it makes no difference to them which database the portal itself has
collect_ignore_glob = ["test_*.py"] if "JOURNEYS_DATABASE_URL" in os.environ else []


@pytest.fixture(scope="session")
def server_and_log() -> Iterator[tuple[str, Path]]:
    with server_of_environments(free_port()) as both:
        yield both


@pytest.fixture(scope="session")
def server(server_and_log: tuple[str, Path]) -> str:
    return server_and_log[0]


@pytest.fixture(scope="module")
def node_with_server(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    with running_node(tmp_path_factory.mktemp("var"), database_url=server) as node:
        yield node


@pytest.fixture
def node(node_with_server: LocalNode) -> Iterator[LocalNode]:
    yield node_with_server
    node_with_server.stop_all()
    for environment in node_with_server.runtime.environments():
        node_with_server.runtime.forget(environment)


@pytest.fixture
def databases(node: LocalNode) -> Databases:
    return node.runtime.databases


def names_on(server: str) -> set[str]:
    """List the databases and roles of environments that the server has."""
    with psycopg.connect(server) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'environment%' "
            "UNION SELECT rolname FROM pg_roles WHERE rolname LIKE 'environment%'"
        )
        return {row[0] for row in rows}
