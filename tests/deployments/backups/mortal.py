"""Real workers that end themselves by SIGKILL at a moment that a test names.

`python -m tests.deployments.backups.mortal` reads an order a line and answers each with a line. Every worker is a
process of its own, forked from this one, so that none waits for Django to be imported. A moment is just before
something that lasts: a call that changes what runs or lies there, a row of a backup, the decision, a file that is half
written. What the tests look at does not change between two of them, so the moment before one is also the one after its
predecessor.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

CALLS = ("start", "route", "stop", "take", "stage", "swap", "swap_back", "discard")


class Moments:
    """Writes down each moment, and kills this process at the one of the number `last`, or the first of that name."""

    def __init__(self, record: str, last: int | str) -> None:
        self.record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.last = last
        self.count = 0
        self.deciding = False

    def come(self, name: str) -> None:
        os.write(self.record, f"{name}\n".encode())
        if self.last in (name, self.count):
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def before(self, owner: Any, name: str, act: Callable[..., Any] | None = None) -> None:
        """Have a moment before each call of a method, or do something else there."""
        method: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            (act or partial(self.come, name))()
            return method(*args, **kwargs)

        setattr(owner, name, call)

    def watch(self) -> None:
        from django.core.files.storage import FileSystemStorage
        from django.db.backends.base.base import BaseDatabaseWrapper

        from deployments.backups.storing import Incoming
        from deployments.backups.taking import Taking
        from deployments.journal import Journal
        from deployments.runtimes import databases, get_runtime
        from deployments.runtimes.helping import Helper

        runtime = get_runtime()
        for name in CALLS:
            self.before(runtime, name)
        for owner, name in [(Taking, "keep"), (Journal, "finish"), (FileSystemStorage, "delete")]:
            self.before(owner, name)
        # Of databases on a server; elsewhere none is called
        for name in ("_make_database", "_rename", "_drop"):
            self.before(databases, name)
        self.before(Journal, "decide", self.decide)
        self.before(BaseDatabaseWrapper, "_commit", self.commit)
        Incoming.chunks = self.stored_by_half(Incoming.chunks)  # type: ignore[method-assign]
        Helper.feed = self.staged_by_half(Helper.feed)  # type: ignore[method-assign]
        sys.addaudithook(self.hear)

    def decide(self) -> None:
        self.come("decide")
        self.deciding = True

    def commit(self) -> None:
        if self.deciding:
            self.deciding = False
            self.come("commit")

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Have a moment before data get another name, which for some takes two steps, and before they are removed."""
        if event == "os.rename" and "/environments/" in os.fspath(args[1]) and Path(os.fspath(args[0])).exists():
            self.come(f"rename to {Path(os.fspath(args[1])).name}")
        if event == "subprocess.Popen" and args[1][0] == "rm" and ".gone" in args[1][-1]:
            self.come(f"rm {Path(args[1][-1]).name}")

    def stored_by_half(self, chunks: Callable[..., Iterator[bytes]]) -> Any:
        def pieces(*args: Any) -> Iterator[bytes]:
            for number, piece in enumerate(chunks(*args)):
                if number < 2:  # how many there are beyond two is the pipe's choice
                    self.come("half stored")
                yield piece

        return pieces

    def staged_by_half(self, feed: Callable[..., None]) -> Any:
        def half_fed(helper: Any, archive: BinaryIO) -> None:
            feed(helper, Half(archive, partial(self.come, "half staged")))

        return half_fed


class Half:
    """Says when the first piece of an archive was read, and the next one is wanted."""

    def __init__(self, archive: BinaryIO, say: Callable[[], None]) -> None:
        self.archive = archive
        self.say = say
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        self.count += 1
        if self.count == 2:
            self.say()
        return self.archive.read(size)


def carry_out(record: str, last: int | str) -> None:
    """Be a worker that carries out one job; what it finds from its predecessor is put right first."""
    from deployments.reconciliation import reconcile
    from deployments.runtimes import get_runtime
    from deployments.worker import Worker

    worker = Worker(get_runtime(), "mortal")
    Moments(record, last).watch()
    worker.begin()
    reconcile(get_runtime())
    worker.run_once()


def succeed() -> None:
    """Be a worker that goes on until it is asked to end."""
    from deployments.runtimes import get_runtime
    from deployments.worker import Worker

    worker = Worker(get_runtime(), "mortal")
    signal.signal(signal.SIGTERM, lambda *_: worker.leave())
    worker.run_forever()


def forked(act: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait_for_no_disk() -> None:
    """Leave out what is for power cuts: SIGKILL takes nothing of what was written, and a busy disk takes its time."""
    from django.db.backends.signals import connection_created

    from deployments.runtimes import data

    def asynchronous(connection: Any, **_: object) -> None:
        if connection.vendor == "sqlite":
            connection.cursor().execute("PRAGMA synchronous = OFF")

    connection_created.connect(asynchronous, weak=False)
    for name in ("fsync", "fdatasync"):
        setattr(os, name, lambda descriptor: None)
    data._flush = lambda folder: None


def main() -> None:
    import django

    django.setup()
    wait_for_no_disk()
    from deployments.runtimes import get_runtime

    get_runtime().isolation()  # tried once, not by each worker
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        elif "record" in order:
            answer = forked(partial(carry_out, order["record"], order["last"]))
        else:
            answer = forked(succeed)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
