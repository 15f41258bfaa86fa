"""Where the process runtime keeps what it needs, all below the portal's one folder (`VAR`)."""

from pathlib import Path
from typing import Any

from deployments.runtimes import files

CODE = Path(__file__).resolve().parents[2]
INSTANCES = "instances"
GRACE = 5.0  # seconds; `manage.py run` promises to be gone within ten
DATABASE = "database.sqlite3"
# supervisord's own patience with a launcher, which keeps its promise by itself and is killed only if it hangs
PATIENCE = 8


class Layout:
    """The folders below `VAR`; everything but releases is for the portal's user only."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.run = var / "run"
        self.programs = self.run / "programs"
        self.records = self.run / INSTANCES
        self.commands = self.run / "commands"
        self.locks = self.run / "locks"
        self.releases = var / "releases"
        self.environments = var / "environments"
        self.log = var / "log"
        self.outputs = self.log / "environments"
        self.days = self.log / "days"

    def make(self) -> None:
        for folder in (
            self.programs,
            self.records,
            self.commands,
            self.locks,
            self.releases,
            self.environments,
            self.log,
            self.days,
        ):
            files.make_private(folder)
        # SECURITY: a laxer umask must not leave database, keys or control sockets open to other users of the host
        for folder in (self.var, self.run):
            folder.chmod(0o700)

    def release(self, release: str) -> Path:
        return self.releases / release

    def data(self, environment: int) -> Path:
        return self.environments / str(environment) / "data"

    def own_database(self, environment: int) -> Path:
        """Give the SQLite file that an environment without a server's database keeps among its data."""
        return self.data(environment) / DATABASE

    def database(self, environment: int) -> Path:
        """Give the note of the database that was made for the environment on a server."""
        return self.data(environment).with_name("database.json")

    def output(self, environment: int, number: int) -> Path:
        return self.outputs / str(environment) / f"{number}.log"

    def lines(self, environment: int) -> Path:
        """Give the folder of the environment's log, whichever instance wrote it."""
        return self.days / str(environment)

    def record(self, environment: int, number: int) -> "Record":
        return Record(self.records / f"{environment}-{number}")

    def all_records(self) -> list["Record"]:
        """Give every instance that was started and not stopped, in no particular order."""
        try:
            return [record for folder in self.records.iterdir() if (record := Record(folder)).spec]
        except FileNotFoundError:
            return []


class Record:
    """What is kept about one instance: what to start, how it is, and whether it is asked to stop.

    The launcher holds the lock `alive` while it lives; the kernel lets go of it however the launcher ends, so a
    number that the host has given to another process meanwhile is never mistaken for the launcher.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive = folder / "alive"

    @property
    def name(self) -> str:
        return f"app-{self.folder.name}"

    @property
    def environment(self) -> int:
        return int(self.folder.name.partition("-")[0])

    @property
    def number(self) -> int:
        return int(self.folder.name.partition("-")[2])

    @property
    def spec(self) -> dict[str, Any]:
        """What the launcher starts; empty where there is no such instance."""
        return files.read_json(self.folder / "spec.json", {})  # type: ignore[no-any-return]

    @spec.setter
    def spec(self, value: dict[str, Any]) -> None:
        files.write_json(self.folder / "spec.json", value)

    @property
    def state(self) -> dict[str, Any]:
        """What the launcher last said: `ended` in words, or the pid `namespace` of what runs."""
        return files.read_json(self.folder / "state.json", {})  # type: ignore[no-any-return]

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        files.write_json(self.folder / "state.json", value)

    @property
    def grace(self) -> float:
        """Seconds that the processes get to end by themselves."""
        return float(files.read_json(self.folder / "stop.json", GRACE))

    def ask_to_stop(self, grace: float) -> None:
        files.write_json(self.folder / "stop.json", grace)

    @property
    def asked_to_stop(self) -> bool:
        return (self.folder / "stop.json").exists()

    def remove(self) -> None:
        import shutil  # not for the launcher, which starts faster without

        shutil.rmtree(self.folder, ignore_errors=True)
