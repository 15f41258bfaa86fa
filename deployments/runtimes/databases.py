"""Databases of environments on a PostgreSQL server: one for each, with a role of its own.

The portal makes, renames and drops them as the role of `ENVIRONMENT_DATABASE_URL` and never opens one.
SECURITY: a database may hold functions made to be run by whoever looks into it. What does, `pg_dump` and `pg_restore`,
runs as the environment's own role, in a sandbox (`data`).
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from deployments.runtimes import files
from deployments.runtimes.base import NoRoomLeft, RuntimeFailure
from deployments.runtimes.layout import Layout

log = logging.getLogger(__name__)

CONNECTIONS = 50  # of a role: two versions side by side with a pool each, and a backup
ANSWER_WITHIN = 10  # seconds
LEFT_WITHIN = 10.0  # seconds for connections of an app that was stopped to be gone
ENCRYPTED = ("require", "verify-ca", "verify-full")
# SECURITY: in the database that the portal's role opens an app may have made functions of the names that it calls
SAFE = "SET search_path = pg_catalog"
UNREACHABLE = "The PostgreSQL server of the environments does not answer. Tell whoever operates the portal."
NOT_DONE = "The PostgreSQL server of the environments refused: {reason}. Tell whoever operates the portal."
FULL = "There is not enough room on the PostgreSQL server of the environments. Tell whoever operates the portal."
NO_SERVER = (
    "The environment's database is on a PostgreSQL server, and ENVIRONMENT_DATABASE_URL names none. "
    "Tell whoever operates the portal."
)


@dataclass(frozen=True)
class Database:
    """An environment's database, or one beside it, and the role that owns it."""

    name: str
    role: str
    password: str


class Databases:
    """The server that `url` names (libpq's form); without one there are only those made before, out of reach."""

    def __init__(self, layout: Layout, url: str) -> None:
        self._layout = layout
        self._url = url

    def of(self, environment: int) -> Database | None:
        """Give the database that was made for an environment."""
        kept = files.read_json(self._layout.database(environment))
        return Database(**kept) if kept else None

    def is_for(self, environment: int) -> bool:
        """Say whether the environment's database is on the server: it was made there, or would be at the first start.

        An environment that has a database of its own as a file keeps that.
        """
        if self._layout.database(environment).exists():
            return True
        return bool(self._url) and not self._layout.own_database(environment).exists()

    def make(self, environment: int) -> Database:
        """Make the environment's database and role, or what is missing of them, and give them.

        They are noted before they are made: whatever breaks this off, the next call finds them.
        """
        self._layout.make()
        with files.locked(self._layout.locks / f"database-{environment}"):
            database = self.of(environment) or self._note(environment)
            with self._connected() as connection:
                _make_role(connection, database)
                _make_database(connection, database.name, database.role)
        return database

    def described(self, database: Database) -> dict[str, Any]:
        """Give what reaches the database from a sandbox (`way`)."""
        given = self._parameters()
        encrypted = given.get("sslmode") in ENCRYPTED
        host, port = str(given.get("host", "localhost")), int(given.get("port", 5432))
        target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else [host, port]
        return {**asdict(database), "target": target, "encrypted": encrypted}

    def make_aside(self, environment: int, what: str, number: int) -> Database:
        """Make an empty database beside the environment's, in place of one that was left there."""
        database = self.make(environment)
        aside = _aside(database, what, number)
        with self._connected() as connection:
            _drop(connection, aside)
            _make_database(connection, aside, database.role)
        return replace(database, name=aside)

    def aside(self, database: Database, what: str, number: int) -> Database:
        """Give the database that lies aside of an environment's for a job, whether it is there or not."""
        return replace(database, name=_aside(database, what, number))

    def copy_aside(self, environment: int, what: str, number: int) -> None:
        """Fill the database aside with a copy of the environment's, which nobody uses meanwhile."""
        database = self.make(environment)
        aside = _aside(database, what, number)
        with self._connected() as connection:
            _drop(connection, aside)
            make = partial(_make_database, connection, aside, database.role, like=database.name)
            _while_free(connection, database.name, make)

    def switch(self, environment: int, number: int) -> None:
        """Put what is `staged` in the database's place, and that into `before`; cut off, `switch_back` undoes it."""
        database = self.of(environment)
        if database is None:
            return
        with self._connected() as connection:
            _join(connection, database.role)
            staged = _aside(database, "staged", number)
            if not _exists(connection, staged):
                raise RuntimeFailure("There is no database aside that could be switched to.")
            _rename(connection, database.name, _aside(database, "before", number))
            _rename(connection, staged, database.name)

    def switch_back(self, environment: int, number: int) -> None:
        database = self.of(environment)
        if database is None:
            return
        with self._connected() as connection:
            _join(connection, database.role)
            before = _aside(database, "before", number)
            if not _exists(connection, before):
                return
            if _exists(connection, database.name):
                _drop(connection, _aside(database, "staged", number))
                _rename(connection, database.name, _aside(database, "staged", number))
            _rename(connection, before, database.name)

    def drop_aside(self, environment: int, number: int) -> None:
        database = self.of(environment)
        if database is None:
            return
        with self._connected() as connection:
            _join(connection, database.role)
            for what in ("before", "staged"):
                _drop(connection, _aside(database, what, number))

    def drop(self, environment: int) -> None:
        """Drop the environment's database with all it holds, what lies aside included, and its role."""
        database = self.of(environment)
        if database is None:
            return
        with self._connected() as connection:
            _join(connection, database.role)
            for name in _names_like(connection, database.name):
                _drop(connection, name)
            _drop_role(connection, database.role)
        self._layout.database(environment).unlink(missing_ok=True)

    def refuse_out_of_reach(self, environment: int) -> None:
        """Raise RuntimeFailure where the environment's database could not be removed now."""
        if self.of(environment):
            with self._connected():
                pass

    def size(self, database: Database) -> int:
        """Say how many bytes a database takes on the server; 0 where it is not there."""
        with self._connected() as connection:
            if not _exists(connection, database.name):
                return 0
            row = connection.execute("SELECT pg_database_size(%s)", [database.name]).fetchone()
            return int(row[0]) if row else 0

    @contextmanager
    def opened(self) -> "Iterator[psycopg.Connection[Any]]":
        """Connect as who makes databases; raises psycopg.Error."""
        with psycopg.connect(self._url, autocommit=True, connect_timeout=ANSWER_WITHIN) as connection:
            connection.execute(SAFE)
            yield connection

    @property
    def are_on_a_server(self) -> bool:
        """Say whether databases are made on a server from now on."""
        return bool(self._url)

    def _note(self, environment: int) -> Database:
        """SECURITY: the name is nobody's before, so an app never gets a database that the portal did not make."""
        name = f"environment_{environment}_{secrets.token_hex(4)}"
        database = Database(name, name, secrets.token_urlsafe(32))
        path = self._layout.database(environment)
        files.make_private(path.parent)
        files.write_json(path, asdict(database))
        return database

    def _parameters(self) -> dict[str, Any]:
        if not self._url:
            raise RuntimeFailure(NO_SERVER)
        return conninfo_to_dict(self._url)

    @contextmanager
    def _connected(self) -> "Iterator[psycopg.Connection[Any]]":
        """Connect as who makes databases; whatever the server says becomes a RuntimeFailure."""
        self._parameters()
        try:
            with self.opened() as connection:
                yield connection
        except psycopg.Error as error:
            log.warning("The server of the environments' databases: %s", reason(error))
            if isinstance(error, psycopg.errors.DiskFull):
                raise NoRoomLeft(FULL) from error
            away = isinstance(error, psycopg.OperationalError) and not error.sqlstate
            raise RuntimeFailure(UNREACHABLE if away else NOT_DONE.format(reason=reason(error))) from error


def _aside(database: Database, what: str, number: int) -> str:
    return f"{database.name}_{what}_{number}"


def _names_like(connection: "psycopg.Connection[Any]", name: str) -> list[str]:
    rows = connection.execute(
        "SELECT datname FROM pg_database WHERE datname = %s OR starts_with(datname, %s)", [name, f"{name}_"]
    )
    return [row[0] for row in rows]


def _exists(connection: "psycopg.Connection[Any]", name: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _has_role(connection: "psycopg.Connection[Any]", role: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None


def _make_role(connection: "psycopg.Connection[Any]", database: Database) -> None:
    role = sql.Identifier(database.role)
    if not _has_role(connection, database.role):
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    # SECURITY: scrambled here, so that no log of the server has it in clear
    scrambled = connection.pgconn.encrypt_password(
        database.password.encode(), database.role.encode(), b"scram-sha-256"
    ).decode()
    alter = sql.SQL("ALTER ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}")
    connection.execute(alter.format(role, sql.Literal(CONNECTIONS), sql.Literal(scrambled)))
    _join(connection, database.role)


def _join(connection: "psycopg.Connection[Any]", role: str) -> None:
    """Become a member of a role, as who makes, renames or drops a database for it has to be.

    SECURITY: each time. Up to PostgreSQL 14 a role may put out its members, and would keep what it has for good.
    """
    if _has_role(connection, role):
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


def _make_database(connection: "psycopg.Connection[Any]", name: str, role: str, like: str = "template0") -> None:
    if not _exists(connection, name):
        make = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ENCODING 'UTF8'")
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(role), sql.Identifier(like)))
    # SECURITY: else every role of the server could connect to it
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def _drop(connection: "psycopg.Connection[Any]", name: str) -> None:
    if not _exists(connection, name):
        return
    # SECURITY: its owner may have made it a template, which can't be dropped
    connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name)))
    # Not WITH (FORCE): where the server is vacuuming that wants the right to end the vacuum, too
    drop = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    _while_free(connection, name, partial(connection.execute, drop))


def _drop_role(connection: "psycopg.Connection[Any]", role: str) -> None:
    """Drop a role, or shut it where it left something in a database that is none of an environment."""
    if not _has_role(connection, role):
        return
    name = sql.Identifier(role)
    connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
    try:
        connection.execute(sql.SQL("DROP ROLE {}").format(name))
    except psycopg.errors.DependentObjectsStillExist as error:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(name))
        log.warning("The role %s was shut, but can't be dropped: %s", role, error)


def _rename(connection: "psycopg.Connection[Any]", name: str, other: str) -> None:
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(other))
    _while_free(connection, name, partial(connection.execute, rename))


def _free(connection: "psycopg.Connection[Any]", name: str) -> None:
    """Wait until nobody is connected any more; whoever stays is sent away.

    What the server itself does there, such as vacuuming, has no role and makes room by itself.
    """
    until = time.monotonic() + LEFT_WITHIN
    there = "FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL"
    while connection.execute(f"SELECT 1 {there}", [name]).fetchone():
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT pg_terminate_backend(pid) {there}", [name])
        if time.monotonic() > until:
            raise RuntimeFailure("Somebody is connected to the environment's database and can't be sent away.")
        time.sleep(0.05)


def _while_free(connection: "psycopg.Connection[Any]", name: str, act: Callable[[], object]) -> None:
    """Act on a database that nobody may be connected to meanwhile."""
    until = time.monotonic() + LEFT_WITHIN
    while True:
        _free(connection, name)
        try:
            act()
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > until:
                raise
        else:
            return


def reason(error: psycopg.Error) -> str:
    """Give what the server said first, without a full stop."""
    return (str(error).strip().splitlines() or ["nothing was said"])[0].strip().rstrip(".")
