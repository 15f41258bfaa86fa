"""What an app can do with its role and its database, and what it does not get by it."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from deployments.runtimes import helping
from deployments.runtimes.base import Part, RuntimeFailure
from deployments.runtimes.databases import Databases
from deployments.runtimes.layout import Layout
from portal.env import BASE_DIR
from tests.deployments.databases.conftest import names_on
from tests.deployments.databases.test_databases import note, notes, opened
from tests.deployments.node import LocalNode


def as_superuser(log: Path, server: str, statement: str, database: str = "postgres") -> None:
    port = psycopg.conninfo.conninfo_to_dict(server)["port"]
    with psycopg.connect(
        host=str(log.parent), port=int(str(port)), user="portal", dbname=database, autocommit=True
    ) as connection:
        connection.execute(statement)


def test_a_function_that_lies_in_wait_where_the_portal_connects_is_not_called(
    server_and_log: tuple[str, Path], databases: Databases
) -> None:
    """Up to PostgreSQL 14 everybody may make functions in the schema that is looked through first."""
    server, log = server_and_log
    own = databases.make(1)
    as_superuser(log, server, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    try:
        with psycopg.connect(server, user=own.role, password=own.password, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION public.starts_with(name, text) RETURNS bool LANGUAGE plpgsql AS "
                "'BEGIN CREATE TABLE IF NOT EXISTS public.called (); RETURN false; END'"
            )
        databases.drop(1)
        with pytest.raises(psycopg.errors.UndefinedFunction):
            as_superuser(log, server, "DROP FUNCTION public.starts_with(name, text)")
        with pytest.raises(psycopg.errors.UndefinedTable):
            as_superuser(log, server, "DROP TABLE public.called")
    finally:
        as_superuser(log, server, "DROP FUNCTION IF EXISTS public.starts_with(name, text)")
        as_superuser(log, server, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert names_on(server) == set()


def test_a_role_that_left_something_elsewhere_is_shut(
    server_and_log: tuple[str, Path], databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    server, log = server_and_log
    own = databases.make(1)
    as_superuser(log, server, f"GRANT SELECT ON pg_class TO {own.role}", "portal")
    try:
        databases.drop(1)
        assert "was shut, but can't be dropped" in caplog.text
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(server, user=own.role, password=own.password).close()
        assert databases.of(1) is None
    finally:
        as_superuser(log, server, f"DROP OWNED BY {own.role}", "portal")
        as_superuser(log, server, f"DROP ROLE {own.role}")


def test_a_role_that_shuts_the_portal_out_keeps_nothing_by_it(
    server_and_log: tuple[str, Path], databases: Databases
) -> None:
    """Up to PostgreSQL 14 a role may put out its members; later ones leave that to superusers."""
    server, log = server_and_log
    own = databases.make(1)
    note(server, databases.make_aside(1, "staged", 7), "staged")
    with opened(server, own) as connection:
        connection.execute(f"ALTER DATABASE {own.name} IS_TEMPLATE true")
        connection.execute(f"ALTER DATABASE {own.name}_staged_7 IS_TEMPLATE true")
        connection.execute(f"ALTER ROLE {own.role} PASSWORD 'mine'")
    revoke = f"REVOKE {own.role} FROM keeper"
    as_superuser(log, server, revoke)
    databases.switch(1, 7)
    as_superuser(log, server, revoke)
    databases.switch_back(1, 7)
    databases.switch(1, 7)
    as_superuser(log, server, revoke)
    assert databases.make(1) == own
    assert notes(server, own) == ["staged"]
    as_superuser(log, server, revoke)
    databases.drop_aside(1, 7)
    as_superuser(log, server, revoke)
    databases.drop(1)
    assert names_on(server) == set()


def test_a_table_that_an_app_keeps_locked_does_not_keep_a_backup_for_hours(
    server: str, node: LocalNode, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = databases.make(1)
    note(server, own, "one")

    def impatient(*of: object) -> str:
        text = helping.program(*of)  # type: ignore[arg-type]
        assert "LOCKED_FOR = 60.0" in text
        return text.replace("LOCKED_FOR = 60.0", "LOCKED_FOR = 0.5")

    monkeypatch.setattr("deployments.runtimes.data.program", impatient)
    with opened(server, own) as connection, connection.transaction():
        connection.execute("LOCK TABLE note")
        with (
            pytest.raises(RuntimeFailure, match="keeps its database locked"),
            node.runtime.take(1, Part.DATABASE) as dump,
        ):
            dump.read()


def test_a_backup_without_the_server_says_so(node: LocalNode, server: str, databases: Databases) -> None:
    databases.make(1)
    databases._url = "postgresql://keeper@127.0.0.1:1/postgres"
    try:
        with pytest.raises(RuntimeFailure, match="server of the environments does not answer"):
            node.runtime.take(1, Part.DATABASE)
    finally:
        databases._url = server


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("postgresql://keeper:%40%3A%2F%25%20@[::1]:5433/postgres?sslmode=verify-full", ["::1", 5433]),
        ("postgresql://keeper:x@db.example.org/postgres", ["db.example.org", 5432]),
        ("postgresql://keeper:x@%2Frun%2Fpostgresql:5434/postgres", "/run/postgresql/.s.PGSQL.5434"),
        ("host=/run/postgresql user=keeper dbname=postgres", "/run/postgresql/.s.PGSQL.5432"),
    ],
)
def test_a_server_is_named_in_each_form_that_libpq_knows(
    node: LocalNode, databases: Databases, url: str, target: object
) -> None:
    described = Databases(Layout(node.var), url).described(databases.make(1))
    assert described["target"] == target
    assert described["encrypted"] is ("sslmode" in url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://keeper:s3cret@/postgres",
        "postgresql://keeper:s3cret@a,b/postgres",
        "keeper:s3cret",
        "mysql://s3cret@a/b",
    ],
)
def test_what_names_no_server_is_refused_at_start_without_its_password(url: str) -> None:
    environment = {"PORTAL_ENV_FILE": "/dev/null", "PORTAL_MODE": "demo", "ENVIRONMENT_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-c", "from portal.env import database_server as read; read('ENVIRONMENT_DATABASE_URL')"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ENVIRONMENT_DATABASE_URL has to name one server" in done.stderr.strip().splitlines()[-1]
    assert "s3cret" not in done.stderr
