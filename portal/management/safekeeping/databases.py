"""A snapshot of the portal's database while it is in use, and a snapshot put in its place, with the way back.

What was there before is set aside, not overwritten: it goes when the restore is over, or comes back when it fails.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.backends.postgresql.client import DatabaseClient
from django.db.models import Model

from portal.management.safekeeping import NotDone
from portal.management.safekeeping.moves import Move

BEFORE = "before_restore"
# Everything that the portal has made in its schema; parts of an extension belong to whoever installed that.
RELATIONS = """
SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
       quote_ident(nspname) || '.' || quote_ident(relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE pg_depend.objid = pg_class.oid AND deptype IN ('a', 'i', 'e'))
UNION ALL
SELECT 'FUNCTION', pg_proc.oid::regprocedure::text
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname = %s AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE pg_depend.objid = pg_proc.oid AND deptype = 'e')
"""


class Rows:
    """What a database says, asked by its own language: it may be of an earlier release than the models."""

    def __init__(self, cursor: Any, tables: Iterable[str]) -> None:
        self._cursor = cursor
        self._tables = set(tables)

    def texts(self, model: type[Model], column: str) -> Iterator[str]:
        """Give what stands in a column of texts, without empty ones; nothing where there is no such column."""
        table = model._meta.db_table
        if table not in self._tables or column not in self._columns(table):
            return
        name = connection.ops.quote_name
        self._cursor.execute(f"SELECT {name(column)} FROM {name(table)} WHERE {name(column)} <> ''")  # noqa: S608
        yield from (text for (text,) in self._cursor.fetchall())

    def migrations(self) -> list[list[str]]:
        """List the migrations that it has had, as pairs of app and name."""
        self._cursor.execute("SELECT app, name FROM django_migrations ORDER BY app, name")
        return [list(pair) for pair in self._cursor.fetchall()]

    def _columns(self, table: str) -> set[str]:
        self._cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} LIMIT 0")  # noqa: S608
        return {description[0] for description in self._cursor.description}


@dataclass(frozen=True)
class Snapshot:
    """The database of one moment as a file, and what it says."""

    file: Path
    rows: Rows


def vendor() -> str:
    return connection.vendor


@contextmanager
def current() -> Iterator[Rows]:
    """Ask the database as it is now."""
    with connection.cursor() as cursor:
        yield Rows(cursor, connection.introspection.table_names(cursor))


@contextmanager
def snapshot(folder: Path) -> Iterator[Snapshot]:
    """Keep the database of this moment in a file of `folder`; nobody who uses the portal waits for it."""
    kept = folder / "database"
    try:
        with _dumped(kept) if vendor() == "postgresql" else _copied(kept) as rows:
            yield Snapshot(kept, rows)
    finally:
        kept.unlink(missing_ok=True)


@contextmanager
def _copied(target: Path) -> Iterator[Rows]:
    """SQLite's online backup, in one step: whoever writes goes on, and what they write is not in it."""
    connection.ensure_connection()
    with closing(sqlite3.connect(target)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # so that all of it is in the one file
        tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        yield Rows(copy.cursor(), tables)


@contextmanager
def _dumped(target: Path) -> Iterator[Rows]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot(), current_schema()")
        snap, schema = cursor.fetchone()
        options = [f"--snapshot={snap}", f"--schema={schema}", "--format=custom", "--no-owner", "--no-privileges"]
        _run("pg_dump", *options, f"--file={target}")
        yield Rows(cursor, connection.introspection.table_names(cursor))


def in_use() -> bool:
    """Say whether somebody has an account in the database that is there now."""
    if vendor() == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return False
    if "accounts_user" not in connection.introspection.table_names():
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM accounts_user)")
        return bool(cursor.fetchone()[0])


def moves(kept: Path) -> list[Move]:
    """Give what has to change places for a snapshot of SQLite to become the database; none for PostgreSQL."""
    if vendor() != "sqlite":
        return []
    live = Path(connection.settings_dict["NAME"])
    live.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Beside it, where a rename is enough; it may lie on another disk than the rest
    new = live.with_name(f".{live.name}.restored")
    shutil.copyfile(kept, new)
    new.chmod(0o600)
    with closing(sqlite3.connect(new)) as copy:
        if (found := copy.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise NotDone(f"The database in the backup is damaged: {found}. Nothing was changed.")
    # What SQLite has not brought into the file yet goes with the file that it belongs to
    return [Move(live.with_name(live.name + end)) for end in ("-wal", "-shm")] + [Move(live, new)]


def load(kept: Path) -> None:
    """Put a dump in the place of what is in PostgreSQL now, which is set aside; for SQLite `moves` has done it."""
    if vendor() != "postgresql":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {BEFORE}")
        _move(cursor, _schema(cursor), BEFORE)
        schema = _schema(cursor)
    connection.close()
    _run("pg_restore", f"--schema={schema}", "--no-owner", "--no-privileges", "--single-transaction", kept, into=True)


def put_back() -> None:
    """Bring back what `load` has set aside; does nothing where there is nothing."""
    if vendor() != "postgresql":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        if _has_before(cursor):
            schema = _schema(cursor)
            _drop(cursor, schema)
            _move(cursor, BEFORE, schema)
            cursor.execute(f"DROP SCHEMA {BEFORE}")


def forget_before() -> None:
    """Remove what was set aside."""
    if vendor() == "postgresql":
        with connection.cursor() as cursor:
            if _has_before(cursor):
                cursor.execute(f"DROP SCHEMA {BEFORE} CASCADE")


def _schema(cursor: Any) -> str:
    cursor.execute("SELECT current_schema()")
    return str(cursor.fetchone()[0])


def _has_before(cursor: Any) -> bool:
    cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [BEFORE])
    return cursor.fetchone() is not None


def _objects(cursor: Any, schema: str) -> list[tuple[str, str]]:
    cursor.execute(RELATIONS, [schema, schema])
    return list(cursor.fetchall())


def _move(cursor: Any, schema: str, to: str) -> None:
    for kind, name in _objects(cursor, schema):
        cursor.execute(f"ALTER {kind} {name} SET SCHEMA {connection.ops.quote_name(to)}")


def _drop(cursor: Any, schema: str) -> None:
    for kind, name in _objects(cursor, schema):
        cursor.execute(f"DROP {kind} IF EXISTS {name} CASCADE")


def _run(program: str, *arguments: str | Path, into: bool = False) -> None:
    """Run one of PostgreSQL's programs on the portal's database; NotDone with what it said where it fails."""
    args, env = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    *options, name = args[1:]
    found = shutil.which(program)
    if not found:
        raise NotDone(f"{program} is not installed on this machine. Install postgresql-client, then type this again.")
    command = [found, *options, f"--dbname={name}", *arguments] if into else [found, *options, *arguments, name]
    done = subprocess.run(command, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotDone(f"{program} failed: {done.stderr.strip()[-2000:]}")
