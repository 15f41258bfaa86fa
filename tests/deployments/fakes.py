"""A runtime in memory for tests of rules, and packages made on the spot."""

import json
from datetime import date
from io import BytesIO
from typing import Any, BinaryIO
from zipfile import ZipFile

from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.actor import Actor
from accounts.models import ProductionWindow, User
from deployments.flows import upload_package
from deployments.models import Package
from deployments.runtimes.base import (
    Finished,
    Health,
    Instance,
    InstanceState,
    Isolation,
    Limits,
    LogDay,
    LogPart,
    Measured,
    RuntimeFailure,
    Spec,
    Status,
    Stored,
    Traffic,
    Visits,
)
from environments.models import App
from tests.deployments.backups.memory import DataInMemory


class FakeRuntime(DataInMemory):
    """Keeps what runs in memory. `sick` are the commands that never get healthy, `dying` those that end at once."""

    def __init__(self) -> None:
        super().__init__()
        self.unpacked: set[str] = set()
        self.specs: dict[Instance, Spec] = {}
        self.ended: dict[Instance, str] = {}
        self.hosts: dict[str, Instance | None] = {}
        self.sick: set[str] = set()
        self.dying: set[str] = set()
        self.finished: dict[str, Finished] = {}
        self.isolated = Isolation(True)
        self.kept: set[int] = set()
        self.used: dict[Instance, tuple[float, int, int]] = {}
        self.stored: dict[int, Stored] = {}
        self.free = 100 * 1024**3
        self.visited: dict[str, tuple[Traffic, ...]] = {}

    def _runs(self, environment: int) -> bool:
        return any(instance.environment == environment for instance in self.specs)

    def isolation(self) -> Isolation:
        return self.isolated

    def has_release(self, release: str) -> bool:
        return release in self.unpacked

    def prepare(self, release: str, archive: BinaryIO) -> None:
        self._call("prepare")
        assert archive.read(2) == b"PK"
        self.unpacked.add(release)

    def releases(self) -> list[str]:
        return sorted(self.unpacked)

    def remove_release(self, release: str) -> None:
        self.unpacked.discard(release)

    def start(self, spec: Spec) -> None:
        self._call("start", spec.instance.number)
        assert spec.release in self.unpacked
        self.specs[spec.instance] = spec
        if spec.command in self.dying:
            self.ended[spec.instance] = "exit code 3"

    def check(self, instance: Instance, path: str, timeout: float) -> Health:
        self._call("check", path)
        if self.status(instance).state is not InstanceState.RUNNING or self.specs[instance].command in self.sick:
            return Health(False, "It answered 503.", 0.001)
        return Health(True, "", 0.001)

    def status(self, instance: Instance) -> Status:
        if instance not in self.specs:
            return Status(InstanceState.ABSENT)
        if instance in self.ended:
            return Status(InstanceState.ENDED, self.ended[instance])
        return Status(InstanceState.RUNNING)

    def instances(self) -> list[Instance]:
        return sorted(self.specs)

    def route(self, host: str, instance: Instance | None) -> None:
        self._call("route", instance.number if instance else None)
        self.hosts[host] = instance

    def routes(self) -> dict[str, Instance | None]:
        return dict(self.hosts)

    def drain(self, instance: Instance, patience: float) -> bool:
        self._call("drain", instance.number)
        return True

    def stop(self, instance: Instance, grace: float) -> None:
        self._call("stop", instance.number)
        self.specs.pop(instance, None)
        self.ended.pop(instance, None)

    def run(self, spec: Spec, command: str, timeout: float) -> Finished:
        self._call("run", command)
        if spec.instance not in self.specs:
            raise RuntimeFailure("Nothing runs on the environment, so no command can run beside it.")
        return self.finished.get(command, Finished(True, "exit code 0", "done\n", 0.001))

    def clear(self, environment: int) -> None:
        self._call("clear", environment)
        if any(instance.environment == environment for instance in self.specs):
            raise RuntimeFailure("Something of the environment still runs, so nothing was removed. Stop it first.")

    def environments(self) -> list[int]:
        return sorted(self.kept)

    def forget(self, environment: int) -> None:
        self.clear(environment)
        self.kept.discard(environment)

    def output(self, instance: Instance, lines: int = 50) -> str:
        return "\x1b[31mNo such table"

    def log_before(self, environment: int, cursor: str, most: int) -> LogPart:
        return LogPart(b"", "", "", False)

    def log_after(self, environment: int, cursor: str, most: int) -> LogPart:
        return LogPart(b"", "", "", False)

    def log_left(self, environment: int, cursor: str) -> int:
        return 0

    def log_days(self, environment: int) -> list[LogDay]:
        return []

    def open_day(self, environment: int, day: date) -> BinaryIO:
        raise FileNotFoundError(day)

    def keep_logs(self, kept: int, most: int) -> None:
        self._call("keep_logs")

    def measure(self) -> list[Measured]:
        return [Measured(instance, *self.used.get(instance, (0.0, 0, 0))) for instance in self.instances()]

    def storage(self, environment: int) -> Stored:
        self._call("storage", environment)
        return self.stored.get(environment, Stored(0, 0))

    def room(self, environment: int) -> int:
        return self.free

    def limits(self) -> Limits:
        return Limits(2 * 1024**3, True, 8 * 1024**3)

    def visits(self, cursor: str) -> Visits:
        return Visits(f"{int(cursor or 0) + 1}", self.visited.pop(cursor, ()))

    def address(self, host: str) -> str:
        return f"http://{host}.apps.localhost:8080"


def archive(version: str = "1.0.0", web: str = "python3 app.py", **metadata: Any) -> SimpleUploadedFile:
    """An upload of a package that runs `web`; metadata as in model/metadata.json."""
    content = BytesIO()
    with ZipFile(content, "w") as file:
        file.writestr("Procfile", f"web: {web}\n")
        file.writestr("model/metadata.json", json.dumps({"name": "calc", "version": version, **metadata}))
    return SimpleUploadedFile(f"calc-{version}.zip", content.getvalue(), "application/zip")


def make_package(app: App, by: User, version: str = "1.0.0", web: str = "python3 app.py", **metadata: Any) -> Package:
    file = archive(version, web, **metadata)
    return upload_package(app, Actor(by), file, file.name or "")


def actor_with_window(user: User) -> Actor:
    """The person as they act in a browser with an open production window."""
    from tests.cast import unlocked

    unlocked(user)
    window = ProductionWindow.objects.filter(user=user, ended_at=None).latest("opened_at")
    return Actor(user, window=window.pk)
