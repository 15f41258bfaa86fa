"""Backups and restores of a real app with real data, in real sandboxes behind the real router."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files import File
from django.core.files.base import ContentFile

from accounts.actor import Actor
from deployments.backups.bundle import Bundle, Choice
from deployments.backups.flows import request_backup, request_restore, take_in_upload
from deployments.flows import request_job, upload_package
from deployments.models import Backup, Job, Live
from deployments.packages import build_archive
from deployments.reconciliation import reconcile
from deployments.runtimes import files, processes
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast
from tests.deployments.backups.test_runtime_data import tree
from tests.deployments.node import PACKAGES, LocalNode, own_processes_with, wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _patience(settings: Any) -> None:
    settings.HEALTH_PATIENCE = 15
    settings.STOP_GRACE = 2


@pytest.fixture
def calc(node: LocalNode, cast: Cast, tmp_path: Path) -> Path:
    """A calculator that runs on Test; gives its data folder."""
    files.remove_tree(node.runtime.layout.data(cast.test.pk).parent)
    target = tmp_path / "calc.zip"
    build_archive(PACKAGES / "calc/1.1.0", target)
    with target.open("rb") as file:
        package = upload_package(cast.app, Actor(cast.alice), File(file, target.name), target.name)
    assert work(node, request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)).state == "done"
    return node.runtime.layout.data(cast.test.pk)


def work(node: LocalNode, job: Job | None) -> Job:
    assert job is not None
    assert Worker(node.runtime, "real").run_once()
    job.refresh_from_db()
    return job


def calculate(node: LocalNode, what: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    body = urlencode({"expression": what})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/", body, {"Host": f"test--calc.apps.localhost:{node.port}", **kind})
    assert connection.getresponse().status == 303
    connection.close()


def history(node: LocalNode) -> str:
    return node.get("test--calc", "/")[1]


def plant(node: LocalNode, data: Path, name: str, content: bytes) -> None:
    path = data / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    user = node.runtime._user(int(data.parent.name))
    if user is not None:
        for each in (path, path.parent):
            os.chown(each, user, user)


def files_of(data: Path) -> dict[str, object]:
    """All but the database, which SQLite counts changes in."""
    return {name: what for name, what in tree(data).items() if not name.startswith("database.sqlite3")}


def taken(node: LocalNode, cast: Cast) -> Backup:
    backup = request_backup(cast.test, Actor(cast.alice))
    job = work(node, backup.job)
    assert job.state == "done", job.result
    backup.refresh_from_db()
    return backup


def test_data_go_round_to_the_byte(node: LocalNode, cast: Cast, calc: Path) -> None:
    calculate(node, "6×7")
    plant(node, calc, "uploads/picture", os.urandom(300_000))
    before = files_of(calc)
    backup = taken(node, cast)
    assert backup.verified_at
    calculate(node, "1+1")
    plant(node, calc, "uploads/picture", b"changed")
    plant(node, calc, "uploads/more", b"new")
    job = work(node, request_restore(cast.test, Actor(cast.alice), backup))
    assert job.state == "done", job.result
    page = history(node)
    assert "6×7 = <strong>42</strong>" in page
    assert "1+1" not in page
    assert files_of(calc) == before
    again = taken(node, cast)
    assert again.files_sha256 == backup.files_sha256
    calculate(node, "2+3")
    assert "2+3" in history(node)


def test_a_download_is_uploaded_and_restored_and_so_are_parts_of_it(node: LocalNode, cast: Cast, calc: Path) -> None:
    calculate(node, "6×7")
    plant(node, calc, "uploads/picture", b"first")
    backup = taken(node, cast)
    calculate(node, "1+1")
    plant(node, calc, "uploads/picture", b"second")
    database, full = (b"".join(Bundle(backup, choice).read()) for choice in (Choice.DATABASE, Choice.FULL))
    packed, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("./uploads/third")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"third"))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("uploads/fourth", "fourth")
    for content, holds, lines, names in [
        (database, "database", ("6×7",), ["picture"]),
        (packed.getvalue(), "files", ("6×7",), ["third"]),
        (zipped.getvalue(), "files", ("6×7",), ["fourth"]),
        (full, "full", ("6×7",), ["picture"]),
    ]:
        uploaded = take_in_upload(cast.test, Actor(cast.alice), ContentFile(content, "x"))
        job = work(node, uploaded.job)
        assert job.state == "done", job.result
        uploaded.refresh_from_db()
        assert uploaded.holds == holds
        job = work(node, request_restore(cast.test, Actor(cast.alice), uploaded, back_up_first=False))
        assert job.state == "done", job.result
        assert all(line in history(node) for line in lines)
        assert "1+1" not in history(node)
        assert sorted(path.name for path in (calc / "uploads").iterdir()) == names
    assert (calc / "uploads/picture").read_bytes() == b"first"
    assert sorted(path.name for path in calc.parent.iterdir()) == ["data"]


def test_an_app_that_is_not_healthy_with_the_data_has_its_own_again(
    node: LocalNode, cast: Cast, calc: Path, settings: Any
) -> None:
    import sqlite3

    settings.HEALTH_PATIENCE = 2
    calculate(node, "6×7")
    other = calc.parent.parent / "other.sqlite3"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE history (wrong TEXT)")
    database.close()
    uploaded = take_in_upload(cast.test, Actor(cast.alice), ContentFile(other.read_bytes(), "x"))
    work(node, uploaded.job)
    job = work(node, request_restore(cast.test, Actor(cast.alice), uploaded))
    assert job.state == "failed"
    assert job.result.endswith("The data are as they were. Calc 1.1.0 keeps running.")
    assert "6×7" in history(node)
    assert Live.objects.get(environment=cast.test).is_running
    assert sorted(path.name for path in calc.parent.iterdir()) == ["data"]


def test_a_restore_that_was_cut_off_is_put_right(node: LocalNode, cast: Cast, calc: Path) -> None:
    calculate(node, "6×7")
    backup = taken(node, cast)
    calculate(node, "1+1")
    job = request_restore(cast.test, Actor(cast.alice), backup, back_up_first=False)

    class Killed(BaseException):
        pass

    swap = node.runtime.swap

    def die(*args: Any) -> None:
        swap(*args)
        raise Killed

    node.runtime.swap = die  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        work(node, job)
    del node.runtime.swap
    Worker(node.runtime, "real").begin()
    reconcile(node.runtime)
    wait_until(lambda: node.get("test--calc", "/healthz")[0] == 200)
    assert "1+1" in history(node)
    assert sorted(path.name for path in calc.parent.iterdir()) == ["data"]
    job.refresh_from_db()
    assert job.result.endswith("Its data are put back as they were.")


HANGS = """
import sys
from pathlib import Path
from deployments.runtimes.base import Instance
from deployments.runtimes.process import ProcessRuntime

class Endless:
    def read(self, size=-1):
        if not self.begun:
            self.begun = True
            return open(sys.argv[2], "rb").read()
        print("reading", flush=True)
        return bytes(65536)
    begun = False

ProcessRuntime(Path(sys.argv[1]), 0).stage(Instance(7, 3), Endless())
"""


def test_nothing_of_a_worker_that_was_killed_goes_on(node: LocalNode, tmp_path: Path) -> None:
    begin = tmp_path / "begin"
    info = tarfile.TarInfo("endless")
    info.size = 2**40
    begin.write_bytes(info.tobuf(tarfile.PAX_FORMAT))
    command = [sys.executable, "-c", HANGS, str(node.var), str(begin)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"reading\n"
        wait_until(lambda: own_processes_with("deployments.runtimes.helping"))
        wait_until(lambda: len(processes.descendants(worker.pid)) > 1)
        begun = processes.descendants(worker.pid)  # the keeper, and what it runs in the sandbox
        reader = threading.Thread(target=worker.stdout.read)
        reader.start()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        reader.join()
    wait_until(lambda: not any(processes.is_alive(pid) for pid in begun))
    assert [(each.environment, each.number) for each in node.runtime.aside()] == [(7, 3)]
    node.runtime.discard(node.runtime.aside()[0])
    assert node.runtime.aside() == []
