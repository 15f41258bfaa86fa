"""What the portal does on the server of environments' databases, each step of it tried on a real one."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from deployments.runtimes.base import RuntimeFailure
from deployments.runtimes.databases import Database, Databases
from deployments.runtimes.layout import Layout
from deployments.runtimes.server_checks import look_at
from tests.deployments.databases.conftest import names_on
from tests.deployments.node import LocalNode, wait_until


def opened(server: str, database: Database) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect as an environment's role."""
    return psycopg.connect(
        server, user=database.role, password=database.password, dbname=database.name, autocommit=True
    )


def note(server: str, database: Database, text: str) -> None:
    with opened(server, database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def notes(server: str, database: Database) -> list[object]:
    with opened(server, database) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM note ORDER BY text")]


def test_it_makes_a_database_and_a_role_once(server: str, databases: Databases) -> None:
    made = databases.make(1)
    note(server, made, "one")
    assert databases.make(1) == made
    assert notes(server, made) == ["one"]
    assert names_on(server) == {made.name}


def test_what_is_missing_of_it_is_made_again(server: str, databases: Databases) -> None:
    made = databases.make(1)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {made.name}")
        connection.execute(f"DROP ROLE {made.name}")
    assert databases.make(1) == made
    note(server, made, "again")


def test_nobody_gets_into_the_database_of_another_environment(server: str, databases: Databases) -> None:
    one, other = databases.make(1), databases.make(2)
    opened(server, one).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(server, user=one.role, password=one.password, dbname=other.name).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        opened(server, replace(one, password=other.password)).close()


def test_a_role_may_make_neither_databases_nor_roles(server: str, databases: Databases) -> None:
    with opened(server, databases.make(1)) as connection:
        for act in ("CREATE DATABASE more", "CREATE ROLE more", "SET ROLE keeper", "COPY (SELECT 1) TO PROGRAM 'id'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(act)


def test_a_database_that_lies_aside_is_switched_to_and_back(server: str, databases: Databases) -> None:
    own = databases.make(1)
    note(server, own, "before")
    note(server, databases.make_aside(1, "staged", 7), "staged")
    databases.switch(1, 7)
    assert notes(server, own) == ["staged"]
    databases.switch_back(1, 7)
    assert notes(server, own) == ["before"]
    databases.switch_back(1, 7)
    databases.drop_aside(1, 7)
    assert notes(server, own) == ["before"]
    assert names_on(server) == {own.name}


def test_a_switch_that_was_cut_off_is_undone(server: str, databases: Databases) -> None:
    own = databases.make(1)
    note(server, own, "before")
    databases.make_aside(1, "staged", 7)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {own.name} RENAME TO {own.name}_before_7")
    databases.switch_back(1, 7)
    assert notes(server, own) == ["before"]


def test_whoever_is_still_connected_when_it_is_switched_is_sent_away(server: str, databases: Databases) -> None:
    own = databases.make(1)
    databases.make_aside(1, "staged", 7)
    with opened(server, own) as connection:
        databases.switch(1, 7)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_database_is_switched_and_dropped_while_the_server_vacuums_it(server: str, databases: Databases) -> None:
    """Of a large database the server is at work for minutes, and nobody but a superuser may end that."""
    own = databases.make(1)
    with opened(server, own) as connection:
        slowly = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 1"
        connection.execute(f"CREATE TABLE large (a int) WITH ({slowly})")
        connection.execute("INSERT INTO large SELECT generate_series(1, 200000)")
        connection.execute("DELETE FROM large WHERE a % 2 = 0")
    databases.make_aside(1, "staged", 7)
    vacuuming = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND usesysid IS NULL"
    with psycopg.connect(server, autocommit=True) as connection:
        wait_until(lambda: connection.execute(vacuuming, [own.name]).fetchone(), 30)
        databases.switch(1, 7)
        databases.switch_back(1, 7)
        wait_until(lambda: connection.execute(vacuuming, [own.name]).fetchone(), 30)
        databases.drop(1)
    assert names_on(server) == set()


def test_a_copy_holds_what_the_database_holds(server: str, databases: Databases) -> None:
    own = databases.make(1)
    note(server, own, "here")
    databases.copy_aside(1, "staged", 7)
    staged = databases.aside(own, "staged", 7)
    with psycopg.connect(server, user=own.role, password=own.password, dbname=staged.name) as connection:
        assert connection.execute("SELECT text FROM note").fetchall() == [("here",)]


def test_nothing_is_left_of_one_that_is_dropped(server: str, databases: Databases) -> None:
    other = databases.make(2)
    databases.make(1)
    databases.make_aside(1, "staged", 7)
    databases.drop(1)
    assert databases.of(1) is None
    assert names_on(server) == {other.name}


def test_no_log_of_the_server_has_the_password(server_and_log: tuple[str, Path], databases: Databases) -> None:
    made = databases.make(1)
    log = server_and_log[1].read_text()
    assert f'ALTER ROLE "{made.role}"' in log
    assert made.password not in log


def test_an_environment_that_has_a_file_keeps_it(node: LocalNode, databases: Databases) -> None:
    assert databases.is_for(1)
    own = node.runtime.layout.own_database(1)
    own.parent.mkdir(parents=True)
    own.touch()
    assert not databases.is_for(1)


def test_without_the_server_it_says_what_to_do(node: LocalNode, databases: Databases) -> None:
    databases.make(1)
    without = Databases(Layout(node.var), "")
    assert without.is_for(1)
    with pytest.raises(RuntimeFailure, match="ENVIRONMENT_DATABASE_URL names none"):
        without.make(1)
    away = Databases(Layout(node.var), "postgresql://keeper:x@127.0.0.1:1/postgres")
    with pytest.raises(RuntimeFailure, match="does not answer"):
        away.make(1)
    assert "can't be used" in look_at(away).problems[0]


def test_it_says_what_its_role_may_not(server: str, databases: Databases) -> None:
    assert look_at(databases).problems == ()
    made = databases.make(1)
    weak = Databases(Layout(databases._layout.var), _as(server, made))
    assert "CREATEDB and CREATEROLE" in look_at(weak).problems[0]


def _as(server: str, database: Database) -> str:
    return psycopg.conninfo.make_conninfo(server, user=database.role, password=database.password, dbname=database.name)
