"""Says in words what keeps the server of environments' databases from being of use, or leaves it open."""

import re
import subprocess
from typing import TYPE_CHECKING, Any

from deployments.runtimes.base import DatabaseServer
from deployments.runtimes.databases import Databases, reason
from deployments.runtimes.inside import server as inside
from deployments.runtimes.inside.words import Refused

if TYPE_CHECKING:
    import psycopg

PROGRAMS = ("pg_dump", "pg_restore")
ANSWER_WITHIN = 10  # seconds
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
# Those of environments are shut; it is others on the server that an app could look into
OPEN = """
    SELECT datname FROM pg_database
    WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT') ORDER BY datname
"""


def look_at(databases: Databases) -> DatabaseServer:
    """Say what keeps environments from their databases; nothing where no server is named."""
    import psycopg

    if not databases.are_on_a_server:
        return DatabaseServer()
    try:
        with databases.opened() as connection:
            problems = [*_of_role(connection), *_of_programs(connection.info.server_version // 10000)]
            return DatabaseServer(tuple(problems), tuple(row[0] for row in connection.execute(OPEN)))
    except psycopg.Error as error:
        return DatabaseServer((f"The server of ENVIRONMENT_DATABASE_URL can't be used: {reason(error)}.",))


def _of_role(connection: "psycopg.Connection[Any]") -> list[str]:
    able = "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user"
    row = connection.execute(able).fetchone()
    return [] if row and row[0] else ["The role of ENVIRONMENT_DATABASE_URL needs CREATEDB and CREATEROLE."]


def _of_programs(server: int) -> list[str]:
    """Say which of the programs that back up and restore is missing, or older than the server, which it refuses."""
    found = {name: version_of(name) for name in PROGRAMS}
    missing = [name for name, version in found.items() if version is None]
    older = [f"{name} is of version {version}" for name, version in found.items() if version and version < server]
    words = []
    if missing:
        words.append(f"{' and '.join(missing)} can't be found, so no database can be backed up or restored.")
    if older:
        words.append(f"{' and '.join(older)}, the server of {server}: no database can be backed up.")
    return words


def version_of(name: str) -> int | None:
    """Give the first number of the version of a program, as an environment's sandbox finds it."""
    try:
        command = [inside.program(name), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_WITHIN).stdout
    except (Refused, OSError, subprocess.TimeoutExpired):
        return None
    found = VERSION.search(said)
    return int(found[1]) if found else None
