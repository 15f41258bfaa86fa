"""The runtime on one machine: supervisord keeps the processes, bubblewrap keeps them apart, Caddy leads to them."""

import functools
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from deployments import packages
from deployments.limits import limits as limits_of_packages
from deployments.runtimes import commands, files, ports, probe, processes, sandbox
from deployments.runtimes.base import (
    Finished,
    Health,
    Instance,
    InstanceState,
    Isolation,
    Limits,
    RuntimeFailure,
    Spec,
    Status,
)
from deployments.runtimes.databases import Database, Databases
from deployments.runtimes.holding import Holding
from deployments.runtimes.isolation import Found, can_count, try_host
from deployments.runtimes.layout import PATIENCE, Layout, Record
from deployments.runtimes.router import Router
from deployments.runtimes.supervision import Supervision
from deployments.runtimes.watching import Watching
from deployments.variables import ValueType, name_problem, value_problem

RELEASE = re.compile(r"[0-9a-f]{64}")
# Far from the numbers of people, services and containers on a usual host, see systemd's "Users, Groups, UIDs"
FIRST_USER = 1_900_000_000
MEMORY = 2 * 1024**3  # bytes; what a usual app on a Java, Node or Python server gets along with
LINE = 1024  # bytes; what a line of output has at most, when its end is looked for
# Seconds without a connection after which none is on its way any more: between finding the route and connecting the
# router needs less than a millisecond, on a machine that is busy more
QUIET = 0.2
LOOKS = 3  # on a machine that is so busy that one look takes longer than that
LAST_WORDS_WITHIN = 0.5  # seconds
KEPT_OUTPUTS = 10  # instances per environment whose output is kept
UNKNOWN = "It is not running, and nothing says why."


class ProcessRuntime(Holding, Watching):
    """Runs packages as processes of this machine, each in a sandbox with a folder of its own for data.

    Where the portal runs as root, an environment's processes have their own user: `first_user` and its number.
    """

    def __init__(
        self,
        var: Path,
        apps_port: int,
        apps_domain: str = "apps.localhost",
        first_user: int = FIRST_USER,
        memory: int = MEMORY,
        database_url: str = "",
    ) -> None:
        self.layout = Layout(var)
        self.databases = Databases(self.layout, database_url)
        self.supervision = Supervision(self.layout)
        self.router = Router(self.layout)
        self._port = apps_port
        self._domain = apps_domain
        self._first_user = first_user
        self._memory = memory

    @classmethod
    def from_settings(cls) -> "ProcessRuntime":
        from django.conf import settings

        return cls(
            settings.VAR,
            settings.APPS_PORT,
            settings.APPS_DOMAIN,
            settings.APPS_FIRST_USER,
            settings.APP_MEMORY_BYTES,
            settings.ENVIRONMENT_DATABASE_URL,
        )

    def isolation(self) -> Isolation:
        return self._found.isolation

    @functools.cached_property
    def _found(self) -> Found:
        return try_host(self.layout.var, self._user(0))

    def limits(self) -> Limits:
        return Limits(self._memory, self._counts, sandbox.FILE_BYTES)

    @functools.cached_property
    def _counts(self) -> bool:
        return can_count(self.layout.var)

    def has_release(self, release: str) -> bool:
        return self._release(release).is_dir()

    def prepare(self, release: str, archive: BinaryIO) -> None:
        final = self._release(release)
        self.layout.make()
        with files.locked(self.layout.locks / release):
            if final.is_dir():
                return
            aside = final.with_name(f".{release}")
            # What a worker left behind that was killed at this point
            shutil.rmtree(aside, ignore_errors=True)
            try:
                packages.unpack(archive, aside, limits_of_packages())
                os.sync()
                aside.rename(final)
            except OSError as error:
                raise RuntimeFailure(f"The package could not be unpacked: {error.strerror}.") from error
            finally:
                shutil.rmtree(aside, ignore_errors=True)

    def releases(self) -> list[str]:
        if not self.layout.releases.is_dir():
            return []
        return sorted(path.name for path in self.layout.releases.iterdir() if RELEASE.fullmatch(path.name))

    def remove_release(self, release: str) -> None:
        folder = self._release(release)
        self.layout.make()
        with files.locked(self.layout.locks / release):
            # Half of a release must not pass for one, wherever this is broken off
            aside = folder.with_name(f".{release}")
            with files.locked(self._lock):
                if any(record.spec["release"] == release for record in self.layout.all_records()):
                    raise RuntimeFailure("The release is in use by an instance. Stop that first.")
                self._remove(aside)
                if folder.is_dir():
                    folder.rename(aside)
            self._remove(aside)

    def start(self, spec: Spec) -> None:
        record = self._record(spec.instance)
        self.layout.make()
        database = self._make_database(spec.instance.environment)
        with files.locked(self._lock):
            self._refuse(spec)
            if self.status(spec.instance).state is InstanceState.RUNNING:
                return
            self._refuse_as_root()
            self._data_of(spec.instance.environment).refuse_half()
            self._give_data(spec.instance.environment)
            self._prune_outputs(spec.instance.environment)
            taken = {other.spec["port"] for other in self.layout.all_records()}
            record.remove()
            files.make_private(record.folder)
            described = self._described(spec, spec.command, ports.choose(taken), database)
            record.spec = {"host": spec.host, **described}
            self.supervision.describe(record)
            try:
                self.supervision.start(record)
            except RuntimeFailure:
                self.supervision.forget(record)
                record.remove()
                raise

    def check(self, instance: Instance, path: str, timeout: float) -> Health:
        record = self._record(instance)
        spec = record.spec
        status = self.status(instance)
        if not spec or status.state is not InstanceState.RUNNING:
            return Health(False, f"It ended: {status.ended}." if status.ended else "It does not run.", 0.0)
        launcher = record.state.get("launcher", 0)
        if not processes.listens(spec["port"], None, launcher):
            return Health(False, "Nothing listens on its port yet.", 0.0)
        health = probe.ask(record.folder, path, self._host(spec["host"]), timeout)
        # SECURITY: where packages share a network, another one may sit on this port and pass for this instance
        if health.healthy and not processes.listens(spec["port"], self._processes(record), launcher):
            return Health(False, "Another process listens on its port.", health.seconds)
        return health

    def status(self, instance: Instance) -> Status:
        record = self._record(instance)
        if not record.spec:
            return Status(InstanceState.ABSENT)
        ended = record.state.get("ended")
        if ended:
            return Status(InstanceState.ENDED, ended)
        if files.is_held(record.alive) or self._is_supervised(record):
            return Status(InstanceState.RUNNING)
        # It may have ended between the two looks
        return Status(InstanceState.ENDED, record.state.get("ended") or UNKNOWN)

    def instances(self) -> list[Instance]:
        return sorted(Instance(record.environment, record.number) for record in self.layout.all_records())

    def route(self, host: str, instance: Instance | None) -> None:
        if instance is not None and not self._record(instance).spec:
            raise RuntimeFailure("The instance does not run, so no address can lead to it.")
        self.router.route(host, instance)

    def routes(self) -> dict[str, Instance | None]:
        return self.router.routes()

    def drain(self, instance: Instance, patience: float) -> bool:
        record = self._record(instance)
        begun = seen = time.monotonic()
        looks = 0
        while looks < LOOKS or time.monotonic() < seen + QUIET:
            looks += 1
            if self._open_requests(record):
                seen, looks = time.monotonic(), 0
                if seen > begun + patience:
                    return False
            time.sleep(0.05)
        return True

    def stop(self, instance: Instance, grace: float) -> None:
        record = self._record(instance)
        with files.locked(self._lock):
            if not record.folder.exists():
                return
            record.ask_to_stop(grace)
            self.supervision.forget(record)
        commands.ask_to_end(self.layout, instance)
        if self.supervision.is_up():
            self._end(record, grace)
        else:
            # The launcher and with it all processes end with supervisord
            self._wait_for(record, PATIENCE)
        commands.wait_for_end(self.layout, instance, grace + PATIENCE)
        with files.locked(self._lock):
            record.remove()
        self.router.follow(record)

    def run(self, spec: Spec, command: str, timeout: float) -> Finished:
        self._refuse(replace(spec, command=command))
        self._refuse_as_root()
        database = self.databases.of(spec.instance.environment)
        described = self._described(spec, command, None, database)
        return commands.run(self.layout, spec.instance, described, timeout, self._lock)

    def environments(self) -> list[int]:
        places = (self.layout.environments, self.layout.outputs, self.layout.days)
        folders = [folder for folder in places if folder.is_dir()]
        names = {path.name for folder in folders for path in folder.iterdir()}
        return sorted(int(name) for name in names if name.isdecimal())

    def output(self, instance: Instance, lines: int = 50) -> str:
        self._wait_for_last_words(self._record(instance))
        path = self.layout.output(instance.environment, instance.number)
        size = lines * LINE
        text = files.tail(path, size)
        if len(text) < size:
            text = files.tail(path.with_name(f"{path.name}.1"), size - len(text)) + text
        return "\n".join(text.decode("utf-8", "replace").splitlines()[-lines:])

    def address(self, host: str) -> str:
        return f"http://{host}.{self._domain}:{self._port}"

    def _record(self, instance: Instance) -> Record:
        return self.layout.record(instance.environment, instance.number)

    def _release(self, release: str) -> Path:
        # SECURITY: the name becomes a path
        if not RELEASE.fullmatch(release):
            raise RuntimeFailure("A release is named by the SHA-256 of its package.")
        return self.layout.release(release)

    def _refuse(self, spec: Spec) -> None:
        """Refuse what must not reach a launcher, however it got here."""
        if not self.has_release(spec.release):
            raise RuntimeFailure("The package is not unpacked here.")
        problems = [name_problem(name) for name in spec.variables]
        problems += [value_problem(ValueType.STRING, text) for text in (spec.command, *spec.variables.values())]
        for problem in filter(None, problems):
            raise RuntimeFailure(problem)

    def _described(self, spec: Spec, command: str, port: int | None, database: Database | None) -> dict[str, Any]:
        """Give what `keeping.start` starts."""
        return {
            "release": spec.release,
            "command": command,
            "variables": dict(spec.variables),
            "port": port,
            "user": self._user(spec.instance.environment),
            "memory": self._memory,
            "sandboxed": self.isolation().complete,
            "separate": self._found.separate,
            "hidden": self._hidden,
            "database": self.databases.described(database) if database else None,
        }

    def _host(self, label: str) -> str:
        return f"{label}.{self._domain}" if label else "localhost"

    def _prune_outputs(self, environment: int) -> None:
        folder = self.layout.output(environment, 0).parent
        if not folder.is_dir():
            return
        running = {record.number for record in self.layout.all_records() if record.environment == environment}
        numbers = sorted({int(path.name.partition(".")[0]) for path in folder.iterdir()} - running)
        for number in numbers[:-KEPT_OUTPUTS]:
            for path in folder.glob(f"{number}.log*"):
                path.unlink(missing_ok=True)

    def _is_supervised(self, record: Record) -> bool:
        """Say whether supervisord counts the launcher as running, which it does before there is one."""
        try:
            return self.supervision.states().get(record.name) in ("STARTING", "RUNNING")
        except RuntimeFailure:
            return False

    def _wait_for_last_words(self, record: Record) -> None:
        """Let supervisord write what an instance said just before it ended; it does so when it notices the end."""
        until = time.monotonic() + LAST_WORDS_WITHIN
        while "ended" in record.state and self._is_supervised(record) and time.monotonic() < until:
            time.sleep(0.02)

    def _open_requests(self, record: Record) -> int:
        """Count connections: the router closes those that carry no request after a moment."""
        launcher = record.state.get("launcher")
        if not launcher or not files.is_held(record.alive):
            return 0
        return processes.connections(record.spec["port"], launcher)

    def _processes(self, record: Record) -> list[int]:
        state = record.state
        if state.get("namespace"):
            return processes.inside(state["namespace"])
        return processes.descendants(state["launcher"]) if "launcher" in state else []

    def _end(self, record: Record, grace: float) -> None:
        self.supervision.signal(record, "TERM")
        if self.supervision.remove(record, grace + PATIENCE):
            return
        # A launcher that hangs takes its sandbox with it when it is killed
        self.supervision.signal(record, "KILL")
        if not self.supervision.remove(record, PATIENCE):
            raise RuntimeFailure("The instance did not end. See the portal's log for supervisord.")

    def _wait_for(self, record: Record, patience: float) -> None:
        until = time.monotonic() + patience
        while files.is_held(record.alive):
            if time.monotonic() > until:
                raise RuntimeFailure("The instance did not end. Start the portal, then try again.")
            time.sleep(0.05)
