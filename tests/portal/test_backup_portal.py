"""The portal's own backup: taken while it runs, put in place as a whole or not at all, and never with its keys."""

import io
import json
import sqlite3
import stat
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts import secrets
from accounts.acts import Act
from accounts.models import Activity, Authenticator, ProductionWindow, Session, User
from deployments.models import Job, Live, Package
from deployments.models import Worker as WorkerRow
from deployments.option_flows import stored
from deployments.runtimes import files, get_runtime
from environments.models import App
from portal.management.safekeeping import backup as backing_up
from portal.management.safekeeping import data, databases, keys, restore, settling
from tests.cast import Cast, forget_last_step, make_person, signed_in
from tests.codes import code_of
from tests.portal.kept import fill, own_folder, rows, stored_content

pytestmark = pytest.mark.django_db(transaction=True)

# What a restore settles; everything else comes back as it was
SETTLED = {"accounts.Session", "accounts.ProductionWindow", "accounts.Activity", "deployments.Job", "deployments.Step"}
OTHER = Fernet.generate_key().decode()


class PowerCut(BaseException):
    pass


@pytest.fixture
def var(settings: Any, tmp_path: Path) -> Iterator[Path]:
    get_runtime.cache_clear()
    yield own_folder(settings, tmp_path / "var")
    get_runtime.cache_clear()


@pytest.fixture
def cast(var: Path) -> Cast:
    return fill()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "kept.tar"


def back_up(target: Path) -> str:
    said = io.StringIO()
    call_command("backup_portal", str(target), stdout=said, stderr=said)
    return said.getvalue()


def put_back(target: Path, *options: str) -> str:
    said = io.StringIO()
    call_command("restore_portal", str(target), *options, stdout=said)
    return said.getvalue()


def refusal(target: Path, *options: str) -> str:
    """Give what a restore is refused with, having made sure that it changed nothing."""
    before = rows(), stored_content()
    with pytest.raises(CommandError) as refused:
        put_back(target, *options)
    assert (rows(), stored_content()) == before
    assert not (Path(settings.VAR) / ".restored").exists()
    return str(refused.value)


def content(target: Path) -> dict[str, bytes]:
    with tarfile.open(target) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


# There and back


def test_everything_comes_back_and_what_came_later_is_gone(cast: Cast, target: Path) -> None:
    before, files_before = rows(), stored_content()
    assert "files, data of 0 environments." in back_up(target)
    make_person("dora")
    App.objects.update(name="Renamed")
    Live.objects.all().delete()
    Job.objects.all().delete()
    package = Package.objects.get()
    default_storage.delete(str(package.file.name))
    package.delete()
    said = put_back(target, "--replace")
    after = rows()
    assert {name for name in before if before[name] != after[name]} <= SETTLED
    assert stored_content() == files_before
    assert "These start again with the portal: Calc Test." in said
    assert stored(cast.test).options.constants["TOKEN"].value == "a secret of Test"


def test_what_was_under_way_is_settled_and_the_record_says_so(cast: Cast, target: Path) -> None:
    cast.acceptance.jobs.update(state="running", worker="elsewhere")
    back_up(target)
    cast.acceptance.jobs.update(state="queued", worker="")
    assert "cancelled: 1." in put_back(target, "--replace")
    job = cast.acceptance.jobs.get()
    assert job.state == "interrupted"
    assert "It was under way when the backup was taken" in job.result
    assert not Session.objects.exists()
    assert not ProductionWindow.objects.filter(ended_at=None).exists()
    assert not WorkerRow.objects.exists()
    latest = Activity.objects.filter(act=Act.PORTAL_RESTORED).get()
    assert (latest.actor_name, latest.via) == ("The operator", "shell")


def test_a_job_that_waited_is_cancelled_never_carried_out(cast: Cast, target: Path) -> None:
    back_up(target)
    put_back(target, "--replace")
    job = cast.acceptance.jobs.get()
    assert job.state == "cancelled"
    assert job.result.endswith("Ask for it again.")
    assert Activity.objects.filter(act=Act.JOB_CANCELLED, environment_id=cast.acceptance.pk).exists()


def test_people_sign_in_with_password_and_the_authenticator_they_had(cast: Cast, target: Path) -> None:
    back_up(target)
    Authenticator.objects.all().delete()
    put_back(target, "--replace")
    client = signed_in(cast.alice)
    forget_last_step(cast.alice)
    assert client.post("/authenticator/", {"code": code_of(cast.alice)}).status_code == 302


def test_that_it_was_taken_is_in_the_record(cast: Cast, target: Path) -> None:
    back_up(target)
    assert Activity.objects.get(act=Act.PORTAL_BACKED_UP).target == "kept.tar"


# The file


def test_it_is_one_file_for_its_owner_and_says_what_it_holds(cast: Cast, target: Path) -> None:
    back_up(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.glob(".*")) == []
    about = json.loads(content(target)["about.json"])
    assert about["database"] == connection.vendor
    assert ["deployments", "0001_initial"] in about["migrations"]
    assert about["portal"] == "0.1.0"


def test_into_a_folder_it_is_named_after_the_moment(cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    back_up(tmp_path / "kept")
    assert [path.name[:9] for path in (tmp_path / "kept").iterdir()] == ["portal-20"]


def test_keys_are_not_in_it_and_their_fingerprints_are_said(cast: Cast, target: Path, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OTHER, *settings.ENCRYPTION_KEYS]
    said = back_up(target)
    everything = target.read_bytes() + b"".join(content(target).values())
    for key in (*settings.ENCRYPTION_KEYS, settings.SECRET_KEY):
        assert key.encode() not in everything
        assert keys.fingerprint(key) in said
    assert b"a secret of Test" not in everything
    assert b"alice@example.org" in everything or connection.vendor == "postgresql"  # whose dump is packed


def test_a_key_that_nothing_needs_is_not_asked_for(cast: Cast, target: Path, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [*settings.ENCRYPTION_KEYS, OTHER]
    assert keys.fingerprint(OTHER) not in back_up(target)
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    put_back(target, "--replace")


def test_nothing_is_overwritten_and_nothing_half_is_left(cast: Cast, target: Path, monkeypatch: Any) -> None:
    target.write_text("somebody's")
    with pytest.raises(CommandError, match="is there already"):
        back_up(target)
    assert target.read_text() == "somebody's"
    target.unlink()
    with monkeypatch.context() as broken:
        broken.setattr(keys, "needed", lambda rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            back_up(target)
    assert list(target.parent.iterdir()) == [target.parent / "var"]
    assert not list((target.parent / "var").glob(".backup*"))


# While the portal runs


def test_the_database_is_that_of_one_moment_while_people_write(cast: Cast, target: Path) -> None:
    """Pairs are written in one transaction each; half of one in the backup would be two moments."""
    leave = threading.Event()
    written = threading.Event()

    def write() -> None:
        try:
            while not leave.is_set():
                with transaction.atomic():
                    number = User.objects.count()
                    make_person(f"left{number}")
                    make_person(f"right{number}")
                written.set()
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        written.wait(20)
        back_up(target)
    finally:
        leave.set()
        writer.join()
    put_back(target, "--replace")
    lefts, rights = (User.objects.filter(email__startswith=side).count() for side in ("left", "right"))
    assert lefts == rights > 0


def test_a_package_that_is_deleted_meanwhile_is_in_neither(cast: Cast, target: Path, monkeypatch: Any) -> None:
    Job.objects.all().delete()
    Live.objects.all().delete()
    stored_files = backing_up.stored_files

    def deleted_by_somebody(rows: Any) -> list[str]:
        names = list(stored_files(rows))
        thread = threading.Thread(target=delete_packages)
        thread.start()
        thread.join()
        return names

    monkeypatch.setattr(backing_up, "stored_files", deleted_by_somebody)
    assert "has lost" not in back_up(target)
    assert not [name for name in content(target) if name.startswith("storage/")]
    put_back(target, "--replace")
    assert not Package.objects.exists()


def delete_packages() -> None:
    try:
        for package in Package.objects.all():
            default_storage.delete(str(package.file.name))
            package.delete()
    finally:
        connection.close()


def test_a_file_that_the_storage_lost_is_named_and_keeps_nothing_else(cast: Cast, target: Path) -> None:
    name = str(Package.objects.get().file.name)
    default_storage.delete(name)
    assert f"the storage has lost {name}" in back_up(target)
    assert "so these can't start: Calc Test." in put_back(target, "--replace")


def test_memory_stays_flat(cast: Cast, target: Path) -> None:
    package = Package.objects.get()
    default_storage.delete(str(package.file.name))
    default_storage.save(str(package.file.name), ContentFile(bytes(48 * 1024**2)))
    tracemalloc.start()
    try:
        back_up(target)
        put_back(target, "--replace")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 16 * 1024**2


# What is refused


def test_without_a_fitting_key_it_says_which_ones_are_missing(cast: Cast, target: Path, settings: Any) -> None:
    needed = keys.fingerprint(settings.ENCRYPTION_KEYS[0])
    back_up(target)
    rightly = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [OTHER]
    said = refusal(target, "--replace")
    assert f"ENCRYPTION_KEYS: {needed}" in said
    assert "SECRET_KEY:" not in said
    settings.ENCRYPTION_KEYS = [OTHER, *rightly]
    put_back(target, "--replace")
    assert secrets.decrypt(Authenticator.objects.get().secret)


def test_a_secret_key_may_have_become_an_earlier_one(cast: Cast, target: Path, settings: Any) -> None:
    back_up(target)
    settings.SECRET_KEY, before = "another one " * 5, settings.SECRET_KEY
    assert "SECRET_KEY:" in refusal(target, "--replace")
    settings.SECRET_KEY_FALLBACKS = [before]
    put_back(target, "--replace")


def test_with_keys_lost_for_good_the_rest_comes_back(cast: Cast, target: Path, settings: Any) -> None:
    back_up(target)
    settings.ENCRYPTION_KEYS = [OTHER]
    assert "rotate_keys --disable-unreadable" in put_back(target, "--replace", "--without-keys")
    assert signed_in(cast.alice).get("/").status_code == 200


def test_a_portal_that_is_in_use_is_not_overwritten_unasked(cast: Cast, target: Path) -> None:
    back_up(target)
    assert "This portal is in use: its database has people." in refusal(target)


def test_data_of_environments_count_as_use(cast: Cast, target: Path, var: Path, monkeypatch: Any) -> None:
    back_up(target)
    assert not data.is_there()
    (files.make_private(var / "environments" / "1" / "data") / "x").write_text("x")
    monkeypatch.setattr(databases, "in_use", lambda: False)
    assert "there are data of environments" in refusal(target)


# All or nothing


@pytest.fixture
def later(cast: Cast, target: Path) -> dict[str, Any]:
    """A portal that went on after its backup: give what it holds."""
    back_up(target)
    make_person("dora")
    default_storage.delete(str(Package.objects.get().file.name))
    return rows()


def _break(monkeypatch: Any, stage: str, failure: BaseException) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise failure

    places = {
        "storing": (restore, "_store"),
        "the data": (data, "swap_all"),
        "loading": (databases, "load"),
        "bringing it up": (restore, "call_command"),
        "settling": (settling, "settle"),
    }
    place, name = places[stage]
    real = getattr(place, name)

    def act(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        fail()

    monkeypatch.setattr(place, name, act)


@pytest.mark.parametrize("stage", ["storing", "bringing it up"])
def test_whatever_fails_everything_is_as_it_was(
    later: dict[str, Any], target: Path, var: Path, monkeypatch: Any, stage: str
) -> None:
    _break(monkeypatch, stage, OSError(28, "No space left on device"))
    assert "No space left on device" in refusal(target, "--replace")
    assert rows() == later
    assert not list(var.rglob("*before-restore*"))
    assert not run_checks()


@pytest.mark.parametrize("stage", ["the data", "settling"])
def test_after_a_power_cut_it_is_put_back_by_hand(
    later: dict[str, Any], target: Path, var: Path, monkeypatch: Any, stage: str
) -> None:
    before = stored_content()
    with monkeypatch.context() as broken:
        _break(broken, stage, PowerCut())
        broken.setattr(restore, "undo", lambda: None)
        with pytest.raises(PowerCut):
            put_back(target, "--replace")
    connection.close()
    assert [error.id for error in run_checks()] == ["portal.E002"]
    with pytest.raises(CommandError, match="was broken off"):
        put_back(target, "--replace")
    said = io.StringIO()
    call_command("restore_portal", "--undo", stdout=said)
    assert said.getvalue() == "Everything is as it was before.\n"
    assert (rows(), stored_content()) == (later, before)
    assert not run_checks()
    put_back(target, "--replace")
    assert not User.objects.filter(email="dora@example.org").exists()


# Data of environments, through real sandboxes


def write_data(var: Path, environment: int, text: str) -> Path:
    """As if an app had written a database, a file with an odd name and a link."""
    folder = files.make_private(var / "environments" / str(environment) / "data")
    with closing(sqlite3.connect(folder / "database.sqlite3")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        database.execute("INSERT INTO notes VALUES (?)", [text])
    (folder / "ünïcode \n name").write_text(text)
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/hostname")
    return folder


def read_data(folder: Path) -> tuple[list[str], str, str]:
    with closing(sqlite3.connect(folder / "database.sqlite3")) as database:
        notes = [text for (text,) in database.execute("SELECT text FROM notes")]
    return notes, (folder / "ünïcode \n name").read_text(), str((folder / "link").readlink())


def test_data_come_back_and_those_of_now_after_a_power_cut(
    cast: Cast, target: Path, var: Path, monkeypatch: Any
) -> None:
    then = (["then"], "then", "/etc/hostname")
    now = (["then", "now"], "now", "/etc/hostname")
    folder = write_data(var, cast.test.pk, "then")
    assert "data of 1 environment." in back_up(target)
    write_data(var, cast.test.pk, "now")
    unknown = write_data(var, 999_999, "of an environment that the backup does not know")
    with monkeypatch.context() as broken:
        _break(broken, "the data", PowerCut())
        broken.setattr(restore, "undo", lambda: None)
        with pytest.raises(PowerCut):
            put_back(target, "--replace")
    assert read_data(folder) == then
    connection.close()
    call_command("restore_portal", "--undo", stdout=io.StringIO())
    assert read_data(folder) == now
    assert unknown.is_dir()
    put_back(target, "--replace")
    assert read_data(folder) == then
    assert not unknown.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["data"]
