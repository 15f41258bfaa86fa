"""What the portal asks of the place where packages run.

The interface knows no paths, ports or process ids: one machine with processes fits behind it,
and so does a cluster. Everything is named by the environment's number, the instance's number
(the job that started it) and the release (the SHA-256 of the package it was unpacked from).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import BinaryIO, Protocol


class RuntimeFailure(Exception):
    """The runtime could not do what was asked; the message is a sentence for the person who asked."""


class NoRoomLeft(RuntimeFailure):
    """There was not enough room where the environments' data are."""


class InstanceState(StrEnum):
    RUNNING = "running"
    ENDED = "ended"
    ABSENT = "absent"


@dataclass(frozen=True, order=True)
class Instance:
    """One running copy of a release: of which environment, started by which of its jobs."""

    environment: int
    number: int


@dataclass(frozen=True)
class Spec:
    """What to start. `command` is the Procfile's web line, `variables` the environment's own ones.

    `host` is the environment's host name as `route` gets it; health checks ask for it.
    The runtime adds PORT, DATA_DIR and DATABASE_URL itself and nothing of the portal's.
    """

    instance: Instance
    release: str
    command: str
    variables: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


@dataclass(frozen=True)
class Status:
    """How an instance is. `ended` says in words how it ended ("exit code 3", "signal 9")."""

    state: InstanceState
    ended: str = ""


@dataclass(frozen=True)
class Health:
    """One health check: healthy or not, in words why not, and how long the answer took in seconds."""

    healthy: bool
    detail: str
    seconds: float


@dataclass(frozen=True)
class Finished:
    """How a single command went: in words how it ended ("exit code 3"), the end of its output, how many seconds."""

    succeeded: bool
    ended: str
    output: str
    seconds: float


@dataclass(frozen=True)
class LogPart:
    """Whole lines of an environment's log, oldest first, and where they begin and end, to go on from there.

    A line is its time (ISO 8601, UTC), the number of the instance that wrote it, and what that wrote, with a blank
    between; whatever an app writes may stand in the last. `more` says whether there is more in the direction asked for.
    """

    text: bytes
    begin: str
    end: str
    more: bool


@dataclass(frozen=True)
class LogDay:
    """A UTC day of which a log is kept: how many bytes it is to download, and whether they are packed by gzip."""

    day: date
    size: int
    packed: bool


class DatabaseKind(StrEnum):
    """What an environment's database is: an SQLite file among its data, or a database of its own on a server."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"

    @property
    def label(self) -> str:
        return {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[self]


@dataclass(frozen=True)
class DatabaseServer:
    """What is wrong with the server of databases: sentences about why it is of no use, and databases that apps see."""

    problems: tuple[str, ...] = ()
    open_to_apps: tuple[str, ...] = ()


class Part(StrEnum):
    """What an environment's data consist of."""

    DATABASE = "database"
    FILES = "files"


@dataclass(frozen=True)
class Staged:
    """What was unpacked aside: which parts the archive held, how many files and folders, how many bytes."""

    database: bool
    files: bool
    count: int
    size: int


@dataclass(frozen=True)
class Room:
    """What unpacking may take: bytes and files at most (0: as many as there are), and bytes that must stay free."""

    most_bytes: int = 0
    most_entries: int = 0
    reserve: int = 0


@dataclass(frozen=True)
class Measured:
    """What a running instance uses: seconds of a processor since it was started, bytes of memory now.

    `restarts` counts how often it ended by itself and was started again; its seconds begin anew then.
    """

    instance: Instance
    processor: float
    memory: int
    restarts: int


@dataclass(frozen=True)
class Stored:
    """What an environment's data take, in bytes: its database with all that belongs to it, and its files."""

    database: int
    files: int


@dataclass(frozen=True)
class Limits:
    """What an app may use, in bytes: memory, all of it `together` or else each part by itself, and its largest file."""

    memory: int
    together: bool
    largest_file: int


# Bounds in seconds between which answers are counted; the last count is of those that took longer
QUICKER_THAN = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Traffic:
    """Requests that visitors of a host made: how many by class of their status (1xx to 5xx), and by how long they took.

    `seconds` has a count for each of `QUICKER_THAN` and one more.
    """

    host: str
    statuses: tuple[int, ...]
    seconds: tuple[int, ...]


@dataclass(frozen=True)
class Visits:
    """The requests since a cursor, and the cursor from which to go on."""

    cursor: str
    hosts: tuple[Traffic, ...]


@dataclass(frozen=True)
class Isolation:
    """Whether packages run in a sandbox of their own here, and if not, why and what is missing.

    `gaps` are sentences about what a sandbox here leaves open, complete or not.
    """

    complete: bool
    reason: str = ""
    gaps: tuple[str, ...] = ()


class Runtime(Protocol):
    def isolation(self) -> Isolation:
        """Say whether this host can keep packages apart (tried for real, not guessed)."""

    def has_release(self, release: str) -> bool:
        """Say whether the release is unpacked here already."""

    def prepare(self, release: str, archive: BinaryIO) -> None:
        """Unpack the archive as this release; all of it or nothing. Does nothing where it is already there."""

    def releases(self) -> list[str]:
        """List the releases that are unpacked here, sorted."""

    def remove_release(self, release: str) -> None:
        """Remove an unpacked release; RuntimeFailure where an instance uses it."""

    def start(self, spec: Spec) -> None:
        """Start an instance beside whatever else runs for its environment; returns once it was started.

        It comes back after a restart of the host or of supervision until it is stopped.
        """

    def check(self, instance: Instance, path: str, timeout: float) -> Health:
        """Ask the instance itself for `path`: no redirects followed, small body, `timeout` in seconds."""

    def status(self, instance: Instance) -> Status:
        """Say how the instance is."""

    def instances(self) -> list[Instance]:
        """List every instance that was started and not stopped, sorted."""

    def route(self, host: str, instance: Instance | None) -> None:
        """Let requests for `host` reach the instance from now on (None: say that nothing runs there)."""

    def routes(self) -> dict[str, Instance | None]:
        """Say where each known host leads now."""

    def drain(self, instance: Instance, patience: float) -> bool:
        """Wait until no request is open on an instance that no host leads to any more; at most `patience` seconds.

        False when some still are open then. A WebSocket is a request that is open until one of its ends closes it.
        """

    def stop(self, instance: Instance, grace: float) -> None:
        """Ask the instance to end, wait `grace` seconds, end what is left; returns when nothing of it runs.

        Commands that run beside it (`run`) end with it.
        """

    def run(self, spec: Spec, command: str, timeout: float) -> Finished:
        """Run one command beside the instance that `spec` names and wait for its end.

        It gets the spec's release and variables and the environment's data, but no port; `spec.command` is left
        alone. After `timeout` seconds it is ended with everything it forked, likewise when the instance is stopped.
        RuntimeFailure where the instance was not started or is asked to stop, or the command can't be started.
        """

    def clear(self, environment: int) -> None:
        """Remove the environment's data for good; RuntimeFailure, and all is kept, while anything of it runs.

        Broken off half-way, the data is gone for the environment all the same; the next call removes the rest.
        """

    def environments(self) -> list[int]:
        """List the environments of which anything is kept here, sorted."""

    def forget(self, environment: int) -> None:
        """Remove all that is kept of an environment that is gone for good; as `clear`, and what it wrote as well."""

    def output(self, instance: Instance, lines: int = 50) -> str:
        """Give the last lines that the instance wrote, oldest first; empty when it wrote nothing."""

    def log_before(self, environment: int, cursor: str, most: int) -> LogPart:
        """Give the lines of the environment's log that end at the cursor (at the log's end without one).

        At most `most` bytes, of which a line may have 20,000; the size of the log does not matter. A cursor is the
        `begin` or `end` of another part; of one that is gone, or of another environment, the nearest is meant.
        """

    def log_after(self, environment: int, cursor: str, most: int) -> LogPart:
        """Give the lines that follow the cursor (from the oldest that can be read without one); else as `log_before`.

        The lines of today and yesterday (UTC) can be read so; earlier ones are in their days' archives.
        """

    def log_left(self, environment: int, cursor: str) -> int:
        """Say how many bytes of the log follow the cursor."""

    def log_days(self, environment: int) -> list[LogDay]:
        """List the days of which a log is kept, newest first."""

    def open_day(self, environment: int, day: date) -> BinaryIO:
        """Open a day's log, packed or not as it is listed; of today what there is by now. FileNotFoundError without."""

    def keep_logs(self, kept: int, most: int) -> None:
        """Pack the days that are over and remove those older than `kept` days, of each environment's log.

        The oldest goes, too, where a log is more than `most` bytes. Any number of workers call it all the time.
        """

    def database(self, environment: int) -> DatabaseKind:
        """Say what the environment's database is, or will be once something of it has started."""

    def database_server(self) -> DatabaseServer:
        """Look for what is wrong with the server of environments' databases, where there is one; may take seconds."""

    def take(self, environment: int, part: Part, staged: int = 0) -> BinaryIO:
        """Read a part of the environment's data as it is at one moment, while the app may go on writing.

        The database as an SQLite file or, from a server, as pg_dump's custom format, nothing where there is none; the
        files as a tar archive of all the rest. With `staged` it is what that job unpacked aside. `read` raises
        RuntimeFailure where it can't be read to its end; close it in any case.
        """

    def stage(self, instance: Instance, archive: BinaryIO, onto: bool = False, room: Room | None = None) -> Staged:
        """Unpack data aside for the job that `instance` names, beside those that the environment has, and check them.

        The archive is an SQLite file or a dump of pg_dump's custom format, whichever the environment's database is, a
        tar archive of files, packed by gzip or not, or what the portal gives to download
        (`deployments.backups.bundle`). With `onto` a part that it does not hold is copied from the data as
        they are. RuntimeFailure, and nothing is aside, where it is damaged, hostile or more than there is room for.
        """

    def swap(self, instance: Instance) -> None:
        """Make what `stage` unpacked the environment's data and put those that it had aside.

        RuntimeFailure, and nothing is changed, while anything of the environment runs. Broken off half-way, the
        environment has no data and starts nothing until `swap_back`.
        """

    def swap_back(self, instance: Instance) -> None:
        """Give the environment the data back that `swap` put aside; as `swap`. Does nothing where there are none."""

    def discard(self, instance: Instance) -> None:
        """Remove for good what lies aside for a job, unpacked or switched."""

    def aside(self) -> list[Instance]:
        """List the jobs for which anything lies aside, sorted."""

    def measure(self) -> list[Measured]:
        """Say what every running instance uses, sorted by instance."""

    def storage(self, environment: int) -> Stored:
        """Count what the environment's data take; this may take minutes. RuntimeFailure where it can't."""

    def room(self, environment: int) -> int:
        """Say how many bytes are free where the environment's files are, at once."""

    def limits(self) -> Limits:
        """Say what every app may use."""

    def visits(self, cursor: str) -> Visits:
        """Count the requests to every host that leads somewhere since the cursor; without one, none."""

    def address(self, host: str) -> str:
        """Give the URL under which a browser reaches `host`."""
