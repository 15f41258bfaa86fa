"""Kills real workers at every moment of a job on data, and says what must be true once another one took over."""

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from django.core import mail
from django.core.files.base import ContentFile
from django.utils import timezone

from accounts.actor import Actor
from deployments.backups.bundle import choices_of
from deployments.backups.flows import request_backup
from deployments.flows import request_job, upload_package
from deployments.models import Alert, Backup, Job, Live
from deployments.monitoring.sampling import Sampler
from deployments.monitoring.watch import look
from deployments.runtimes.base import Instance
from deployments.runtimes.files import is_held
from deployments.states import JobKind
from tests.cast import Cast, make_cast
from tests.deployments.backups.stage import folders_of, stored_of
from tests.deployments.backups.test_runtime_data import COUNTERS, tree
from tests.deployments.node import LocalNode
from tests.deployments.test_worker_process import ROOT, settings_for
from tests.deployments.test_worker_real import HOST

NEVER = 10**6
PATIENCE = 20.0  # seconds until all is well again; a worker looks twice in that time
SICK = "sick"
Ask = Callable[[], Job | None]
LARGE = 1_300_000  # bytes; more than the pipe from the sandbox holds, so that it is stored in two pieces at least
# Says what its database says, and ends at once where that is SICK
APP = """
import http.server, os, sqlite3, sys
def text():
    try:
        with sqlite3.connect("file:" + os.environ["DATA_DIR"] + "/database.sqlite3?mode=ro", uri=True) as database:
            return database.execute("SELECT text FROM lines").fetchone()[0]
    except sqlite3.Error:
        return "nothing"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = text().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
if text() == "sick":
    sys.exit("These data make no sense.")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Nursery:
    """Where workers come from."""

    def __init__(self, process: "subprocess.Popen[str]", record: Path) -> None:
        self._process = process
        self._record = record

    def work(self, last: int | str = NEVER) -> list[str]:
        """Let a worker put right what it finds and carry out what waits; give the moments that came.

        It is killed at the moment of the number `last`, or at the first one of that name.
        """
        worker = self._ask({"record": str(self._record), "last": last})
        status = self._ask({"wait": worker})
        moments = self._record.read_text().splitlines()
        assert status == (0 if last == NEVER else -signal.SIGKILL), moments
        return moments

    @contextmanager
    def successor(self) -> Iterator[None]:
        """Have a worker as `make run` starts it."""
        worker = self._ask({})
        try:
            yield
        finally:
            os.kill(worker, signal.SIGTERM)
            status = self._ask({"wait": worker})
        assert status == 0

    def _ask(self, order: dict[str, object]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursery(variables: dict[str, str], record: Path) -> Iterator[Nursery]:
    command = [sys.executable, "-m", "tests.deployments.backups.mortal"]
    with subprocess.Popen(
        command, cwd=ROOT, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield Nursery(process, record)


class Scene:
    """An app that runs on Test with data of its own, and workers that may be killed."""

    def __init__(self, node: LocalNode, cast: Cast, workers: Nursery) -> None:
        self.node = node
        self.cast = cast
        self.workers = workers
        self.by = Actor(cast.alice)
        self.data = node.runtime.layout.data(cast.test.pk)
        self.written: dict[str, dict[str, object]] = {}
        self.runs = True
        package = upload_package(cast.app, self.by, ContentFile(packed(), "keeper.zip"), "keeper.zip")
        self.done(request_job(JobKind.TRANSPORT, cast.test, self.by, package))

    def done(self, job: Job | None) -> None:
        assert job
        self.workers.work()
        job.refresh_from_db()
        assert job.state == "done", job.result

    def stop(self) -> None:
        self.done(request_job(JobKind.STOP, self.cast.test, self.by))
        self.runs = False

    def write(self, text: str) -> None:
        """As if the app had other data."""
        for path in sorted(self.data.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        with sqlite3.connect(self.data / "database.sqlite3") as database:
            database.execute("PRAGMA synchronous = OFF")  # nothing here has to survive a power cut
            database.execute("CREATE TABLE lines (text TEXT)")
            database.execute("INSERT INTO lines VALUES (?)", [text])
        database.close()
        (self.data / text / "deep").mkdir(parents=True)
        (self.data / text / "deep/er").write_text(text)
        (self.data / "large").write_bytes(sha256(text.encode()).digest() * (LARGE // 32))
        (self.data / "link").symlink_to(text)
        for path in [self.data, *self.data.rglob("*")]:
            user = self.node.runtime._user(self.cast.test.pk)
            if user is not None:
                os.chown(path, user, user, follow_symlinks=False)
            os.utime(path, (10**9, 10**9), follow_symlinks=False)
        self.written[text] = self.found()

    def found(self) -> dict[str, object]:
        """Give every byte of the data but what SQLite counts, and whose they are."""
        owners = {path.lstat().st_uid for path in [self.data, *self.data.rglob("*")]}
        database = self.data / "database.sqlite3"
        content = database.read_bytes()[COUNTERS:]
        return tree(self.data) | {database.name: content, "owners": owners}

    def backed_up(self, text: str) -> Backup:
        """Give a backup of data that say so."""
        self.write(text)
        backup = request_backup(self.cast.test, self.by)
        self.done(backup.job)
        backup.refresh_from_db()
        return backup

    def says(self) -> str:
        """Give what the app says; nothing where none runs."""
        status, text = self.node.get(HOST)
        return text if status == 200 else ""

    def kill_at_every_moment(self, ask: Ask, before: str, after: str, since: str = "", already_at: str = "") -> None:
        """Have a job carried out again and again by workers of which each is killed a moment later than the last.

        Of the moments, those from the first one named `since`. With `already_at` a worker was killed there before, and
        it is its successor's moments that are tried.
        """
        moments = self.moments_of(ask, before, already_at)
        for moment in range(moments.index(since) if since else 0, len(moments)):
            self.kill_at(moment, ask, before, after, already_at)

    def kill_at(self, moment: int | str, ask: Ask, before: str, after: str, already_at: str = "") -> None:
        """Have a worker killed at a moment, and see that all is well once another one has looked after it."""
        if self.says() != before:
            self.write(before)
        job = ask()
        assert job
        if already_at:
            self.workers.work(already_at)
        came = self.workers.work(moment)
        try:
            self.look_after(job, before, after)
        except AssertionError as error:
            raise AssertionError(f"Killed at {came[-1]!r} (moment {moment}): {error}") from error

    def moments_of(self, ask: Ask, before: str, already_at: str = "") -> list[str]:
        """Give the moments of a worker that is left alone."""
        self.write(before)
        ask()
        if already_at:
            self.workers.work(already_at)
        return self.workers.work()

    def look_after(self, job: Job, before: str, after: str) -> None:
        """Let a successor find what was left of a job, and see that all is well then."""
        with self.workers.successor():
            end = time.monotonic() + PATIENCE
            while wrong := self.wrong(job, before, after):
                assert time.monotonic() < end, wrong
                time.sleep(0.02)
        expected = self.written[after if job.decided_at else before]
        assert self.found() == expected
        sampler = Sampler(self.node.runtime, "looks")
        assert sampler.sample()
        sampler.leave()
        look(self.node.runtime, timezone.now())
        assert list(Alert.objects.values_list("kind", "message")) == []
        assert not mail.outbox
        assert not list((self.node.var / "mail").glob("*"))

    def wrong(self, job: Job, before: str, after: str) -> dict[str, tuple[object, object]]:
        """Give what is not as it must be when somebody has looked after a job that was cut off: is, must be."""
        runtime, environment = self.node.runtime, self.cast.test
        job.refresh_from_db()
        number = Live.objects.values_list("instance", flat=True).get(environment=environment)
        running = Instance(environment.pk, number) if self.runs and number is not None else None
        facts: dict[str, tuple[object, object]] = {
            "job": (job.state, "interrupted"),
            "words": (job.result.rpartition("ended")[2].partition(". ")[2], self.words(job)),
            "beside the data": ([path.name for path in self.data.parent.iterdir()], ["data"]),
            "instances": (runtime.instances(), [running] if running else []),
            "route": (runtime.routes()[environment.host], running),
            "answer": (self.says(), (after if job.decided_at else before) if self.runs else ""),
            "unfinished backups": (list(Backup.objects.unfinished()), []),
            "stored": (stored_of(self.cast), known := self.known()),
            "folders": (sorted(folders_of(self.cast)), sorted({name.partition("/")[0] for name in known})),
            "work on the data": ([mark for mark in runtime.layout.commands.iterdir() if is_held(mark)], []),
        }
        return {what: (found, must) for what, (found, must) in facts.items() if found != must}

    def words(self, job: Job) -> str:
        """Give what is said of a job that was interrupted."""
        runs = "keeper 1 is what runs there." if self.runs else "keeper 1 is on it, stopped."
        if job.kind == JobKind.RESTORE:
            return (
                f"{runs} {'It has the data of the backup' if job.decided_at else 'Its data are put back as they were'}."
            )
        backup = job.backups.get()
        return f"{runs} {'The backup was complete by then' if backup.is_completed else 'There is no backup'}."

    def known(self) -> list[str]:
        """List what must be stored: every part of completed backups, as it was when it was read, and nothing else."""
        names = []
        for backup in Backup.objects.all():
            if not backup.is_completed:
                assert choices_of(backup) == []
                continue
            assert backup.verified_at
            for file, digest in [(backup.database, backup.database_sha256), (backup.files, backup.files_sha256)]:
                assert sha256(file.read()).hexdigest() == digest
                file.close()
                names.append(f"{backup.key}/{Path(str(file.name)).name}")
        return sorted(names)


def packed() -> bytes:
    target = io.BytesIO()
    with ZipFile(target, "w") as archive:
        archive.writestr("Procfile", "web: exec python3 app.py\n")
        archive.writestr("app.py", APP)
        archive.writestr("model/metadata.json", json.dumps({"name": "keeper", "version": "1"}))
    return target.getvalue()


@contextmanager
def scene_on(node: LocalNode, folder: Path) -> Iterator[Scene]:
    variables = settings_for(node) | {"STOP_GRACE": "2", "HEALTH_PATIENCE": "10"}
    with nursery(variables, folder / "moments") as workers:
        yield Scene(node, make_cast(), workers)
