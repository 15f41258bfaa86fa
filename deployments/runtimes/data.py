"""An environment's data: read while the app runs, unpacked aside, switched. The portal itself opens none of them.

SECURITY: an app may have planted links, pipes, huge files with holes, or a database made to break SQLite. Whatever
reads or writes its data therefore runs in a sandbox (`helping`) as the environment's own user.
"""

import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from deployments.runtimes import commands, files
from deployments.runtimes.base import Instance, Part, Room, RuntimeFailure, Staged
from deployments.runtimes.databases import Database, Databases
from deployments.runtimes.helping import PIECE, Helper, Taken, program
from deployments.runtimes.layout import Layout

SCRATCH, CURRENT = "/scratch", "/current"
ASIDE = re.compile(r"\.?(staged|before|gone)-([0-9]+)")
SIZE_EVERY = 1.0  # seconds


class Data:
    """The data of environments. `described` gives user and sandbox of an environment's processes.

    Beside `data` an environment's folder may have `staged-N`, what the job N unpacked; `before-N`, what it switched
    aside; and `.gone-N`, which is being removed. A database on a server lies aside there under the same words.
    """

    def __init__(
        self, layout: Layout, databases: Databases, lock: Path, described: Mapping[str, Any], environment: int
    ) -> None:
        self.layout = layout
        self.databases = databases
        self.lock = lock
        self.described = described
        self.environment = environment
        self.data = layout.data(environment)
        self.folder = self.data.parent

    def take(self, part: Part, staged: int) -> BinaryIO:
        """Begin to read a part of the data, or of what a job unpacked."""
        data = self._staged(staged) if staged else self._own()
        options = {"server": self.databases.is_for(self.environment)}
        if part is Part.FILES:
            return cast(BinaryIO, Taken(self._helper("files", data, options=options)))
        database = self.databases.of(self.environment)
        if database:
            self.databases.refuse_out_of_reach(self.environment)
            aside = self.databases.aside(database, "staged", staged) if staged else database
            return cast(BinaryIO, Taken(self._helper("dump", data, database=aside)))
        scratch = self._fresh("scratch")
        helper = self._helper("database", data, {"scratch": (scratch, SCRATCH)})
        return cast(BinaryIO, Taken(helper, scratch))

    def stage(self, number: int, archive: BinaryIO, onto: bool, room: Room) -> Staged:
        server = self.databases.is_for(self.environment)
        self.discard(number)
        data = self._fresh(f"staged-{number}")
        try:
            database = self.databases.make_aside(self.environment, "staged", number) if server else None
            staged = self._fill(data, archive, onto, room, database)
            if database and onto and not staged.database:
                self.databases.copy_aside(self.environment, "staged", number)
            return staged
        except BaseException:
            self.discard(number)
            raise

    def _fill(self, data: Path, archive: BinaryIO, onto: bool, room: Room, database: Database | None) -> Staged:
        limits = {"most_bytes": room.most_bytes, "most_entries": room.most_entries, "reserve": room.reserve}
        options = {"onto": "", "server": database is not None, **limits}
        with_it = {"onto": (self.data, CURRENT)} if onto and self.data.is_dir() else {}
        helper = self._helper("stage", data, with_it, options, reads=True, database=database)
        grown = Growth(self.databases, database, room.most_bytes, helper.kill)
        try:
            helper.feed(archive)
            facts = helper.end()
        except BaseException as error:
            helper.kill()
            if grown.too_much:
                raise RuntimeFailure(grown.words) from error
            raise
        finally:
            grown.end()
        return Staged(bool(facts["database"]), bool(facts["files"]), int(facts["count"]), int(facts["size"]))

    def swap(self, number: int) -> None:
        """Cut off in between there are no data, which `swap_back` puts right and `refuse_half` notices."""
        staged, before = self._staged(number), self.folder / f"before-{number}"
        with files.locked(self.lock):
            self._refuse_while_running()
            if not staged.is_dir() or before.exists():
                raise RuntimeFailure("There are no data aside that could be switched to.")
            files.make_private(self.data)
            _flush(staged)
            self.data.rename(before)
            self.databases.switch(self.environment, number)
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
            self.databases.switch_back(self.environment, number)
            before.rename(self.data)
            _flush_folder(self.folder)

    def discard(self, number: int) -> None:
        # First: while a folder lies aside, it is known that there may be a database as well
        self.databases.drop_aside(self.environment, number)
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
        database: Database | None = None,
    ) -> "Helper":
        """Start what works on the data; `more` are further folders by the option that names them inside.

        It reaches the database, where one is given, and nothing else.
        """
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
            "more": binds if database else ["--unshare-net", *binds],
            "database": self.databases.described(database) if database else None,
            "scratch": [str(folder) for name, (folder, _) in (more or {}).items() if name == "scratch"],
        }
        return Helper(self.layout, self.environment, spec, reads)


class Growth:
    """Watches a database while it is filled; calls `stop`, once, where it gets larger than `most` bytes."""

    def __init__(self, databases: Databases, database: Database | None, most: int, stop: Callable[[], None]) -> None:
        self._databases = databases
        self._most = most
        self._stop = stop
        self._ended = threading.Event()
        self.too_much = False
        self.words = f"The database unpacks to more than {most // PIECE:,} MiB."
        self._thread = threading.Thread(target=self._watch, args=[database], daemon=True)
        if database and most:
            self._thread.start()

    def end(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self, database: Database) -> None:
        while not self._ended.wait(SIZE_EVERY):
            with contextlib.suppress(RuntimeFailure):
                self.too_much = self._databases.size(database) > self._most
            if self.too_much:
                self._stop()
                return


def aside(layout: Layout) -> Iterator[Instance]:
    """Give the jobs of which something lies aside, in no particular order."""
    for path in layout.environments.glob("*/*"):
        found = ASIDE.fullmatch(path.name)
        if found and path.parent.name.isdecimal():
            yield Instance(int(path.parent.name), int(found[2]))


def _flush(folder: Path) -> None:
    """Have all that is in a folder's file system written down."""
    subprocess.run(["sync", "--file-system", "--", str(folder)], check=True, capture_output=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
