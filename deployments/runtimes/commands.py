"""Runs a single command beside an instance, in a sandbox like its own: a scheduled event, for example.

Each command is kept by a process of its own, which the caller starts and which ends all of it in time. A file that
this process holds a lock on tells others that it lives and what its number is.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from deployments.runtimes import files, logs, sandbox
from deployments.runtimes.base import Finished, Instance, RuntimeFailure
from deployments.runtimes.keeping import SIGNALS, in_words, start
from deployments.runtimes.layout import CODE, PATIENCE, Layout, Record

OUTPUT = 64 * 1024  # bytes; of a longer output the end is kept
GONE = "The command was ended together with what ran it."


def run(layout: Layout, instance: Instance, spec: dict[str, Any], timeout: float, lock: Path) -> Finished:
    """Run what `spec` describes beside the instance; it has begun when `lock` is let go of.

    RuntimeFailure where the instance is not there, or where the command can't be started.
    """
    with files.locked(lock):
        record = layout.record(instance.environment, instance.number)
        if not record.spec or record.asked_to_stop:
            raise RuntimeFailure("Nothing runs on the environment, so no command can run beside it.")
        layout.make()
        mark = layout.commands / f"{record.folder.name}-{os.urandom(8).hex()}"
        keeper = _start_keeper(record, mark)
    try:
        # SECURITY: over a pipe, since the variables may hold secrets that nobody else is to read
        said, _ = keeper.communicate(json.dumps([spec, timeout]).encode(), timeout + record.grace + 2 * PATIENCE)
        return Finished(**json.loads(said))
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise RuntimeFailure(GONE) from error
    finally:
        keeper.kill()
        keeper.wait()
        mark.unlink(missing_ok=True)


def ask_to_end(layout: Layout, instance: Instance, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask the commands that run beside the instance to end; they have as long as its record says."""
    for mark in _marks(layout, f"{instance.environment}-{instance.number}-"):
        _signal(mark, number)


def wait_for_end(layout: Layout, instance: Instance, patience: float) -> None:
    """Return when none of them runs any more; a keeper that hangs takes its sandbox with it when it is killed."""
    until = time.monotonic() + patience
    while any(files.is_held(mark) for mark in _marks(layout, f"{instance.environment}-{instance.number}-")):
        if time.monotonic() > until:
            ask_to_end(layout, instance, signal.SIGKILL)
        time.sleep(0.02)


def any_runs(layout: Layout, environment: int) -> bool:
    return any(files.is_held(mark) for mark in _marks(layout, f"{environment}-"))


def _marks(layout: Layout, prefix: str) -> list[Path]:
    return list(layout.commands.glob(f"{prefix}*"))


def _start_keeper(record: Record, mark: Path) -> "subprocess.Popen[bytes]":
    descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        files.hold_open(descriptor)
        code = "from deployments.runtimes.commands import main; main()"
        command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-EsS", "-c", code]
        keeper = subprocess.Popen(
            [*command, str(record.folder), str(descriptor)],
            cwd=CODE,
            env={"PATH": os.environ.get("PATH", sandbox.PATH), "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,
        )
        os.write(descriptor, str(keeper.pid).encode())
    except OSError as error:
        mark.unlink()
        raise RuntimeFailure(f"The command could not be started: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    return keeper


def _signal(mark: Path, number: signal.Signals) -> None:
    try:
        process = os.pidfd_open(int(mark.read_text()))
    except (OSError, ValueError):
        return
    try:
        # While the lock is held the number still is the keeper's
        if files.is_held(mark):
            signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(process)


class Tail:
    """Reads a pipe to its end in a thread of its own and keeps the last bytes."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Give what was kept; everybody who could write has ended by now."""
        self._thread.join()
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        for piece in logs.pieces(self._source):
            self._kept = (self._kept + piece)[-OUTPUT:]


def main() -> None:
    """Keep one command: told on standard input what to run, says on standard output how it went."""
    record = Record(Path(sys.argv[1]))
    os.set_inheritable(int(sys.argv[2]), False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    spec, timeout = json.loads(sys.stdin.buffer.read())
    source, output = os.pipe()
    begun = time.monotonic()
    try:
        kept = start(Layout(record.folder.parents[2]), f"{record.folder.name}-{os.getpid()}", spec, output)
    except sandbox.SandboxFailure as failure:
        print(json.dumps(finished(False, "the sandbox could not be made", str(failure), begun)))
        return
    os.close(output)
    tail = Tail(source)
    words = ""
    while not kept.reap() and not words:
        left = begun + timeout - time.monotonic()
        told = signal.sigtimedwait(SIGNALS, left) if left > 0 else None
        if told is None:
            words = f"ended after {timeout:g} seconds, which is all it had"
        elif told.si_signo != signal.SIGCHLD:
            words = "ended because the environment's app was stopped or replaced"
    kept.end(record.grace)
    succeeded = not words and kept.status == 0
    print(json.dumps(finished(succeeded, words or in_words(kept.status), tail.text(), begun)))


def finished(succeeded: bool, ended: str, output: str, begun: float) -> dict[str, Any]:
    return {"succeeded": succeeded, "ended": ended, "output": output, "seconds": time.monotonic() - begun}
