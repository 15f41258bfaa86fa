"""What an operator is told of the server of environments' databases, and when."""

from typing import Any

import psycopg
import pytest
from django.core.checks import run_checks

from deployments import checks
from deployments.runtimes import server_checks
from deployments.runtimes.databases import Databases
from deployments.runtimes.process import ProcessRuntime
from portal.management.commands import run
from tests.deployments.databases.test_databases import opened
from tests.deployments.databases.test_intruders import as_superuser

AWAY = "postgresql://keeper:s3cret@127.0.0.1:1/postgres"


@pytest.fixture(autouse=True)
def _as_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "get_runtime", ProcessRuntime.from_settings)


def said(deploy: bool = True) -> dict[str, str]:
    found = run_checks(include_deployment_checks=deploy)
    return {str(message.id): f"{message.msg} {message.hint}" for message in found if "deployments." in str(message.id)}


def test_without_a_server_nothing_is_said() -> None:
    assert said() == {}


def test_a_server_that_is_away_is_said_where_it_matters_only(settings: Any) -> None:
    settings.ENVIRONMENT_DATABASE_URL = AWAY
    assert said(deploy=False) == {}
    words = said()["deployments.E001"]
    assert words.startswith("The server of ENVIRONMENT_DATABASE_URL can't be used: connection")
    assert "docs/settings.md" in words
    assert "s3cret" not in words
    assert words in run.notes()


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, "pg_dump and pg_restore can't be found, so no database can be backed up or restored."),
        ({"pg_restore": 99}, "pg_dump can't be found, so no database can be backed up or restored."),
        ({"pg_dump": 9, "pg_restore": 99}, "pg_dump is of version 9, the server of {}: no database can be backed up."),
    ],
)
def test_programs_that_are_missing_or_older_than_the_server_are_named(
    server: str, settings: Any, monkeypatch: pytest.MonkeyPatch, versions: dict[str, int], words: str
) -> None:
    settings.ENVIRONMENT_DATABASE_URL = server
    monkeypatch.setattr(server_checks, "version_of", versions.get)
    with psycopg.connect(server) as connection:
        assert said()["deployments.E001"].startswith(words.format(connection.info.server_version // 10000))


def test_those_of_this_machine_are_found() -> None:
    assert (server_checks.version_of("pg_dump") or 0) >= 13
    assert server_checks.version_of("pg_dumb") is None


def test_databases_that_apps_can_look_into_are_named(
    server_and_log: tuple[Any, Any], databases: Databases, settings: Any
) -> None:
    server, log = server_and_log
    settings.ENVIRONMENT_DATABASE_URL = server
    own = databases.make(1)
    assert said() == {
        "deployments.W001": (
            "Every app can connect to these databases of the environments' server: portal, postgres, template1. "
            "Type: REVOKE CONNECT ON DATABASE portal, postgres, template1 FROM PUBLIC"
        )
    }
    as_superuser(log, server, "REVOKE CONNECT ON DATABASE portal, postgres, template1 FROM PUBLIC")
    as_superuser(log, server, "GRANT CONNECT ON DATABASE postgres TO keeper")
    try:
        assert said() == {}
        databases.make_aside(1, "staged", 7)
        opened(server, own).close()
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(server, user=own.role, password=own.password).close()
    finally:
        as_superuser(log, server, "GRANT CONNECT ON DATABASE portal, postgres, template1 TO PUBLIC")
