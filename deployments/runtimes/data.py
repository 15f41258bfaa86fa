"""An environment's data: read while the app runs, unpacked aside, switched. The portal itself opens none of them.

SECURITY: an app may have planted links, pipes, huge files with holes, or a database made to break SQLite. Whatever
reads or writes its data therefore runs in a sandbox (`inside`) as the environment's own user, without any network.
"""

import contextlib
import io
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from deployments.runtimes import commands, files, sandbox
from deployments.runtimes.base import Instance, Part, Room, RuntimeFailure, Staged
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
SCRATCH, CURRENT = "/scratch", "/current"
ASIDE = re.compile(r"\.?(staged|before|gone)-([0-9]+)")
PACKAGE = "deployments.runtimes.inside"
MODULES = ("words", "saving", "staging", "run")
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


class Data:
    """The data of environments. `described` gives user and sandbox of an environment's processes.

    Beside `data` an environment's folder may have `staged-N`, what the job N unpacked; `before-N`, what it switched
    aside; and `.gone-N`, which is being removed.
    """

    def __init__(self, layout: Layout, lock: Path, described: Mapping[str, Any], environment: int) -> None:
        self.layout = layout
        self.lock = lock
        self.described = described
        self.environment = environment
        self.data = layout.data(environment)
        self.folder = self.data.parent

    def take(self, part: Part, staged: int) -> BinaryIO:
        """Begin to read a part of the data, or of what a job unpacked."""
        data = self._staged(staged) if staged else self._own()
        if part is Part.FILES:
            return cast(BinaryIO, Taken(self._helper("files", data)))
        scratch = self._fresh("scratch")
        helper = self._helper("database", data, {"scratch": (scratch, SCRATCH)})
        return cast(BinaryIO, Taken(helper, scratch))

    def stage(self, number: int, archive: BinaryIO, onto: bool, room: Room) -> Staged:
        self.discard(number)
        data = self._fresh(f"staged-{number}")
        options = {"most_bytes": room.most_bytes, "most_entries": room.most_entries, "reserve": room.reserve}
        with_it = {"onto": (self.data, CURRENT)} if onto and self.data.is_dir() else {}
        helper = self._helper("stage", data, with_it, {"onto": "", **options}, reads=True)
        try:
            helper.feed(archive)
            facts = helper.end()
            return Staged(bool(facts["database"]), bool(facts["files"]), int(facts["count"]), int(facts["size"]))
        except BaseException:
            helper.kill()
            self.discard(number)
            raise

    def swap(self, number: int) -> None:
        """Two renames: cut off in between there are no data, which `swap_back` puts right and `refuse_half` notices."""
        staged, before = self._staged(number), self.folder / f"before-{number}"
        with files.locked(self.lock):
            self._refuse_while_running()
            if not staged.is_dir() or before.exists():
                raise RuntimeFailure("There are no data aside that could be switched to.")
            files.make_private(self.data)
            _flush(staged)
            self.data.rename(before)
            staged.rename(self.data)
            _flush_folder(self.folder)

    def swap_back(self, number: int) -> None:
        before = self.folder / f"before-{number}"
        with files.locked(self.lock):
            if not before.exists():
                return
            self._refuse_while_running()
            if self.data.exists():
                self.data.rename(self._staged(number))
            before.rename(self.data)
            _flush_folder(self.folder)

    def discard(self, number: int) -> None:
        gone = self.folder / f".gone-{number}"
        with files.locked(self.lock):
            # Half of it must not pass for a whole, wherever this is broken off
            for name in (f"before-{number}", f"staged-{number}"):
                self._remove(gone)
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / name).rename(gone)
        self._remove(gone)
        self._remove(self.folder / "scratch")

    def refuse_half(self) -> None:
        """Raise RuntimeFailure where a switch was cut off: the app must not begin with no data at all."""
        if not self.data.exists() and any(self.folder.glob("before-*")):
            raise RuntimeFailure("The data of the environment are being put back after a restore was cut off.")

    def _own(self) -> Path:
        """Give the folder of the data, which an app that never was started has not got yet."""
        self.refuse_half()
        return self.data if self.data.exists() else self._fresh(self.data.name)

    def _staged(self, number: int) -> Path:
        return self.folder / f"staged-{number}"

    def _fresh(self, name: str) -> Path:
        """Make an empty folder for the environment's user beside its data."""
        self.layout.make()
        folder = self.folder / name
        self._remove(folder)
        files.make_private(folder)
        if (user := self.described["user"]) is not None:
            os.chown(folder, user, user)
        return folder

    def _remove(self, folder: Path) -> None:
        if not folder.exists():
            return
        try:
            files.remove_tree(folder)
        except OSError as error:
            raise RuntimeFailure(f"Not everything could be removed: {error.strerror}.") from error

    def _refuse_while_running(self) -> None:
        running = any(record.environment == self.environment for record in self.layout.all_records())
        if running or commands.any_runs(self.layout, self.environment):
            raise RuntimeFailure("Something of the environment still runs, so its data were left as they are.")

    def _helper(
        self,
        what: str,
        data: Path,
        more: Mapping[str, tuple[Path, str]] | None = None,
        options: Mapping[str, Any] | None = None,
        reads: bool = False,
    ) -> "Helper":
        """Start what works on the data; `more` are further folders by the option that names them inside."""
        sandboxed = self.described["sandboxed"]
        inside = {name: place if sandboxed else str(folder) for name, (folder, place) in (more or {}).items()}
        binds = [
            option
            for name, (folder, place) in (more or {}).items()
            for option in ("--bind" if name == "scratch" else "--ro-bind", str(folder), place)
        ]
        spec = {
            **self.described,
            "command": program(what, {**(options or {}), **inside}),
            "data": str(data),
            "more": ["--unshare-net", *binds],
            "scratch": [str(folder) for name, (folder, _) in (more or {}).items() if name == "scratch"],
        }
        return Helper(self.layout, self.environment, spec, reads)


def aside(layout: Layout) -> Iterator[Instance]:
    """Give the jobs of which something lies aside, in no particular order."""
    for path in layout.environments.glob("*/*"):
        found = ASIDE.fullmatch(path.name)
        if found and path.parent.name.isdecimal():
            yield Instance(int(path.parent.name), int(found[2]))


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
        code = "from deployments.runtimes.data import main; main()"
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
            raise RuntimeFailure(str(spoken.get("refused") or UNSAID.format(ended=finished["ended"]))[:1000])
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


def _flush(folder: Path) -> None:
    """Have all that is in a folder's file system written down."""
    subprocess.run(["sync", "--file-system", "--", str(folder)], check=True, capture_output=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
    plan = sandbox.Plan(
        command=spec["command"],
        variables={},
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
