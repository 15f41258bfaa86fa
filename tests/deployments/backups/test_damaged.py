"""A backup whose stored files are not what they were: its restore is refused in words, with the data as before."""

import re
from collections.abc import Callable
from pathlib import Path

from django.core.files.storage import default_storage

from accounts.actor import Actor
from deployments.backups.flows import request_restore
from deployments.models import Backup, Job
from tests.cast import Cast
from tests.deployments.backups.test_real import _patience, calc, calculate, files_of, history, plant, taken, work
from tests.deployments.node import LocalNode

__all__ = ["_patience", "calc"]


def flip(place: float) -> Callable[[bytearray], None]:
    """Give what turns one bit at a part of the file."""

    def turn(content: bytearray) -> None:
        content[int(len(content) * place)] ^= 1

    return turn


def cut(content: bytearray) -> None:
    del content[-1:]


def empty(content: bytearray) -> None:
    content.clear()


HARM = [
    ("database", flip(0), "no SQLite database|is damaged"),
    ("database", flip(0.5), "is damaged"),
    ("database", cut, "can't be read"),
    ("files", flip(0), "is cut short or damaged|is damaged"),
    ("files", flip(0.5), "“files.tar” is damaged: its checksum is wrong"),
    ("files", flip(0.999), "“files.tar” is damaged: its checksum is wrong"),
    ("files", empty, "can't be read"),
]


def test_nothing_of_it_gets_into_the_environment(node: LocalNode, cast: Cast, calc: Path) -> None:
    calculate(node, "6×7")
    plant(node, calc, "uploads/picture", bytes(range(256)) * 4000)
    backup = taken(node, cast)
    calculate(node, "1+1")
    plant(node, calc, "uploads/picture", b"changed")
    before = files_of(calc)
    database = (calc / "database.sqlite3").read_bytes()
    for part, harm, words in HARM:
        harmed = Path(default_storage.path(str(getattr(backup, part).name)))
        whole = harmed.read_bytes()
        content = bytearray(whole)
        harm(content)
        harmed.write_bytes(content)
        job = restored(node, cast, backup)
        harmed.write_bytes(whole)
        assert job.state == "failed", (part, words)
        assert re.search(words, job.result), job.result
        assert job.result.endswith("The data are as they were. Calc 1.1.0 keeps running.")
        assert files_of(calc) == before
        assert (calc / "database.sqlite3").read_bytes() == database
        assert [path.name for path in calc.parent.iterdir()] == ["data"]
        assert "1+1" in history(node)
    assert restored(node, cast, backup).state == "done"
    assert "1+1" not in history(node)


def restored(node: LocalNode, cast: Cast, backup: Backup) -> Job:
    return work(node, request_restore(cast.test, Actor(cast.alice), backup, back_up_first=False))


def test_what_is_missing_in_the_storage_is_said(node: LocalNode, cast: Cast, calc: Path) -> None:
    calculate(node, "6×7")
    backup = taken(node, cast)
    default_storage.delete(str(backup.database.name))
    job = restored(node, cast, backup)
    assert (job.state, job.result.partition(". ")[0]) == ("failed", "What is stored of backup 1 of Test can't be read")
    assert "6×7" in history(node)
