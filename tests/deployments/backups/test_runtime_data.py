"""An environment's data read, unpacked aside and switched, by real processes in real sandboxes."""

import gzip
import io
import json
import os
import socket
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from deployments.runtimes import files, helping
from deployments.runtimes.base import Instance, Part, Room, RuntimeFailure, Spec
from deployments.runtimes.data import Data
from tests.deployments.node import HOST, LocalNode, own_processes_with

JOB = Instance(7, 12)
EMPTY_TAR = bytes(1024)
COUNTERS = 100  # bytes; SQLite counts in a database's header how often it was changed, and a copy is a change


@pytest.fixture
def data(node: LocalNode) -> Iterator[Path]:
    """The data folder of the environment 7, as an app there would find it, with nothing aside."""
    folder = node.runtime.layout.data(7)
    files.remove_tree(folder.parent)
    node.runtime.layout.make()
    node.runtime._give_data(7)
    yield folder
    assert own_processes_with("deployments.runtimes.helping") == []
    assert list(node.runtime.layout.commands.iterdir()) == []
    assert list(folder.parent.glob("scratch")) == []


def own(node: LocalNode, folder: Path) -> None:
    """Give all that a test wrote to the environment's user."""
    user = node.runtime._user(7)
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)


def read(stream: BinaryIO) -> bytes:
    with stream:
        return b"".join(iter(lambda: stream.read(65536), b""))


def bundle(database: bytes | None, archive: bytes | None, **wrong: str) -> io.BytesIO:
    parts = {"database.sqlite3": database, "files.tar": archive}
    there = {name: content for name, content in parts.items() if content is not None}
    sums = {name: sha256(content).hexdigest() for name, content in there.items()} | wrong
    manifest = json.dumps({"made-by": "developer-portal", "parts": sums}).encode()
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in {"backup.json": manifest, **there}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    target.seek(0)
    return target


def make_database(path: Path, rows: int = 1, wal: bool = False) -> None:
    with sqlite3.connect(path) as database:
        if wal:
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE lines (text TEXT)")
        database.executemany("INSERT INTO lines VALUES (?)", [(f"line {row} {'x' * 200}",) for row in range(rows)])
    database.close()


def tree(folder: Path) -> dict[str, object]:
    """All that a folder holds: content, mode and target of links."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder", path.stat().st_mode & 0o777)
        else:
            found[name] = (
                sha256(path.read_bytes()).hexdigest(),
                path.stat().st_mode & 0o777,
                int(path.stat().st_mtime),
            )
    return found


def fill(folder: Path) -> None:
    make_database(folder / "database.sqlite3", 500)
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/é \n“x”").write_bytes(os.urandom(5000))
    (folder / "empty").mkdir()
    (folder / "run").write_text("#!/bin/sh")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("deep/er")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / ("n" * 200)).mkdir()
    (folder / ("n" * 200) / ("m" * 200)).write_text("long")
    Path(os.fsdecode(bytes(folder) + b"/not-utf8-\xff")).write_text("odd")
    with (folder / "sparse").open("wb") as file:
        file.truncate(30_000_000)
        file.seek(10_000_000)
        file.write(b"in the middle")
    os.utime(folder / "run", (1_000_000_000, 1_000_000_000))


def test_what_is_taken_and_unpacked_is_the_same_to_the_byte(node: LocalNode, data: Path) -> None:
    fill(data)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "socket"))
    os.mkfifo(data / "pipe")
    own(node, data)
    before = (data / "database.sqlite3").read_bytes()
    database, archive = (read(node.runtime.take(7, part)) for part in Part)
    assert database[COUNTERS:] == before[COUNTERS:]
    assert len(archive) < 1_000_000  # the holes are not written
    (data / "socket").unlink()
    (data / "pipe").unlink()
    expected = tree(data)
    found = node.runtime.stage(JOB, bundle(database, archive))
    assert (found.database, found.files) == (True, True)
    assert node.runtime.aside() == [JOB]
    assert tree(data.parent / "staged-12") | {"database.sqlite3": expected["database.sqlite3"]} == expected
    assert (data.parent / "staged-12/database.sqlite3").read_bytes() == database
    assert (data.parent / "staged-12/sparse").stat().st_blocks < 1000
    assert read(node.runtime.take(7, Part.FILES, staged=12)) == archive
    assert read(node.runtime.take(7, Part.DATABASE, staged=12))[COUNTERS:] == database[COUNTERS:]
    node.runtime.discard(JOB)
    assert node.runtime.aside() == []
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_gnu_tar_reads_what_is_taken(node: LocalNode, data: Path, tmp_path: Path) -> None:
    import subprocess

    fill(data)
    own(node, data)
    archive = read(node.runtime.take(7, Part.FILES))
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=archive, check=True)
    expected = tree(data)
    del expected["database.sqlite3"]
    assert tree(tmp_path) == expected


@pytest.mark.parametrize("wal", [True, False])
def test_the_database_is_that_of_one_moment_while_the_app_writes(node: LocalNode, data: Path, wal: bool) -> None:
    path = data / "database.sqlite3"
    make_database(path, 20_000, wal)
    with sqlite3.connect(path) as opened:
        opened.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    opened.close()
    own(node, data)
    ending = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with sqlite3.connect(path, timeout=30) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            while not ending.is_set():
                with connection:
                    connection.execute("INSERT INTO pairs VALUES (?, 0)", (written,))
                    connection.execute("UPDATE pairs SET b = a")
                written += 1
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        copies = [read(node.runtime.take(7, Part.DATABASE)) for _ in range(2)]
    finally:
        ending.set()
        thread.join()
    assert written
    for number, copy in enumerate(copies):
        target = data.parent / f"copy-{number}"
        target.write_bytes(copy)
        with sqlite3.connect(target) as found:
            assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert found.execute("SELECT count(*) FROM pairs WHERE a <> b").fetchone() == (0,)
        found.close()


def test_an_app_without_a_database_has_none(node: LocalNode, data: Path) -> None:
    assert read(node.runtime.take(7, Part.DATABASE)) == b""
    assert read(node.runtime.take(7, Part.FILES)) == EMPTY_TAR
    found = node.runtime.stage(JOB, bundle(None, EMPTY_TAR))
    assert (found.database, found.files, found.count) == (False, True, 0)
    node.runtime.discard(JOB)


def test_the_portal_reads_nothing_through_a_link(node: LocalNode, data: Path) -> None:
    secret = node.var / "secret"
    secret.write_text("not for apps")
    (data / "database.sqlite3").symlink_to(secret)
    (data / "leak").symlink_to(secret)
    (data / "up").symlink_to(node.var)
    with pytest.raises(RuntimeFailure, match=r"database\.sqlite3 is no file"):
        read(node.runtime.take(7, Part.DATABASE))
    assert b"not for apps" not in read(node.runtime.take(7, Part.FILES))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SQLite format 3\0" + bytes(4096), "The database"),
        (b"no database at all", "The database can't be read: file is not a database"),
    ],
)
def test_a_database_that_is_none_is_said_to_be(node: LocalNode, data: Path, content: bytes, words: str) -> None:
    (data / "database.sqlite3").write_bytes(content)
    own(node, data)
    with pytest.raises(RuntimeFailure, match=words):
        node.runtime.stage(JOB, bundle(read(node.runtime.take(7, Part.DATABASE)), None))
    assert node.runtime.aside() == []


def test_a_file_that_its_own_mode_shuts_is_named(node: LocalNode, data: Path) -> None:
    (data / "shut").write_text("x")
    (data / "shut").chmod(0)
    own(node, data)
    with pytest.raises(RuntimeFailure, match="shut can't be read: its own mode forbids it"):
        read(node.runtime.take(7, Part.FILES))


def test_a_reader_that_gives_up_leaves_nothing_running(node: LocalNode, data: Path) -> None:
    (data / "large").write_bytes(os.urandom(20_000_000))
    own(node, data)
    stream = node.runtime.take(7, Part.FILES)
    stream.read(1000)
    stream.close()
    assert own_processes_with("deployments.runtimes.helping") == []


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"", extra: dict[str, str] | None = None
) -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size, info.pax_headers = kind, link, len(content), extra or {}
        tar.addfile(info, io.BytesIO(content))
    target.seek(0)
    return target


HOSTILE = {
    "up": (entry("../x", content=b"x"), "leads out of its folder"),
    "absolute": (entry("/x", content=b"x"), "has an absolute path"),
    "device": (entry("x", tarfile.CHRTYPE), "is a device"),
    "pipe": (entry("x", tarfile.FIFOTYPE), "is a named pipe"),
    "hard link": (entry("x", tarfile.LNKTYPE, "/etc/passwd"), "is a hard link"),
    "junk": (io.BytesIO(b"junk" * 1000), "neither an archive"),
    "nothing": (io.BytesIO(), "neither an archive"),
    "cut": (io.BytesIO(entry("x", content=bytes(5000)).read()[:2000]), "cut short"),
    "gzip cut": (io.BytesIO(gzip.compress(entry("x", content=os.urandom(5000)).read())[:2000]), "cut short"),
    "gzip of junk": (io.BytesIO(gzip.compress(b"junk" * 1000)), "neither an archive"),
    "wrong sum": (bundle(None, EMPTY_TAR, **{"files.tar": "0" * 64}), "checksum is wrong"),
    "lacks a part": (bundle(None, EMPTY_TAR, **{"database.sqlite3": "0" * 64}), "cut short"),
    "bad database": (io.BytesIO(b"SQLite format 3\0" + os.urandom(9000)), "The database"),
    "gzip in gzip": (io.BytesIO(gzip.compress(gzip.compress(EMPTY_TAR))), "neither an archive"),
    "time that is none": (entry("x", extra={"mtime": "nan"}), "damaged"),
    "time without an end": (entry("x", extra={"mtime": "inf"}), "damaged"),
    "holes without a map": (entry("x", extra={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "damaged"),
    "long name": (entry("x" * 300), "xxx” has a name that is too long"),
    "huge header": (io.BytesIO(entry("x", tarfile.XHDTYPE).read()[:124] + b"77777777777\0"), "The archive|neither"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused_and_leaves_nothing(node: LocalNode, data: Path, name: str) -> None:
    archive, words = HOSTILE[name]
    archive.seek(0)
    (data / "kept").write_text("x")
    with pytest.raises(RuntimeFailure, match=words):
        node.runtime.stage(JOB, archive)
    assert node.runtime.aside() == []
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_file_that_says_what_an_archive_of_the_portal_says_is_restored_as_any_other(
    node: LocalNode, data: Path
) -> None:
    manifest = b'{"made-by": "developer-portal", "parts": {}}'
    (data / "backup.json").write_bytes(manifest)
    own(node, data)
    node.runtime.stage(JOB, bundle(None, read(node.runtime.take(JOB.environment, Part.FILES))))
    assert (data.parent / f"staged-{JOB.number}/backup.json").read_bytes() == manifest
    node.runtime.discard(JOB)


def test_nothing_is_written_through_a_link(node: LocalNode, data: Path) -> None:
    outside = node.var / "outside"
    outside.mkdir(exist_ok=True)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        link = tarfile.TarInfo("x")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        info = tarfile.TarInfo("x/planted")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    target.seek(0)
    with pytest.raises(RuntimeFailure, match="twice"):
        node.runtime.stage(JOB, target)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(most_bytes=4_000_000), "unpacks to more than 3 MiB"),
        (Room(most_entries=1), "more than 1 files"),
        (Room(reserve=2**62), "not enough room"),
    ],
)
def test_what_is_more_than_there_is_room_for_is_refused(node: LocalNode, data: Path, room: Room, words: str) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as tar:
        for name in "ab":
            info = tarfile.TarInfo(name)
            info.size = 20_000_000
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    target.seek(0)
    with pytest.raises(RuntimeFailure, match=words):
        node.runtime.stage(JOB, target, room=room)
    assert node.runtime.aside() == []


def test_what_an_archive_lacks_comes_from_the_data_as_they_are(node: LocalNode, data: Path) -> None:
    fill(data)
    own(node, data)
    expected = tree(data)
    other = data.parent / "other.sqlite3"
    make_database(other, 3)
    found = node.runtime.stage(JOB, io.BytesIO(other.read_bytes()), onto=True)
    assert (found.database, found.files) == (True, False)
    staged = data.parent / "staged-12"
    assert (staged / "database.sqlite3").read_bytes() == other.read_bytes()
    assert tree(staged) | {"database.sqlite3": expected["database.sqlite3"]} == expected
    found = node.runtime.stage(JOB, entry("new", content=b"x"), onto=True)
    assert (found.database, found.files) == (False, True)
    assert sorted(path.name for path in staged.iterdir()) == ["database.sqlite3", "new"]
    assert (staged / "database.sqlite3").read_bytes() == (data / "database.sqlite3").read_bytes()
    node.runtime.discard(JOB)


def test_data_are_switched_and_switched_back(node: LocalNode, data: Path) -> None:
    (data / "now").write_text("x")
    own(node, data)
    with pytest.raises(RuntimeFailure, match="no data aside"):
        node.runtime.swap(JOB)
    node.runtime.stage(JOB, entry("then", content=b"x"))
    node.runtime.swap(JOB)
    assert [path.name for path in data.iterdir()] == ["then"]
    node.runtime.swap_back(JOB)
    node.runtime.swap_back(JOB)
    assert [path.name for path in data.iterdir()] == ["now"]
    node.runtime.swap(JOB)
    node.runtime.discard(JOB)
    assert [path.name for path in data.parent.iterdir()] == ["data"]
    node.runtime.swap_back(JOB)
    assert [path.name for path in data.iterdir()] == ["then"]


def test_nothing_is_switched_under_an_app_and_half_a_switch_starts_nothing(node: LocalNode, data: Path) -> None:
    (data / "now").write_text("x")
    own(node, data)
    node.runtime.stage(JOB, entry("then", content=b"x"))
    release = node.release({"app.py": ""})
    instance = node.start(release, "sleep 600", environment=7)
    with pytest.raises(RuntimeFailure, match="still runs"):
        node.runtime.swap(JOB)
    node.runtime.stop(instance, 0.5)
    data.rename(data.parent / "before-12")  # killed between the two renames
    with pytest.raises(RuntimeFailure, match="being put back"):
        node.runtime.start(Spec(Instance(7, 99), release, "sleep 600", {}, HOST))
    assert node.runtime.aside() == [JOB]
    node.runtime.swap_back(JOB)
    node.runtime.discard(JOB)
    assert [path.name for path in data.iterdir()] == ["now"]


def test_a_host_that_can_make_no_sandbox_does_the_same(node: LocalNode, data: Path) -> None:
    fill(data)
    described: dict[str, Any] = {"user": None, "sandboxed": False, "hidden": []}
    openly = Data(node.runtime.layout, node.runtime.databases, node.runtime._lock, described, 7)
    database, archive = (read(openly.take(part, 0)) for part in Part)
    expected = tree(data)
    openly.stage(12, bundle(database, archive), onto=False, room=Room())
    assert tree(data.parent / "staged-12") | {"database.sqlite3": expected["database.sqlite3"]} == expected
    openly.stage(12, entry("new", content=b"x"), onto=True, room=Room())
    assert sorted(path.name for path in (data.parent / "staged-12").iterdir()) == ["database.sqlite3", "new"]
    openly.discard(12)


def test_the_scripts_come_from_files_that_the_sandbox_need_not_see() -> None:
    text = helping.program("files", {})
    assert "def copy_database" in text
    assert len(text) < 100_000
