"""A throw-away PostgreSQL: `python -m tests.postgres COMMAND…` runs the command with its DATABASE_URL.

The portals of the journeys get a fresh database each in the same cluster, by JOURNEYS_DATABASE_URL.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

SOCKETS_ONLY = ["-c", "listen_addresses=", "-c", "max_connections=200"]
# Nothing here outlives the tests, so nothing has to survive a power cut.
NOTHING_TO_LOSE = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
START_SECONDS = 30
STOP_SECONDS = 20


@contextmanager
def cluster() -> Iterator[str]:
    """Start a cluster that listens on a socket in a folder of its own and give its URL; stop and remove it after."""
    with _running(SOCKETS_ONLY) as folder:
        yield f"postgres://portal@/{folder}/portal"


@contextmanager
def server_of_environments(port: int) -> Iterator[tuple[str, Path]]:
    """Start a server as an operator has one for environments, on a port; stop and remove it after.

    Gives its URL, and its log, in which is every statement.

    It wants a password from everybody who comes over the network, and the URL's role may do no more than make
    databases and roles.
    """
    values = ("listen_addresses=127.0.0.1", f"port={port}", "max_connections=200", "log_statement=all")
    listening = [option for value in (*values, "autovacuum_naptime=1s") for option in ("-c", value)]
    with _running(listening, port) as folder:
        rules = "local all portal trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (folder / "data" / "pg_hba.conf").write_text(rules)
        password = secrets.token_hex(8)
        with _connected(folder, port) as connection:
            connection.execute("SELECT pg_reload_conf()")
            make = sql.SQL("CREATE ROLE keeper LOGIN CREATEDB CREATEROLE PASSWORD {}")
            connection.execute(make.format(sql.Literal(password)))
        yield f"postgresql://keeper:{password}@127.0.0.1:{port}/postgres", folder / "log"


@contextmanager
def _running(options: list[str], port: int = 5432) -> Iterator[Path]:
    """Start a cluster in a folder of its own, which is given; stop and remove it after.

    PostgreSQL refuses to run as root, so root starts it as `postgres`, or as `nobody` where there is no such user.
    """
    folder = Path(tempfile.mkdtemp(prefix="portal-postgres."))
    server = None
    try:
        as_user = _unprivileged(folder)
        programs = _programs()
        _make(programs / "initdb", folder, as_user)
        server = _start(programs / "postgres", folder, as_user, options)
        _wait(server, folder, port)
        yield folder
    finally:
        if server is not None:
            _stop(server)
        shutil.rmtree(folder)


@contextmanager
def fresh_database(cluster_url: str, like: str | None = None) -> Iterator[str]:
    """Make a database in the cluster of a URL that `cluster` gave, and give its own URL; drop it after.

    It is empty, or a copy of the one whose URL is given and which nobody uses at that moment.
    """
    folder = urlsplit(cluster_url).path.rpartition("/")[0]
    name = f"journey_{secrets.token_hex(4)}"
    with _connected(Path(folder)) as connection:
        template = urlsplit(like).path.rpartition("/")[2] if like else "template1"
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield f"postgres://portal@/{folder}/{name}"
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def main(command: list[str]) -> int:
    """Run the command with a cluster and give its exit code; the cluster ends with it, interrupted or not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Ctrl-C reaches the command as well: it ends in its own time and the cluster after it.
    signal.signal(signal.SIGINT, lambda *_: None)
    with cluster() as url:
        given = {"DATABASE_URL": url, "JOURNEYS_DATABASE_URL": url}
        return subprocess.run(command, env=os.environ | given, check=False).returncode


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise SystemExit("PostgreSQL is not installed. Type: .ci/host test")
    return found[-1].parent


def _unprivileged(folder: Path) -> list[str]:
    # The server ends with the process that started it, even where that one is killed and can't clean up.
    setpriv = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return setpriv
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return [*setpriv, "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]


def _make(initdb: Path, folder: Path, as_user: list[str]) -> None:
    options = ["--username=portal", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    made = subprocess.run(
        [*as_user, initdb, "-D", folder / "data", *options], capture_output=True, text=True, cwd=folder, check=False
    )
    if made.returncode:
        raise SystemExit(f"PostgreSQL could not make its folder: {made.stderr.strip()}")


def _start(postgres: Path, folder: Path, as_user: list[str], options: list[str]) -> "subprocess.Popen[bytes]":
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*as_user, postgres, "-D", folder / "data", "-k", folder, *options, *NOTHING_TO_LOSE],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )


def _wait(server: "subprocess.Popen[bytes]", folder: Path, port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            with _connected(folder, port) as connection:
                connection.execute("CREATE DATABASE portal")
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"PostgreSQL did not start: {(folder / 'log').read_text()}")


def _connected(folder: Path, port: int = 5432) -> "psycopg.Connection[Any]":
    return psycopg.connect(host=str(folder), port=port, user="portal", dbname="postgres", autocommit=True)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(STOP_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
