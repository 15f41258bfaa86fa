"""What the process runtime says of the apps that it runs: what they write, what they use, what their visitors met."""

import contextlib
import os
import shutil
import subprocess
from collections import defaultdict
from datetime import date
from typing import BinaryIO

from deployments.runtimes import files, processes, visits
from deployments.runtimes.base import Instance, LogDay, LogPart, Measured, RuntimeFailure, Stored, Visits
from deployments.runtimes.databases import Databases
from deployments.runtimes.days import Days, keep_all
from deployments.runtimes.inside.words import OWN
from deployments.runtimes.layout import Layout
from deployments.runtimes.router import Router

COUNTED_WITHIN = 120  # seconds that counting the bytes of an environment's files may take
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK = 512  # bytes; what `st_blocks` counts in, see inode(7)


class Watching:
    """The part of a runtime that only looks."""

    layout: Layout
    router: Router
    databases: Databases

    def log_before(self, environment: int, cursor: str, most: int) -> LogPart:
        return self._days(environment).before(cursor, most)

    def log_after(self, environment: int, cursor: str, most: int) -> LogPart:
        return self._days(environment).after(cursor, most)

    def log_left(self, environment: int, cursor: str) -> int:
        return self._days(environment).left(cursor)

    def log_days(self, environment: int) -> list[LogDay]:
        return self._days(environment).listed()

    def open_day(self, environment: int, day: date) -> BinaryIO:
        return self._days(environment).open(day)

    def keep_logs(self, kept: int, most: int) -> None:
        self.layout.make()
        keep_all(self.layout.days, self.layout.locks, kept, most)

    def measure(self) -> list[Measured]:
        spaces: dict[int, list[int]] = defaultdict(list)
        for pid in processes.every():
            spaces[processes.namespace(pid)].append(pid)
        found = []
        for record in self.layout.all_records():
            state = record.state
            if "ended" in state or not files.is_held(record.alive):
                continue
            if state.get("namespace"):
                pids = spaces.get(state["namespace"], [])
            else:
                pids = processes.descendants(state.get("launcher", 0)) if state.get("launcher") else []
            instance = Instance(record.environment, record.number)
            found.append(Measured(instance, _processor(pids), _memory(pids), max(0, state.get("starts", 1) - 1)))
        return sorted(found, key=lambda measured: measured.instance)

    def storage(self, environment: int) -> Stored:
        counted = self._bytes_of_files(environment)
        if database := self.databases.of(environment):
            return Stored(self.databases.size(database), counted)
        own = min(counted, self._bytes_of_own_database(environment))
        return Stored(own, counted - own)

    def room(self, environment: int) -> int:
        try:
            return shutil.disk_usage(self.layout.environments).free
        except FileNotFoundError:
            return shutil.disk_usage(self.layout.var).free

    def visits(self, cursor: str) -> Visits:
        return visits.since(self.layout.log, cursor, self.router.routes().keys())

    def _bytes_of_files(self, environment: int) -> int:
        """Ask du, which follows no link and goes as deep as an app may have dug."""
        folder = self.layout.data(environment)
        if not folder.exists():
            return 0
        command = ["nice", "-n", "19", "du", "-s", "-x", "-B", "1", "--", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=COUNTED_WITHIN)
            # It fails where a file went away meanwhile, and has counted the rest
            return int(done.stdout.split(maxsplit=1)[0])
        except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as error:
            raise RuntimeFailure("The environment's files could not be counted.") from error

    def _bytes_of_own_database(self, environment: int) -> int:
        """Add up the SQLite file and what SQLite keeps beside it, following no link."""
        folder, found = self.layout.data(environment), 0
        for name in OWN:
            with contextlib.suppress(OSError):
                found += (folder / name).lstat().st_blocks * BLOCK
        return found

    def _days(self, environment: int) -> Days:
        return Days(self.layout.lines(environment))


def _processor(pids: list[int]) -> float:
    """Seconds of a processor that processes have used, with the children that they have collected; see proc(5)."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := processes.fields(pid))) / TICK


def _memory(pids: list[int]) -> int:
    """Bytes in memory that are each process's own, and what they share, counted once."""
    own = shared = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - for each process of each app
                _, resident, common = map(int, file.read().split()[:3])
        except (OSError, ValueError):
            continue
        own += resident - common
        shared = max(shared, common)
    return (own + shared) * PAGE
