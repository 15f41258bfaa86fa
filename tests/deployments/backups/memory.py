"""Environments' data in memory, for tests of rules."""

import json
import tarfile
from io import BytesIO
from typing import BinaryIO

from deployments.runtimes.base import DatabaseKind, DatabaseServer, Instance, Part, Room, RuntimeFailure, Staged

EMPTY_TAR = bytes(1024)
FIRST = {Part.DATABASE: b"SQLite format 3\0 as it was at first", Part.FILES: EMPTY_TAR}


class DataInMemory:
    """Keeps data by environment, and what lies aside by job. `running` are environments that must not be switched."""

    def __init__(self) -> None:
        self.data: dict[int, dict[Part, bytes]] = {}
        self.staged: dict[Instance, dict[Part, bytes]] = {}
        self.put_aside: dict[Instance, dict[Part, bytes]] = {}
        self.spoiled: set[int] = set()  # environments whose data can't be read to their end
        self.running: set[int] = set()
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self.on_server: set[int] = set()  # environments whose database is on a server

    def _call(self, name: str, *what: object) -> None:
        self.calls.append(" ".join([name, *map(str, what)]))
        if name in self.failing:
            raise RuntimeFailure(f"The runtime can't {name}.")

    def _runs(self, environment: int) -> bool:
        return environment in self.running

    def write(self, environment: int, text: str) -> None:
        """As if the app wrote to its database."""
        self.data[environment] = {**self.content(environment), Part.DATABASE: b"SQLite format 3\0" + text.encode()}

    def read(self, environment: int) -> str:
        return self.content(environment)[Part.DATABASE].removeprefix(b"SQLite format 3\0").decode()

    def content(self, environment: int) -> dict[Part, bytes]:
        return self.data.get(environment, FIRST)

    def database(self, environment: int) -> DatabaseKind:
        return DatabaseKind.POSTGRESQL if environment in self.on_server else DatabaseKind.SQLITE

    def database_server(self) -> DatabaseServer:
        return DatabaseServer()

    def take(self, environment: int, part: Part, staged: int = 0) -> BinaryIO:
        self._call("take", part)
        found = self.staged[Instance(environment, staged)] if staged else self.content(environment)
        return Spoiled(found[part]) if environment in self.spoiled else BytesIO(found[part])

    def stage(self, instance: Instance, archive: BinaryIO, onto: bool = False, room: Room | None = None) -> Staged:
        self._call("stage", instance.number)
        parts = _unpacked(archive.read() or b"")
        if b"hostile" in b"".join(parts.values()):
            raise RuntimeFailure("The entry “../x” leads out of its folder with “..”.")
        held = Staged(Part.DATABASE in parts, Part.FILES in parts, len(parts), sum(map(len, parts.values())))
        rest = self.content(instance.environment) if onto else {Part.DATABASE: b"", Part.FILES: EMPTY_TAR}
        self.staged[instance] = {**rest, **parts}
        return held

    def swap(self, instance: Instance) -> None:
        self._call("swap", instance.number)
        if self._runs(instance.environment):
            raise RuntimeFailure("Something of the environment still runs, so its data were left as they are.")
        self.put_aside[instance] = self.content(instance.environment)
        self.data[instance.environment] = self.staged.pop(instance)

    def swap_back(self, instance: Instance) -> None:
        self._call("swap_back", instance.number)
        if instance in self.put_aside:
            if self._runs(instance.environment):
                raise RuntimeFailure("Something of the environment still runs, so its data were left as they are.")
            self.staged[instance] = self.content(instance.environment)
            self.data[instance.environment] = self.put_aside.pop(instance)

    def discard(self, instance: Instance) -> None:
        self._call("discard", instance.number)
        self.staged.pop(instance, None)
        self.put_aside.pop(instance, None)

    def aside(self) -> list[Instance]:
        return sorted({*self.staged, *self.put_aside})


class Spoiled(BytesIO):
    """Breaks off at its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if piece := super().read(size):
            return piece
        raise RuntimeFailure("The database can't be read: database disk image is malformed.")


def _unpacked(content: bytes) -> dict[Part, bytes]:
    if content.startswith((b"SQLite", b"PGDMP")):
        return {Part.DATABASE: content}
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        members = {member.name: archive.extractfile(member) for member in archive}
        if "backup.json" not in members:
            return {Part.FILES: content}
        read = {name: file.read() for name, file in members.items() if file}
    assert json.loads(read["backup.json"])["made-by"] == "developer-portal"
    names = {"database.sqlite3": Part.DATABASE, "database.dump": Part.DATABASE, "files.tar": Part.FILES}
    return {names[name]: content for name, content in read.items() if name in names}
