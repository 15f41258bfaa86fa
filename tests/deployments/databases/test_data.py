"""Data of an environment whose database is on a server: dumped while the app runs, restored aside, switched."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.runtimes.base import DatabaseKind, Instance, NoRoomLeft, Part, Room, RuntimeFailure
from deployments.runtimes.databases import Database, Databases
from deployments.runtimes.inside import server as inside
from tests.deployments.databases.conftest import names_on
from tests.deployments.databases.test_databases import note, notes, opened
from tests.deployments.node import LocalNode, own_processes_with

JOB = Instance(1, 7)


@pytest.fixture
def own(node: LocalNode, databases: Databases) -> Iterator[Database]:
    """The database of environment 1, which has files as well."""
    made = databases.make(1)
    data = node.runtime.layout.data(1)
    data.mkdir(parents=True)
    (data / "picture").write_bytes(b"picture")
    (data / "database.sqlite3").write_bytes(b"a file like any other here")
    node.runtime._give_data(1)
    yield made
    assert own_processes_with("deployments.runtimes.helping") == []


def taken(node: LocalNode, part: Part, staged: int = 0) -> bytes:
    with node.runtime.take(1, part, staged) as stream:
        return stream.read()


def names_in(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return set(files.getnames())


def files_of(**content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


def test_its_database_is_dumped_and_every_file_is_one(node: LocalNode, server: str, own: Database) -> None:
    note(server, own, "one")
    assert node.runtime.database(1) is DatabaseKind.POSTGRESQL
    assert taken(node, Part.DATABASE).startswith(b"PGDMP")
    assert names_in(taken(node, Part.FILES)) == {"picture", "database.sqlite3"}


def test_a_dump_is_of_one_moment(node: LocalNode, server: str, own: Database) -> None:
    with opened(server, own) as connection:
        connection.execute("CREATE TABLE pair (a int, b int)")
        connection.execute("INSERT INTO pair SELECT n, n FROM generate_series(1, 100000) n")
        stream = node.runtime.take(1, Part.DATABASE)
        begin = stream.read(5)
        connection.execute("UPDATE pair SET a = a + 1, b = b + 1")
        content = begin + stream.read()
        stream.close()
    node.runtime.stage(JOB, io.BytesIO(content))
    with opened_aside(server, own) as connection:
        row = connection.execute("SELECT count(*), count(*) FILTER (WHERE a = b) FROM pair").fetchone()
    assert row == (100_000, 100_000)


def test_it_is_restored_aside_switched_to_and_back(node: LocalNode, server: str, own: Database) -> None:
    note(server, own, "one")
    dump = taken(node, Part.DATABASE)
    note(server, own, "two")
    staged = node.runtime.stage(JOB, io.BytesIO(dump), onto=True)
    assert staged.database
    assert not staged.files
    assert notes(server, own) == ["one", "two"]
    node.runtime.swap(JOB)
    assert notes(server, own) == ["one"]
    assert (node.runtime.layout.data(1) / "picture").read_bytes() == b"picture"
    node.runtime.swap_back(JOB)
    assert notes(server, own) == ["one", "two"]
    node.runtime.discard(JOB)
    assert names_on(server) == {own.name}


def test_files_alone_leave_the_database_as_it_is_and_can_be_undone(node: LocalNode, server: str, own: Database) -> None:
    note(server, own, "one")
    node.runtime.stage(JOB, io.BytesIO(files_of(other=b"other")), onto=True)
    node.runtime.swap(JOB)
    assert notes(server, own) == ["one"]
    note(server, own, "two")
    node.runtime.swap_back(JOB)
    assert notes(server, own) == ["one"]
    assert (node.runtime.layout.data(1) / "picture").exists()


def test_what_lies_aside_is_dumped_like_what_is_in_place(node: LocalNode, server: str, own: Database) -> None:
    note(server, own, "one")
    node.runtime.stage(JOB, io.BytesIO(taken(node, Part.DATABASE)))
    note(server, own, "two")
    dump = taken(node, Part.DATABASE, JOB.number)
    node.runtime.discard(JOB)
    node.runtime.stage(JOB, io.BytesIO(dump))
    with opened_aside(server, own) as connection:
        assert connection.execute("SELECT text FROM note").fetchall() == [("one",)]


def test_a_dump_of_another_role_belongs_to_the_environments_own(
    node: LocalNode, server: str, databases: Databases, own: Database
) -> None:
    other = databases.make(2)
    note(server, other, "from elsewhere")
    with node.runtime.take(2, Part.DATABASE) as stream:
        dump = stream.read()
    node.runtime.stage(JOB, io.BytesIO(dump), onto=True)
    node.runtime.swap(JOB)
    assert notes(server, own) == ["from elsewhere"]


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (b"PGDMP" + bytes(600), "could not be restored"),
        (b"SQLite format 3\0" + bytes(600), "does not fit here"),
        (b"neither", "neither an archive"),
    ],
)
def test_what_is_no_dump_is_refused_in_words(
    node: LocalNode, server: str, own: Database, archive: bytes, said: str
) -> None:
    with pytest.raises(RuntimeFailure, match=said):
        node.runtime.stage(JOB, io.BytesIO(archive))
    assert names_on(server) == {own.name}
    assert node.runtime.aside() == []


def test_a_dump_that_was_cut_short_is_refused(node: LocalNode, server: str, own: Database) -> None:
    note(server, own, "x" * 100_000)
    dump = taken(node, Part.DATABASE)
    with pytest.raises(RuntimeFailure, match="could not be restored"):
        node.runtime.stage(JOB, io.BytesIO(dump[: len(dump) // 2]))
    assert names_on(server) == {own.name}


def test_a_dump_that_unpacks_to_more_than_there_is_room_for_is_stopped(
    node: LocalNode, server: str, own: Database
) -> None:
    with opened(server, own) as connection:
        connection.execute("CREATE TABLE bomb AS SELECT repeat('0', 1000) AS text FROM generate_series(1, 200000)")
        connection.execute("CREATE INDEX ON bomb (text)")
    dump = taken(node, Part.DATABASE)
    assert len(dump) < 5_000_000
    with pytest.raises(RuntimeFailure, match="unpacks to more than 16 MiB"):
        node.runtime.stage(JOB, io.BytesIO(dump), room=Room(most_bytes=16 * 1024**2))
    assert names_on(server) == {own.name}


def test_a_hostile_dump_gets_no_further_than_its_own_database(
    node: LocalNode, server: str, databases: Databases, own: Database
) -> None:
    """A dump holds statements; whoever restores it is asked to carry them out."""
    other = databases.make(2)
    note(server, other, "secret")
    dump = hostile_dump(server, own)
    with pytest.raises(RuntimeFailure, match="must be superuser"):
        node.runtime.stage(JOB, io.BytesIO(dump))
    assert notes(server, other) == ["secret"]


def hostile_dump(server: str, own: Database) -> bytes:
    """Make a dump in which a comment's statement is another one."""
    with opened(server, own) as connection:
        connection.execute("CREATE TABLE harmless (a int)")
        connection.execute("INSERT INTO harmless VALUES (1)")
        connection.execute("COMMENT ON TABLE harmless IS 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'")
    dumped = subprocess.run(
        [inside.program("pg_dump"), "-Fc", "-Z0", "--dbname", _url(server, own)], capture_output=True, check=True
    )
    said = b"COMMENT ON TABLE public.harmless IS 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx';\n"
    assert said in dumped.stdout
    instead = b"ALTER ROLE keeper SUPERUSER;"
    with opened(server, own) as connection:
        connection.execute("DROP TABLE harmless")
    return dumped.stdout.replace(said, instead.ljust(len(said) - 1) + b"\n")


def _url(server: str, own: Database) -> str:
    return psycopg.conninfo.make_conninfo(server, user=own.role, password=own.password, dbname=own.name)


def opened_aside(server: str, own: Database) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(server, user=own.role, password=own.password, dbname=f"{own.name}_staged_{JOB.number}")


def test_a_switch_without_the_server_can_be_undone_later(
    node: LocalNode, server: str, databases: Databases, own: Database
) -> None:
    note(server, own, "one")
    node.runtime.stage(JOB, io.BytesIO(taken(node, Part.DATABASE)), onto=True)
    note(server, own, "two")
    databases._url = "postgresql://keeper@127.0.0.1:1/postgres"
    try:
        with pytest.raises(RuntimeFailure, match="does not answer"):
            node.runtime.swap(JOB)
        with pytest.raises(RuntimeFailure, match="being put back"):
            node.serve(1)
        with pytest.raises(RuntimeFailure, match="does not answer"):
            node.runtime.swap_back(JOB)
    finally:
        databases._url = server
    node.runtime.swap_back(JOB)
    assert notes(server, own) == ["one", "two"]
    assert (node.runtime.layout.data(1) / "picture").exists()


def test_what_works_on_the_data_reaches_nothing_but_the_database(
    node: LocalNode, own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SECURITY: a dump that broke pg_restore would find itself in a network where only its own database is."""
    look = 'exec 2>&1; cat /proc/net/tcp /proc/net/dev; bash -c "echo > /dev/tcp/10.0.2.2/80" ; sleep 60'
    monkeypatch.setattr("deployments.runtimes.data.program", lambda *_: look)
    with node.runtime.take(1, Part.DATABASE) as stream:
        text = ""
        while "unreachable" not in text:
            text += os.read(stream._helper.pipe, 4096).decode()  # type: ignore[attr-defined]
    assert "0100007F:1538" in text
    assert "tap0" not in text
    assert "eth0" not in text


def test_a_server_that_is_full_is_no_fault_of_the_dump(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, databases: Databases
) -> None:
    """A backup is good then, though it was not restored aside."""
    full = tmp_path / "pg_restore"
    words = 'could not extend file "base/5/2": No space left on device'
    full.write_text(f"#!/bin/sh\ncat > /dev/null\necho 'pg_restore: error: {words}' >&2\nexit 1\n")
    full.chmod(0o755)
    monkeypatch.setattr(inside, "program", lambda name: str(full))
    monkeypatch.setenv("PGDATABASE", "any")
    with pytest.raises(OSError, match="No space left"):
        inside.restore(io.BytesIO(b"PGDMP"))
    with pytest.raises(NoRoomLeft, match="not enough room on the PostgreSQL server"), databases._connected():
        raise psycopg.errors.DiskFull(words)
