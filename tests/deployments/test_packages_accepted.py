"""What real programs write is accepted, and unpacks to exactly what was packed."""

import os
import resource
import shutil
import struct
import subprocess
import zipfile
import zlib
from io import BytesIO, RawIOBase
from pathlib import Path

import pytest

from deployments.packages import DEFAULT, Limits, PackageRefused, build_archive, digest, inspect, unpack
from tests.deployments.zips import DESCRIPTOR, FOLDER, PROCFILE, Item, archive, package

SOURCES = Path(__file__).parent.parent / "packages"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "static/deep").mkdir(parents=True)
    (folder / "Procfile").write_bytes(b"web: ./run.sh\n")
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").write_bytes(b"")
    (folder / "static/größe.txt").write_bytes(b"x" * 300_000)
    (folder / "static/deep/random").write_bytes(os.urandom(600_000))
    return folder


def test_it_unpacks_exactly_what_was_packed(sources: Path, tmp_path: Path) -> None:
    build_archive(sources, tmp_path / "a.zip")
    with (tmp_path / "a.zip").open("rb") as file:
        manifest = inspect(file)
        unpack(file, tmp_path / "release")
    assert tree(tmp_path / "release") == tree(sources)
    assert manifest.web == "./run.sh"
    assert manifest.files == 5
    assert manifest.unpacked_bytes == sum(len(content) for content in tree(sources).values())


def test_it_sets_plain_modes_whatever_the_umask(sources: Path, tmp_path: Path) -> None:
    (sources / "empty").chmod(0o600)
    build_archive(sources, tmp_path / "a.zip")
    before = os.umask(0o077)
    try:
        with (tmp_path / "a.zip").open("rb") as file:
            unpack(file, tmp_path / "release")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "release").rglob("*")}
    assert modes == {
        "Procfile": 0o644, "run.sh": 0o755, "empty": 0o644, "größe.txt": 0o644, "random": 0o644,
        "static": 0o755, "deep": 0o755,
    }  # fmt: skip
    assert (tmp_path / "release").stat().st_mode & 0o7777 == 0o755


def test_it_makes_folders_that_are_empty(tmp_path: Path) -> None:
    unpack(package(Item("a/", mode=FOLDER), Item("b/c/", mode=FOLDER, packed=b"\3\0")), tmp_path / "release")
    assert (tmp_path / "release/a").is_dir()
    assert (tmp_path / "release/b/c").is_dir()


def test_it_builds_the_same_bytes_each_time(sources: Path, tmp_path: Path) -> None:
    build_archive(sources, tmp_path / "a.zip")
    for path in sources.rglob("*"):
        os.utime(path, (1, 1))
    (sources / "static/__pycache__").mkdir()
    (sources / "static/__pycache__/x.pyc").write_bytes(b"cache")
    build_archive(sources, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_it_builds_no_archive_from_links(sources: Path, tmp_path: Path) -> None:
    (sources / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        build_archive(sources, tmp_path / "a.zip")


def test_it_takes_the_sha_256_of_the_whole_file() -> None:
    assert digest(BytesIO(b"abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class Pipe(RawIOBase):
    """A place to write that can't go back, as when an archive is sent while it is made."""

    def __init__(self) -> None:
        self.written = BytesIO()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self.written.write(data)  # type: ignore[arg-type]


def test_it_accepts_archives_of_python(tmp_path: Path, sources: Path) -> None:
    with Path(shutil.make_archive(str(tmp_path / "a"), "zip", sources)).open("rb") as file:
        assert inspect(file).files == 5
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as streamed:
        streamed.writestr("Procfile", "web: x")
        with streamed.open("big", "w", force_zip64=True) as big:
            big.write(b"x" * 100_000)
    assert inspect(pipe.written).unpacked_bytes == 100_006


def test_it_accepts_archives_of_git(sources: Path, tmp_path: Path) -> None:
    git = ["git", "-C", str(sources), "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "core.quotePath=off"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    made = subprocess.run([*git, "archive", "--format=zip", "HEAD"], check=True, capture_output=True).stdout
    shutil.rmtree(sources / ".git")
    unpack(BytesIO(made), tmp_path / "release")
    assert tree(tmp_path / "release") == tree(sources)
    assert os.access(tmp_path / "release/run.sh", os.X_OK)


@pytest.mark.parametrize("sizes", ["<LLL", "<LQQ"])
@pytest.mark.parametrize("signature", [b"PK\7\x08", b""])
@pytest.mark.parametrize("method", [0, 8])
def test_it_accepts_sizes_behind_the_content(sizes: str, signature: bytes, method: int) -> None:
    item = Item("a", b"text" * 9, method=method, flags=DESCRIPTOR, local={"crc": 0, "packed": 0, "size": 0})
    item.behind = signature + struct.pack(sizes, zlib.crc32(item.content), len(item.packed_content()), 36)
    assert inspect(package(item, Item("b"))).files == 3


def test_it_accepts_zip64_where_it_is_right() -> None:
    extra = struct.pack("<HHQQ", 1, 16, 4, 6)
    large = {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": extra, "version": 45}
    item = Item("a", b"text", local=large, central=large)
    assert len(item.packed_content()) == 6
    assert inspect(package(item, zip64=True)).unpacked_bytes == len(PROCFILE.content) + 4


def test_it_accepts_more_entries_than_the_small_record_can_count() -> None:
    many = BytesIO()
    with zipfile.ZipFile(many, "w") as target:
        target.writestr("Procfile", "web: x")
        for number in range(66_000):
            target.writestr(f"{number}", b"")
    assert inspect(many, Limits(max_entries=70_000)).files == 66_001
    with pytest.raises(PackageRefused, match="more than 50,000"):
        inspect(many)


def test_it_accepts_comments_and_entries_in_any_order() -> None:
    assert inspect(package(Item("a", central={"comment": b"hello"}), comment=b"made by hand")).files == 2
    second, first = package(Item("a", b"1")), package(Item("a", b"1")).getvalue()
    assert inspect(second).files == 2
    at = first.index(b"PK\1\2")
    one, two = first[at : at + 46 + 8], first[at + 54 : -22]
    assert inspect(BytesIO(first[:at] + two + one + first[-22:])).files == 2


def test_it_accepts_small_files_that_shrink_a_lot() -> None:
    assert inspect(package(Item("a", b"\0" * 9_000_000))).files == 2


def test_it_leaves_a_folder_that_is_not_empty_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        unpack(package(), tmp_path)
    assert tree(tmp_path) == {"mine": b"mine"}


@pytest.mark.parametrize("made_before", [True, False])
def test_it_leaves_nothing_behind_when_the_last_entry_is_damaged(tmp_path: Path, made_before: bool) -> None:
    into = tmp_path / "release"
    if made_before:
        into.mkdir()
    wrong = {"crc": 1}
    damaged = package(Item("a/b/c", b"1" * 999), Item("d/", mode=FOLDER), Item("z", b"2", local=wrong, central=wrong))
    with pytest.raises(PackageRefused, match="checksum"):
        unpack(damaged, into)
    assert list(tmp_path.rglob("*")) == ([into] if made_before else [])


def test_it_leaves_nothing_behind_when_the_disk_is_full(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            unpack(package(Item("a", b"1"), Item("b/c", b"x" * 200_000)), tmp_path / "release")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_it_checks_again_while_it_unpacks(tmp_path: Path) -> None:
    with pytest.raises(PackageRefused, match="leads out"):
        unpack(archive(Item("../evil", b"x")), tmp_path / "release")
    with pytest.raises(PackageRefused, match="more than 10 bytes"):
        unpack(package(Item("a", b"x" * 11)), tmp_path / "release", Limits(max_unpacked_bytes=10))
    assert list(tmp_path.iterdir()) == []


class Planting(BytesIO):
    """An archive that, when its second entry is read, has somebody put a link where the next file goes."""

    def __init__(self, content: bytes, at: int, release: Path, target: Path) -> None:
        super().__init__(content)
        self.at, self.release, self.target = at, release, target

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() == self.at and self.release.is_dir():
            (self.release / "static").symlink_to(self.target, target_is_directory=True)
            (self.release / "file").symlink_to(self.target / "written")
        return super().read(size)


@pytest.mark.parametrize("name", ["static/x", "file"])
def test_it_follows_no_link_that_appears_meanwhile(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    first = archive(PROCFILE).getvalue()
    content_of_procfile = first.index(b"PK\1\2") - len(PROCFILE.packed_content())
    whole = package(Item(name, b"evil")).getvalue()
    with pytest.raises(OSError, match=r"exists|Not a directory|symbolic links"):
        unpack(Planting(whole, content_of_procfile, tmp_path / "release", outside), tmp_path / "release")
    assert tree(outside) == {"kept": b"kept"}
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize(
    "source", ["calc/1.0.0", "calc/1.1.0", "crashes", "never_healthy", "ignores_term", "slow_start"]
)
def test_it_accepts_the_apps_that_come_with_the_tests(source: str, tmp_path: Path) -> None:
    build_archive(SOURCES / source, tmp_path / "a.zip")
    with (tmp_path / "a.zip").open("rb") as file:
        manifest = inspect(file, DEFAULT)
    assert manifest.web == "python3 app.py"
    assert manifest.health_path == "/healthz"
