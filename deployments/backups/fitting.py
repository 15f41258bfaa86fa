"""Whether a database fits where it is to go: an SQLite file and a dump from a server are never made of each other."""

from deployments.backups.bundle import kind_in
from deployments.backups.models import Backup
from deployments.runtimes import get_runtime
from deployments.runtimes.base import DatabaseKind, Runtime
from deployments.states import Holds
from environments.models import Environment

WHERE = {
    DatabaseKind.SQLITE: "in an SQLite file",
    DatabaseKind.POSTGRESQL: "on a PostgreSQL server",
}
A = {DatabaseKind.SQLITE: "an", DatabaseKind.POSTGRESQL: "a"}


def kind_of(environment: Environment) -> DatabaseKind:
    """Say what the database of an environment is, or will be."""
    return get_runtime().database(environment.pk)


def misfit(backup: Backup, environment: Environment, runtime: Runtime | None = None) -> str:
    """Say why a backup can't be restored into an environment, and what can be done; empty where it fits."""
    held, here = backup.database_kind, (runtime or get_runtime()).database(environment.pk)
    if held is None or held is here:
        return ""
    words = f"The backup holds {A[held]} {held.label} database, and {environment.name} keeps its own {WHERE[here]}."
    words += f" Restore it into an environment that keeps one {WHERE[held]}."
    if backup.holds == Holds.DATABASE or not backup.files:
        return words
    return f"{words} For its files alone, download them and upload them to {environment.name}."


def misfit_of_upload(begin: bytes, environment: Environment) -> str:
    """Say why what begins like this can't become a backup of an environment; empty where nothing speaks against it."""
    held, here = kind_in(begin), kind_of(environment)
    if held is None or held is here:
        return ""
    words = f"It holds {A[held]} {held.label} database, and {environment.name} keeps its own {WHERE[here]}."
    return f"{words} Upload it to an environment that keeps one {WHERE[held]}."
