"""Backups of the portal that are refused, and why: read before anything is changed."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import User
from deployments.models import Worker
from deployments.runtimes import files
from portal.management.safekeeping import keys
from portal.management.safekeeping.archive import ABOUT, LIST, writing
from tests.cast import make_person
from tests.portal.kept import own_folder

pytestmark = pytest.mark.django_db


@pytest.fixture
def var(settings: Any, tmp_path: Path) -> Path:
    return own_folder(settings, tmp_path / "var")


@pytest.fixture
def target(var: Path) -> Path:
    return written(var.parent / "kept.tar")


def written(target: Path, **about: Any) -> Path:
    """Write a backup, whole, that says something of itself; what it holds is never looked at."""
    said = {"format": 1, "database": connection.vendor, "migrations": [["accounts", "0001_initial"]], "keys": {}}
    said |= {"size": 11, "taken_at": "2026-11-24T13:09:00+00:00", "environments": 0}
    target.unlink(missing_ok=True)
    with writing(target) as backup:
        backup.add("storage/packages/1.zip", io.BytesIO(b"first"), 5)
        backup.add("database", io.BytesIO(b"second"), 6)
        backup.finish(said | about)
    return target


def refusal(target: Path, *options: str) -> str:
    """Give what a restore is refused with, having made sure that it changed nothing."""
    person = make_person("dora")
    before = sorted(target.parent.rglob("*"))
    with pytest.raises(CommandError) as refused:
        call_command("restore_portal", str(target), *options)
    assert User.objects.get() == person
    assert sorted(target.parent.rglob("*")) == before
    return str(refused.value)


def with_entry(target: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    """Put an entry in front of what a backup holds."""
    with tarfile.open(target) as tar:
        held = [(member, file.read()) for member in tar if (file := tar.extractfile(member))]
    with tarfile.open(target, "w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc"
        tar.addfile(info)
        for member, content in held:
            tar.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize("about", [{"migrations": [["deployments", "9999_of_tomorrow"]]}, {"format": 2}])
def test_a_newer_backup_than_the_code(target: Path, about: dict[str, Any]) -> None:
    assert "made by a newer release of the portal" in refusal(written(target, **about), "--replace")


def test_a_backup_of_another_kind_of_database(target: Path) -> None:
    said = refusal(written(target, database="oracle"), "--replace")
    assert "a database of oracle" in said
    assert {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.vendor] in said


def test_a_key_that_the_settings_lack_is_named_by_its_fingerprint(target: Path, settings: Any) -> None:
    needed = {"ENCRYPTION_KEYS": ["0123456789abcdef"], "SECRET_KEY": [keys.fingerprint(settings.SECRET_KEY)]}
    said = refusal(written(target, keys=needed), "--replace")
    assert "ENCRYPTION_KEYS: 0123456789abcdef" in said
    assert "SECRET_KEY:" not in said


@pytest.mark.parametrize("entry", ["storage/packages/1.zip", "database", LIST])
def test_one_that_is_damaged_anywhere(target: Path, entry: str) -> None:
    with tarfile.open(target) as tar:
        place = tar.getmember(entry).offset_data
    damaged = bytearray(target.read_bytes())
    damaged[place] ^= 1
    target.write_bytes(damaged)
    assert "is damaged: its files are not those that were written" in refusal(target, "--replace")


@pytest.mark.parametrize("entry", ["storage/packages/1.zip", "database", LIST, ABOUT])
def test_one_that_is_cut_off(target: Path, entry: str) -> None:
    with tarfile.open(target) as tar:
        place = tar.getmember(entry).offset_data
    target.write_bytes(target.read_bytes()[: place + 2])
    assert "is not a complete backup of a portal" in refusal(target, "--replace")


def test_what_is_no_backup_at_all(target: Path) -> None:
    target.write_text("Dear diary")
    assert "is not a complete backup of a portal" in refusal(target, "--replace")
    target.unlink()
    with pytest.raises(CommandError, match="There is no file"):
        call_command("restore_portal", str(target))
    with pytest.raises(CommandError, match="Name the backup"):
        call_command("restore_portal")


@pytest.mark.parametrize("name", ["/outside", "storage/../../../outside", "storage//../outside", "."])
def test_names_that_lead_elsewhere(target: Path, name: str) -> None:
    assert "has no place in it" in refusal(with_entry(target, name), "--replace")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_what_is_no_file(target: Path, kind: bytes) -> None:
    assert "has no place in it" in refusal(with_entry(target, "storage/packages", kind), "--replace")


def test_where_there_is_no_room(target: Path, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = 10**18
    assert "There is not enough room" in refusal(target, "--replace")


def test_a_portal_that_runs_is_left_alone(target: Path, var: Path) -> None:
    Worker.objects.create(name="elsewhere")
    assert "The portal runs." in refusal(target, "--replace")
    Worker.objects.all().delete()
    User.objects.all().delete()
    files.make_private(var / "run")
    assert files.hold(var / "run" / "node.lock")
    assert "The portal runs." in refusal(target, "--replace")


def test_it_is_looked_through_without_being_restored(target: Path, capsys: Any) -> None:
    make_person("dora")
    call_command("restore_portal", str(target), "--check")
    assert "is whole and can be restored here. It was taken at 2026-11-24T13:09:00+00:00." in capsys.readouterr().out
    assert User.objects.exists()


def test_a_written_backup_lists_what_it_holds(target: Path) -> None:
    with tarfile.open(target) as tar:
        listed = tar.extractfile(LIST)
        assert listed
        names = [json.loads(line)["name"] for line in listed.read().splitlines()]
        assert [*names, LIST, ABOUT] == tar.getnames()
