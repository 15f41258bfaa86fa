"""The portal's own backup has the databases that are on a server, and a fresh machine with a fresh server gets them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from deployments.runtimes.base import DatabaseKind
from deployments.runtimes.databases import Databases
from portal.management.safekeeping import data
from tests.deployments.databases.conftest import names_on
from tests.deployments.databases.test_databases import note, notes
from tests.deployments.node import LocalNode


class Folder:
    """Takes in what a backup is made of, as it is found unpacked later."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def add(self, name: str, file: Any, size: int) -> None:
        target = self.top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            shutil.copyfileobj(file, out)
        assert target.stat().st_size == size


@pytest.fixture(autouse=True)
def _this_node(settings: Any, monkeypatch: pytest.MonkeyPatch, node: LocalNode) -> None:
    settings.VAR = node.var
    monkeypatch.setattr(data, "get_runtime", lambda: node.runtime)


def test_databases_of_both_kinds_come_back_on_a_fresh_machine(
    node: LocalNode, server: str, databases: Databases, tmp_path: Path
) -> None:
    import sqlite3

    runtime = node.runtime
    note(server, databases.make(1), "on the server")
    for environment in (1, 2, 3):
        runtime._give_data(environment)
        (runtime.layout.data(environment) / "picture").write_bytes(b"picture")
    with sqlite3.connect(runtime.layout.own_database(2)) as own:
        own.execute("CREATE TABLE note AS SELECT 'in a file' AS text")
    own.close()
    runtime._give_data(2)

    unpacked = tmp_path / "unpacked"
    spool = tmp_path / "spool"
    spool.mkdir()
    assert data.save_all(Folder(unpacked), "", spool) == 3  # type: ignore[arg-type]
    assert (unpacked / "1" / "database.dump").read_bytes().startswith(b"PGDMP")
    assert (unpacked / "2" / "database.sqlite3").read_bytes().startswith(b"SQLite")
    for environment in (1, 2, 3):
        runtime.forget(environment)
    assert names_on(server) == set()

    numbers = data.stage_all(unpacked)
    data.swap_all(numbers)
    data.discard_all()
    found = databases.of(1)
    assert found
    assert notes(server, found) == ["on the server"]
    assert names_on(server) >= {found.name}
    kinds = [runtime.database(environment) for environment in numbers]
    assert kinds == [DatabaseKind.POSTGRESQL, DatabaseKind.SQLITE, DatabaseKind.POSTGRESQL]
    with sqlite3.connect(runtime.layout.own_database(2)) as own:
        assert own.execute("SELECT text FROM note").fetchall() == [("in a file",)]
    own.close()
    assert all((runtime.layout.data(environment) / "picture").exists() for environment in numbers)
