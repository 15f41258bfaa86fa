"""What works on an environment's data: started in its sandbox, without a way to anything but its database."""

import contextlib
import io
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from deployments.runtimes import commands, files, keeping, sandbox
from deployments.runtimes.base import NoRoomLeft, RuntimeFailure
from deployments.runtimes.commands import Tail
from deployments.runtimes.keeping import SIGNALS, Kept, become_reaper, in_words
from deployments.runtimes.layout import CODE, Layout

log = logging.getLogger(__name__)

PIPE = 1024 * 1024  # bytes, as much as the kernel gives
PIECE = 1024 * 1024
MEMORY = 512 * 1024**2  # bytes; a directory of a million names and SQLite's cache fit
# Seconds. Nothing takes so long; what does hangs
LONGEST = 6 * 3600
POLITE = 1.0  # seconds to end, where nobody wants the result any more
PACKAGE = "deployments.runtimes.inside"
MODULES = ("words", "server", "saving", "staging", "run")
# Makes the modules known to the sandbox's own Python, which sees nothing of the portal
PRELUDE = """
import sys, types
def load(name, text):
    module = types.ModuleType(name)
    module.__path__ = []
    sys.modules[name] = module
    exec(compile(text, name, "exec"), module.__dict__)
"""
UNSAID = "What reads and writes the data ended before it was done ({ended})."


def program(what: str, options: Mapping[str, Any]) -> str:
    """Give the shell command that runs the scripts with the sandbox's own Python."""
    parents = ["deployments", "deployments.runtimes", PACKAGE]
    lines = [f"load({name!r}, '')" for name in parents]
    for name in MODULES:
        text = (Path(__file__).parent / "inside" / f"{name}.py").read_text(encoding="utf-8")
        lines.append(f"load({f'{PACKAGE}.{name}'!r}, {text!r})")
    lines.append(f"sys.exit(sys.modules[{f'{PACKAGE}.run'!r}].main())")
    text = PRELUDE + "\n".join(lines)
    return f"exec python3 -I -S -c {shlex.quote(text)} {what} {shlex.quote(json.dumps(dict(options)))}"


class Helper:
    """What works on the data, with the process that keeps it, and this end of its pipe."""

    def __init__(self, layout: Layout, environment: int, spec: Mapping[str, Any], reads: bool) -> None:
        layout.make()
        self._mark = layout.commands / f"{environment}-data-{os.urandom(8).hex()}"
        theirs, self.pipe = os.pipe() if reads else os.pipe()[::-1]
        with contextlib.suppress(OSError):
            import fcntl

            fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE)
        descriptor = os.open(self._mark, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        code = "from deployments.runtimes.helping import main; main()"
        command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-EsS", "-c", code]
        try:
            files.hold_open(descriptor)
            self._keeper = subprocess.Popen(
                [*command, str(theirs), "reads" if reads else "writes"],
                cwd=CODE,
                env={"PATH": os.environ.get("PATH", sandbox.PATH), "LANG": "C.UTF-8"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[descriptor, theirs],
                start_new_session=True,
            )
        except OSError as error:
            self._mark.unlink()
            os.close(self.pipe)
            raise RuntimeFailure(f"Nothing could be started to work on the data: {error.strerror}.") from error
        finally:
            os.close(descriptor)
            os.close(theirs)
        stdin = cast(BinaryIO, self._keeper.stdin)
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps({**spec, "mark": str(self._mark)}).encode())
            stdin.close()

    def feed(self, archive: BinaryIO) -> None:
        """Write an archive to it; what it has no more use for is not read."""
        try:
            while piece := archive.read(PIECE):
                left = memoryview(piece)
                while left:
                    left = left[os.write(self.pipe, left) :]
        except BrokenPipeError:
            pass
        finally:
            self.close_pipe()

    def end(self) -> dict[str, Any]:
        """Wait for its end and give what it found; RuntimeFailure with its own words where it was not content."""
        stdout = cast(BinaryIO, self._keeper.stdout)
        said = stdout.read()
        self._clean()
        try:
            finished = json.loads(said)
            spoken = json.loads(finished["output"].strip().rpartition("\n")[2])
            facts = spoken.get("facts") if finished["succeeded"] else None
        except (ValueError, KeyError, AttributeError):
            log.warning("What works on the data of %s said: %r", self._mark.name, said[-2000:])
            raise RuntimeFailure(UNSAID.format(ended=_ended(said))) from None
        if not isinstance(facts, dict):
            failure = NoRoomLeft if spoken.get("full") else RuntimeFailure
            raise failure(str(spoken.get("refused") or UNSAID.format(ended=finished["ended"]))[:1000])
        return facts

    def kill(self) -> None:
        """End it, whatever it is doing; the sandbox dies with its keeper."""
        self.close_pipe()
        self._keeper.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(POLITE)
        self._clean()

    def close_pipe(self) -> None:
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def _clean(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        for stream in (self._keeper.stdin, self._keeper.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._mark.unlink(missing_ok=True)


def _ended(said: bytes) -> str:
    try:
        return str(json.loads(said)["ended"])
    except (ValueError, KeyError):
        return "it was ended from outside"


class Taken(io.RawIOBase):
    """What a helper writes. Its end is an end only where the helper says so; else `read` raises RuntimeFailure."""

    def __init__(self, helper: Helper, scratch: Path | None = None) -> None:
        self._helper = helper
        self._scratch = scratch
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        count = os.readv(self._helper.pipe, [buffer])
        if not count:
            self._ended = True
            self._helper.end()
        return count

    def close(self) -> None:
        if not self.closed:
            self._helper.kill()
            if self._scratch:
                with contextlib.suppress(OSError):
                    files.remove_tree(self._scratch)
        super().close()


def main() -> None:
    """Keep one helper: told on standard input what to run, says on standard output how it went."""
    pipe, reads = int(sys.argv[1]), sys.argv[2] == "reads"
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - of numbers, not files
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(name), False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    spec = json.loads(sys.stdin.buffer.read())
    done = _keep(spec, pipe, reads)
    # Whoever asked for it would do so, too, but may have been killed
    for folder in spec["scratch"]:
        with contextlib.suppress(OSError):
            files.remove_tree(Path(folder))
    Path(spec["mark"]).unlink(missing_ok=True)
    print(json.dumps(done))


def _keep(spec: Mapping[str, Any], pipe: int, reads: bool) -> dict[str, Any]:
    """Run it until it ends, or this process is asked to; say how it went."""
    source, errors = os.pipe()
    begun = time.monotonic()
    try:
        kept = _start(spec, pipe, reads, errors)
    except sandbox.SandboxFailure as failure:
        return commands.finished(False, "the sandbox could not be made", str(failure), begun)
    os.close(errors)
    os.close(pipe)
    tail = Tail(source)
    words = ""
    while not kept.reap() and not words:
        told = signal.sigtimedwait(SIGNALS, max(0.0, begun + LONGEST - time.monotonic()))
        if told is None or told.si_signo != signal.SIGCHLD:
            words = "it was ended from outside"
    kept.end(0.0)
    succeeded = not words and kept.status == 0
    return commands.finished(succeeded, words or in_words(kept.status), tail.text(), begun)


def _start(spec: Mapping[str, Any], pipe: int, reads: bool, errors: int) -> Kept:
    variables = _connect_it(spec)
    plan = sandbox.Plan(
        command=spec["command"],
        variables=variables,
        port=None,
        release=None,
        data=Path(spec["data"]),
        user=spec["user"],
        hidden=tuple(spec["hidden"]),
        memory=MEMORY,
        more=tuple(spec["more"]),
    )
    start = sandbox.start if spec["sandboxed"] else sandbox.start_openly
    output, given = (errors, pipe) if reads else (pipe, None)
    kept = Kept(start(plan, output, given, errors))
    become_reaper()
    return kept


def _connect_it(spec: Mapping[str, Any]) -> dict[str, str]:
    """Give this process a way to the database and to nothing else; gives what libpq is to know of it."""
    way = keeping.way(spec)
    if way is None:
        return {}
    from deployments.runtimes import network

    if spec["sandboxed"]:
        try:
            network.isolate()
        except OSError as error:
            raise sandbox.SandboxFailure(f"The sandbox got no network of its own: {error.strerror}.") from error
    database = spec["database"]
    port = way.open(keeping.DATABASE_PORT if spec["sandboxed"] else 0)
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGDATABASE": database["name"],
        "PGUSER": database["role"],
        "PGPASSWORD": database["password"],
        "PGSSLMODE": "require" if database["encrypted"] else "prefer",
    }
