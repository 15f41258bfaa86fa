"""How long a backup and a restore of 1 GiB of files and a 1 GiB database take, against `tar` and `sqlite3 .backup`.

The floor is what can't be left out: the copies themselves, written to the disk for good. The portal's times are those
of its steps: saving the database and the files; unpacking the backup beside the data and switching to it. By itself:
`python -m tests.bench backups`.
"""

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from django.conf import settings

from accounts.actor import Actor
from deployments.backups.carry_out import carry_out
from deployments.backups.flows import request_backup, request_restore
from deployments.manifests import Manifest
from deployments.models import Backup, Job, Live, Package
from deployments.runtimes.process import ProcessRuntime
from deployments.states import EnvironmentState, JobState
from environments.flows import create_app
from environments.models import Environment
from tests.bench.report import Line, seconds
from tests.cast import make_person

ROUNDS = 3
GIB = 1024**3
FILES = 256
ROW = 4000  # bytes
MOST_TIMES = 2
MOST_MEMORY = 100_000_000  # bytes
SAMPLE_EVERY = 0.02  # seconds
HELPERS = (b"deployments.runtimes", b"pg_dump", b"pg_restore")


def measure(size: int = GIB) -> list[Line]:
    """Save and bring back by hand and by the portal in turns; nothing of it is left."""
    person = make_person("keeper")
    app = create_app(Actor(person), "Data", "data")
    environment = app.environments.earliest("order")
    stopped(environment)
    runtime = ProcessRuntime(settings.VAR, 0)
    data = runtime.layout.data(environment.pk)
    runtime._give_data(environment.pk)
    fill(runtime, data, size)
    times: dict[str, list[float]] = {name: [] for name in ("saved", "taken", "unpacked", "restored", "verified")}
    with memory() as peak:
        for _ in range(ROUNDS):
            by_hand = saved_by_hand(data)
            times["saved"].append(by_hand)
            backup = request_backup(environment, Actor(person))
            job = done(runtime, backup.job)
            times["taken"].append(took(job, "database", "files"))
            times["verified"].append(took(job, "verify"))
            times["unpacked"].append(unpacked_by_hand(data))
            backup.refresh_from_db()
            job = done(runtime, request_restore(environment, Actor(person), backup, back_up_first=False))
            times["restored"].append(took(job, "stage", "swap"))
            forget(backup)
    runtime.forget(environment.pk)
    what = f"{sized(size)} of files and of database"
    return [
        compared(f"Backup of {what}", times["saved"], times["taken"]),
        compared(f"Restore of {what}", times["unpacked"], times["restored"]),
        Line("Backup restored aside, to be sure", "", seconds(median(times["verified"])), "", "", True),
        most_memory(peak[0]),
    ]


def sized(size: int) -> str:
    return f"{size // GIB} GiB" if size >= GIB else f"{size // 1024**2} MiB"


def compared(what: str, floor: list[float], portal: list[float]) -> Line:
    times = median(portal) / median(floor)
    goal = f"at most {MOST_TIMES}x"
    return Line(what, seconds(median(floor)), seconds(median(portal)), f"{times:.2f}x", goal, times <= MOST_TIMES)


def most_memory(peak: int) -> Line:
    goal = f"under {MOST_MEMORY // 1_000_000} MB"
    return Line("Memory that both take", "", f"{peak / 1e6:.0f} MB", "", goal, peak < MOST_MEMORY)


def stopped(environment: Environment) -> None:
    """Put a package on the environment that does not run, so that nothing but the data counts."""
    package = Package.objects.create(
        app=environment.app,
        name="data",
        version="1",
        file="none",
        size=1,
        sha256="0" * 64,
        manifest=Manifest(web="true").as_dict(),
    )
    Live.objects.create(environment=environment, package=package, state=EnvironmentState.STOPPED)


def fill(runtime: ProcessRuntime, data: Path, size: int) -> None:
    (data / "files").mkdir()
    for number in range(FILES):
        (data / "files" / f"{number}.bin").write_bytes(os.urandom(size // FILES))
    with closing(sqlite3.connect(data / "database.sqlite3")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        with database:
            database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB)")
            rows = ((os.urandom(ROW),) for _ in range(size // ROW))
            database.executemany("INSERT INTO rows (content) VALUES (?)", rows)
    user = runtime._user(int(data.parent.name))
    if user is not None:
        for path in (data, *data.rglob("*")):
            os.chown(path, user, user)


def saved_by_hand(data: Path) -> float:
    target = by_hand()
    began = time.perf_counter()
    subprocess.run(["sqlite3", data / "database.sqlite3", f".backup {target / 'database.sqlite3'}"], check=True)
    subprocess.run(["tar", "-cf", target / "files.tar", "-C", data, "files"], check=True)
    subprocess.run(["sync", "--file-system", target], check=True)
    return time.perf_counter() - began


def unpacked_by_hand(data: Path) -> float:
    """Bring back what `saved_by_hand` made, and look through the database."""
    target = by_hand(new=False)
    aside = target / "aside"
    aside.mkdir()
    began = time.perf_counter()
    subprocess.run(["cp", target / "database.sqlite3", aside], check=True)
    subprocess.run(["sqlite3", aside / "database.sqlite3", "PRAGMA integrity_check"], check=True, capture_output=True)
    subprocess.run(["tar", "-xf", target / "files.tar", "-C", aside], check=True)
    subprocess.run(["sync", "--file-system", target], check=True)
    took = time.perf_counter() - began
    shutil.rmtree(target)
    return took


def timed(act: Callable[[], None], folder: Path) -> float:
    """Give the seconds that something takes until it is written down for good."""
    began = time.perf_counter()
    act()
    subprocess.run(["sync", "--file-system", folder], check=True)
    return time.perf_counter() - began


def by_hand(new: bool = True) -> Path:
    target = Path(settings.VAR, "by-hand")
    if new:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
    return target


def done(runtime: ProcessRuntime, job: Job | None) -> Job:
    """Carry a job out here, as a worker that has just claimed it."""
    assert job is not None
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="bench")
    carry_out(
        Job.objects.select_related("environment__app", "asked_by", "restores__environment__app").get(pk=job.pk), runtime
    )
    job.refresh_from_db()
    if job.state != JobState.DONE:
        raise AssertionError(job.result)
    return job


def took(job: Job, *names: str) -> float:
    steps = job.steps.filter(name__in=names, started_at__isnull=False, ended_at__isnull=False)
    return sum((step.ended_at - step.started_at).total_seconds() for step in steps if step.ended_at and step.started_at)


def forget(backup: Backup) -> None:
    for file in (backup.database, backup.files):
        file.delete(save=False)
    backup.delete()


@contextmanager
def memory() -> Iterator[list[int]]:
    """Watch by how much this process grows, with all that helps it; the one number is the most, in bytes."""
    peak, ending = [0], threading.Event()
    before = _resident("self")

    def watch() -> None:
        while not ending.wait(SAMPLE_EVERY):
            helpers = (name for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208
            peak[0] = max(peak[0], _resident("self") - before + sum(_resident(pid) for pid in helpers if _helps(pid)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ending.set()
        thread.join()


def _helps(pid: str) -> bool:
    """Say whether a process works on data and was started by this one."""
    try:
        line = Path("/proc", pid, "cmdline").read_bytes()
        if not any(name in line for name in HELPERS):
            return False
        while pid not in ("0", "1") and (
            above := Path("/proc", pid, "stat").read_text().rpartition(") ")[2].split()[1]
        ):
            if above == str(os.getpid()):
                return True
            pid = above
    except OSError:
        pass
    return False


def _resident(pid: str) -> int:
    """Memory of a process in bytes, what it shares with others counted in part (proc(5), smaps_rollup)."""
    try:
        lines = Path("/proc", pid, "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
