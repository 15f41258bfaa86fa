"""What the process runtime does with the data of environments: their files and their databases."""

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO

from deployments.runtimes import commands, files
from deployments.runtimes.base import (
    DatabaseKind,
    DatabaseServer,
    Instance,
    Isolation,
    Part,
    Room,
    RuntimeFailure,
    Staged,
)
from deployments.runtimes.data import Data, aside
from deployments.runtimes.databases import Database, Databases
from deployments.runtimes.layout import CODE, Layout


class Holding(ABC):
    """The part of a runtime that holds data."""

    layout: Layout
    databases: Databases
    _first_user: int

    @abstractmethod
    def isolation(self) -> Isolation:
        """Say whether this host can keep packages apart."""

    def database(self, environment: int) -> DatabaseKind:
        return DatabaseKind.POSTGRESQL if self.databases.is_for(environment) else DatabaseKind.SQLITE

    def database_server(self) -> DatabaseServer:
        from deployments.runtimes import server_checks  # for operators only

        return server_checks.look_at(self.databases)

    def take(self, environment: int, part: Part, staged: int = 0) -> BinaryIO:
        if self.layout.data(environment).is_dir():
            self._give_data(environment)
        return self._data_of(environment).take(part, staged)

    def stage(self, instance: Instance, archive: BinaryIO, onto: bool = False, room: Room | None = None) -> Staged:
        return self._data_of(instance.environment).stage(instance.number, archive, onto, room or Room())

    def swap(self, instance: Instance) -> None:
        self._data_of(instance.environment).swap(instance.number)

    def swap_back(self, instance: Instance) -> None:
        self._data_of(instance.environment).swap_back(instance.number)

    def discard(self, instance: Instance) -> None:
        self._data_of(instance.environment).discard(instance.number)

    def aside(self) -> list[Instance]:
        return sorted(set(aside(self.layout)))

    def clear(self, environment: int) -> None:
        self.layout.make()
        self.databases.refuse_out_of_reach(environment)
        with files.locked(self._lock):
            running = any(record.environment == environment for record in self.layout.all_records())
            if running or commands.any_runs(self.layout, environment):
                raise RuntimeFailure("Something of the environment still runs, so nothing was removed. Stop it first.")
            self._finish_clearing(environment)
            if self.layout.data(environment).exists():
                self.layout.data(environment).rename(self._cleared(environment))
        self.databases.drop(environment)
        self._remove(self._cleared(environment))

    def forget(self, environment: int) -> None:
        self.clear(environment)
        self._remove(self.layout.outputs / str(environment))
        self._remove(self.layout.lines(environment))
        self._remove(self.layout.environments / str(environment))

    @property
    def _lock(self) -> Path:
        return self.layout.run / "runtime.lock"

    def _data_of(self, environment: int) -> Data:
        self._refuse_as_root()
        described = {"user": self._user(environment), "sandboxed": self.isolation().complete, "hidden": self._hidden}
        return Data(self.layout, self.databases, self._lock, described, environment)

    def _cleared(self, environment: int) -> Path:
        """Give the folder of data that are being removed. While it is there, so is the database's removal."""
        return self.layout.environments / f".{environment}"

    def _finish_clearing(self, environment: int) -> None:
        """Remove what a worker left behind that was killed while it removed the environment's data."""
        if self._cleared(environment).exists():
            self.databases.drop(environment)
            self._remove(self._cleared(environment))

    def _make_database(self, environment: int) -> Database | None:
        """Give the environment's database on the server, made where it is missing; None where it has a file."""
        self._data_of(environment).refuse_half()
        self._finish_clearing(environment)
        return self.databases.make(environment) if self.databases.is_for(environment) else None

    def _give_data(self, environment: int) -> None:
        folder = files.make_private(self.layout.data(environment))
        user = self._user(environment)
        if user is None or folder.stat().st_uid == user:
            return
        # What it holds came from a portal that ran as another user. Links are given away, never followed.
        for path in (*folder.rglob("*"), folder):
            os.chown(path, user, user, follow_symlinks=False)

    def _refuse_as_root(self) -> None:
        isolation = self.isolation()
        if not isolation.complete and os.geteuid() == 0:
            # SECURITY: nothing that a team uploads runs as root, whoever accepted a weak isolation
            raise RuntimeFailure(f"{isolation.reason} Without a sandbox no package runs while the portal is root.")

    def _user(self, environment: int) -> int | None:
        return self._first_user + environment if os.geteuid() == 0 else None

    @property
    def _hidden(self) -> list[str]:
        return [str(CODE), str(self.layout.var)]

    def _remove(self, folder: Path) -> None:
        try:
            files.remove_tree(folder)
        except OSError as error:
            raise RuntimeFailure(f"Not everything could be removed: {error.strerror}.") from error
