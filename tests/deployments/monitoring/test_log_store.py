"""An environment's log in files: written line by line, read from any place, a day after the other archived."""

import gzip
import os
import re
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.runtimes import lines
from deployments.runtimes.days import Days, keep_all
from deployments.runtimes.lines import Lines

NOON = datetime(2026, 5, 3, 12, 0, 0, 250_000, tzinfo=UTC)
LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\d+) (.*)")
MOST = 64 * 1024
GIB = 1024**3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "days" / "7"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SIZE", 1000)


def wrote(folder: Path, text: bytes, at: datetime = NOON, instance: int = 17) -> None:
    with time_machine.travel(at, tick=False):
        writer = Lines(folder, instance)
        writer.take(text)
        writer.flush()


def said(text: bytes) -> list[bytes]:
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(found)
    return [match[2] for match in found if match]


def backwards(log: Days, most: int) -> Iterator[bytes]:
    cursor, more = "", True
    while more:
        part = log.before(cursor, most)
        yield part.text
        cursor, more = part.begin, part.more


def forwards(log: Days, most: int) -> Iterator[bytes]:
    cursor, more = "", True
    while more:
        part = log.after(cursor, most)
        yield part.text
        cursor, more = part.end, part.more


def test_a_line_has_its_time_in_utc_and_its_instance(folder: Path) -> None:
    wrote(folder, b"one\n\ntwo\n")
    assert (folder / "2026-05-03.1.log").read_bytes() == (
        b"2026-05-03T12:00:00.250Z 17 one\n2026-05-03T12:00:00.250Z 17 \n2026-05-03T12:00:00.250Z 17 two\n"
    )


def test_it_survives_restarts_and_new_versions(folder: Path) -> None:
    wrote(folder, b"first\n", instance=17)
    wrote(folder, b"second\n", instance=18)
    found = [LINE.fullmatch(line) for line in Days(folder).before("", MOST).text.splitlines()]
    assert [match.groups() for match in found if match] == [(b"17", b"first"), (b"18", b"second")]


def test_what_is_begun_is_written_when_it_ends_or_nothing_more_comes(folder: Path) -> None:
    log = Days(folder)
    with time_machine.travel(NOON, tick=False) as clock:
        writer = Lines(folder, 1)
        writer.take(b"half a ")
        writer.take(b"")
        assert log.before("", MOST).text == b""
        writer.take(b"line\nPassword: ")
        assert said(log.before("", MOST).text) == [b"half a line"]
        clock.shift(lines.PATIENCE + 1)
        writer._begun_at -= lines.PATIENCE + 1
        writer.take(b"")
        writer.take(b"end")
        writer.flush()
    assert said(log.before("", MOST).text) == [b"half a line", b"Password: ", b"end"]


def test_each_utc_day_has_a_file_of_its_own(folder: Path) -> None:
    with time_machine.travel("2026-05-03T23:59:59.999Z", tick=False) as clock:
        writer = Lines(folder, 1)
        writer.take(b"before\n")
        clock.shift(0.002)
        writer.take(b"after\n")
    assert sorted(path.name for path in folder.iterdir()) == ["2026-05-03.1.log", "2026-05-04.1.log"]
    assert said(b"".join(forwards(Days(folder), MOST))) == [b"before", b"after"]


def test_several_instances_write_whole_lines_between_each_other(folder: Path, small_pieces: None) -> None:
    def write(instance: int) -> None:
        writer = Lines(folder, instance)
        for number in range(200):
            writer.take(f"{instance}: {number}\n".encode())

    threads = [threading.Thread(target=write, args=(instance,)) for instance in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One that just begins may see a line of another one half written, and begins a new one then
    found = said(b"".join(path.read_bytes() for path in folder.iterdir()).replace(b"\n\n", b"\n"))
    for instance in (1, 2, 3):
        assert [line for line in found if line.startswith(f"{instance}:".encode())] != []
    assert len(found) == 600


def test_it_writes_to_a_new_file_where_its_own_was_removed(folder: Path) -> None:
    with time_machine.travel(NOON, tick=False):
        writer = Lines(folder, 1)
        writer.take(b"one\n")
        (folder / "2026-05-03.1.log").unlink()
        writer.take(b"two\n")
    assert said(Days(folder).before("", MOST).text) == [b"two"]


def test_a_full_disk_costs_lines_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(file: int, text: bytes) -> int:
        if b"two" in text:
            real(file, text[:10])
            raise OSError(28, "No space left on device")
        return real(file, text)

    monkeypatch.setattr(os, "write", full)
    writer = Lines(folder, 1)
    for text in (b"one\n", b"two\n", b"three\n"):
        writer.take(text)
    found = Days(folder).before("", MOST).text.splitlines()
    assert [line.split(b" ", 2)[2] for line in found if LINE.fullmatch(line)] == [b"one", b"three"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.integers(400, 3000))
def test_read_from_either_end_no_line_is_lost_or_seen_twice(
    tmp_path_factory: pytest.TempPathFactory, small_pieces: None, lengths: list[int], most: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    wanted = [f"{number} ".encode() + b"x" * length for number, length in enumerate(lengths)]
    for number, line in enumerate(wanted):
        wrote(folder, line + b"\n", NOON.replace(day=3 + number // 20))
    log = Days(folder)
    assert said(b"".join(forwards(log, most))) == wanted
    assert said(b"".join([*backwards(log, most)][::-1])) == wanted


def test_reading_goes_on_where_it_stopped(folder: Path) -> None:
    log = Days(folder)
    wrote(folder, b"one\n")
    cursor = log.before("", MOST).end
    assert log.after(cursor, MOST).text == b""
    wrote(folder, b"two\n")
    assert log.left(cursor) == len(b"2026-05-03T12:00:00.250Z 17 two\n")
    wrote(folder, b"three\n", NOON.replace(day=4))
    part = log.after(cursor, MOST)
    assert (said(part.text), part.more) == ([b"two"], True)
    part = log.after(part.end, MOST)
    assert (said(part.text), part.more) == ([b"three"], False)


@pytest.mark.parametrize(
    "cursor",
    ["../../etc/passwd", "2026-05-03.1.999999", "2026-05-03.99.0", "2026-05-03.1.-1", "1999-01-01.1.0", "٢.1.1", "\0"],
)
def test_a_cursor_from_elsewhere_leads_to_nothing_else(folder: Path, cursor: str) -> None:
    wrote(folder, b"one\n")
    log = Days(folder)
    for text in (log.before(cursor, MOST).text, log.after(cursor, MOST).text):
        assert said(text) in ([], [b"one"])
    assert log.left(cursor) <= len(log.before("", MOST).text)


def test_nothing_was_written_yet(folder: Path) -> None:
    log = Days(folder)
    assert (log.before("", MOST).text, log.after("", MOST).text, log.listed(), log.left("x")) == (b"", b"", [], 0)
    log.keep(1, 1)
    with pytest.raises(FileNotFoundError):
        log.open(date(2026, 5, 3))


def test_what_a_crash_of_the_host_left_is_passed_over(folder: Path) -> None:
    """A file system may leave zeros at the end of a file that was just written."""
    wrote(folder, b"one\n")
    path = folder / "2026-05-03.1.log"
    with path.open("ab") as file:
        file.write(bytes(10 * 5000))
    wrote(folder, b"two\n")
    for parts in (forwards(Days(folder), 5000), [*backwards(Days(folder), 5000)][::-1]):
        found = b"".join(parts).splitlines()
        assert [LINE.sub(rb"\2", line) for line in found if line.strip(b"\0")] == [b"one", b"two"]


def test_ten_gigabytes_are_opened_as_fast_as_ten_kilobytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote(folder, b"last\n" * 3000)
    path = folder / "2026-05-03.1.log"
    end = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(0)
        file.seek(10 * GIB)
        file.write(b"\n" + end)
    read: list[int] = []
    real = os.pread

    def counted(file: int, length: int, offset: int) -> bytes:
        text = real(file, length, offset)
        read.append(len(text))
        return text

    monkeypatch.setattr(os, "pread", counted)
    part = Days(folder).before("", MOST)
    assert said(part.text)[-1] == b"last"
    assert read == [MOST]
    part = Days(folder).after(part.begin, MOST)
    assert read == [MOST, len(part.text)]


@pytest.mark.parametrize("planted", ["2026-05-03.1.log", "2026-05-02.log.gz"])
def test_no_link_is_followed(folder: Path, tmp_path: Path, planted: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"2026-05-03T12:00:00.250Z 17 secret\n")
    folder.mkdir(parents=True)
    (folder / planted).symlink_to(secret)
    log = Days(folder)
    day = date.fromisoformat(planted[:10])
    with pytest.raises(OSError, match="symbolic links"):
        log.open(day)
    if planted.endswith(".1.log"):
        with pytest.raises(OSError, match="symbolic links"):
            log.before("", MOST)
    with pytest.raises(OSError, match="symbolic links"):
        Lines(folder, 1)._open("2026-05-03") if planted.endswith(".1.log") else log.open(day)


def test_neither_a_linked_folder_nor_anything_but_a_file_is_opened(folder: Path, tmp_path: Path) -> None:
    wrote(tmp_path / "elsewhere", b"secret\n")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        Days(folder).before("", MOST)
    folder.unlink()
    folder.mkdir()
    os.mkfifo(folder / "2026-05-03.1.log")
    with pytest.raises(OSError, match="is not a file"):
        Days(folder).open(date(2026, 5, 3))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unpacked(folder: Path, day: str) -> list[bytes]:
    with Days(folder).open(date.fromisoformat(day)) as file:
        return said(gzip.decompress(file.read()))


def test_a_day_that_is_over_is_archived_and_read_a_day_longer(folder: Path, small_pieces: None) -> None:
    wanted = [b"line %d" % number for number in range(60)]
    for line in wanted:
        wrote(folder, line + b"\n")
    log = Days(folder)
    log.keep(180, GIB, date(2026, 5, 3))
    assert names(folder) == ["2026-05-03.1.log", "2026-05-03.2.log", "2026-05-03.3.log"]
    log.keep(180, GIB, date(2026, 5, 4))
    assert unpacked(folder, "2026-05-03") == wanted
    assert [(day.day.isoformat(), day.packed) for day in log.listed()] == [("2026-05-03", True)]
    assert said(b"".join(forwards(log, MOST))) == wanted
    log.keep(180, GIB, date(2026, 5, 5))
    assert names(folder) == ["2026-05-03.log.gz"]
    assert unpacked(folder, "2026-05-03") == wanted
    log.keep(180, GIB, date(2026, 11, 1))
    assert names(folder) == []


def test_a_line_that_comes_late_gets_into_the_archive(folder: Path) -> None:
    wrote(folder, b"one\n")
    log = Days(folder)
    log.keep(180, GIB, date(2026, 5, 4))
    wrote(folder, b"late\n")
    log.keep(180, GIB, date(2026, 5, 5))
    assert unpacked(folder, "2026-05-03") == [b"one", b"late"]


@pytest.mark.parametrize("step", ["copyfileobj", "utime", "replace", "unlink"])
def test_killed_at_any_step_nothing_is_lost(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class Killed(BaseException):
        """As if the worker had been killed here."""

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    wrote(folder, b"one\ntwo\n")
    owner = {"copyfileobj": shutil, "utime": os, "replace": Path, "unlink": Path}[step]
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, killed)
        with pytest.raises(Killed):
            Days(folder).keep(180, GIB, date(2026, 5, 5))
    with Days(folder).open(date(2026, 5, 3)) as file:
        text = file.read()
    assert said(gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text) == [b"one", b"two"]
    Days(folder).keep(180, GIB, date(2026, 5, 5))
    assert names(folder) == ["2026-05-03.log.gz"]
    assert unpacked(folder, "2026-05-03") == [b"one", b"two"]


def test_a_log_that_is_too_large_loses_its_oldest(folder: Path, small_pieces: None) -> None:
    for day in (1, 2, 3):
        for number in range(60):
            wrote(folder, b"line %d of %d\n" % (number, day), NOON.replace(day=day))
    log = Days(folder)
    log.keep(180, 2500, date(2026, 5, 3))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2500
    kept = said(b"".join(forwards(log, MOST)))
    assert kept[-1] == b"line 59 of 3"
    assert all(b" of 3" in line for line in kept)
    log.keep(180, 0, date(2026, 5, 3))
    assert len(names(folder)) == 1
    wrote(folder, b"goes on\n")
    assert said(b"".join(forwards(log, MOST)))[-1] == b"goes on"


def test_a_log_that_cannot_be_kept_keeps_no_other_from_being_kept(tmp_path: Path) -> None:
    for number in ("1", "2"):
        folder = tmp_path / "days" / number
        folder.mkdir(parents=True)
        (folder / "2026-05-02.1.log").write_text("one\n")
    (tmp_path / "days/1/2026-05-02.1.log").unlink()
    (tmp_path / "days/1/2026-05-02.1.log").symlink_to("/etc/passwd")
    keep_all(tmp_path / "days", tmp_path, 9999, GIB)
    assert (tmp_path / "days/2/2026-05-02.log.gz").exists()
    assert not (tmp_path / "days/1/2026-05-02.log.gz").exists()


def test_only_one_worker_keeps_a_log_at_a_time(tmp_path: Path) -> None:
    from deployments.runtimes import files

    wrote(tmp_path / "days" / "7", b"one\n")
    (tmp_path / "days" / "stray").mkdir()
    held = files.hold(tmp_path / "log-7")
    assert held is not None
    keep_all(tmp_path / "days", tmp_path, 0, GIB)
    assert names(tmp_path / "days" / "7") == ["2026-05-03.1.log"]
    os.close(held)
    keep_all(tmp_path / "days", tmp_path, 9999, GIB)
    assert "2026-05-03.log.gz" in names(tmp_path / "days" / "7") or datetime.now(UTC).date() <= date(2026, 5, 3)


def test_a_download_of_a_log_that_grows_comes_to_an_end(folder: Path) -> None:
    wrote(folder, b"one\n")
    with Days(folder).open(date(2026, 5, 3)) as file:
        wrote(folder, b"two\n")
        assert said(file.read()) == [b"one"]
