"""How long a backup and a restore of a 1 GiB database on a server take, against `pg_dump` and `pg_restore` alone.

The server is one of its own, which writes nothing down for good: what is compared is the way there and back. The floor
is `pg_dump` into a file that is flushed, and `pg_restore` from it into an empty database. By itself:
`python -m tests.bench databases`.
"""

import os
import subprocess
from pathlib import Path
from statistics import median

import psycopg
from django.conf import settings

from accounts.actor import Actor
from deployments.backups.flows import request_backup, request_restore
from deployments.runtimes.databases import Database
from deployments.runtimes.inside.server import program
from deployments.runtimes.process import ProcessRuntime
from environments.flows import create_app
from tests.bench.backups import (
    GIB,
    ROW,
    by_hand,
    compared,
    done,
    forget,
    memory,
    most_memory,
    sized,
    stopped,
    timed,
    took,
)
from tests.bench.report import Line, seconds
from tests.cast import make_person
from tests.deployments.node import free_port
from tests.postgres import server_of_environments

ROUNDS = 3


def measure(size: int = GIB) -> list[Line]:
    """Save and bring back by hand and by the portal in turns; nothing of it is left."""
    with server_of_environments(free_port()) as (server, _):
        return _measure(server, size)


def _measure(server: str, size: int) -> list[Line]:
    person = make_person("archivist")
    environment = create_app(Actor(person), "Rows", "rows").environments.earliest("order")
    stopped(environment)
    runtime = ProcessRuntime(settings.VAR, 0, database_url=server)
    runtime._give_data(environment.pk)
    own = runtime.databases.make(environment.pk)
    fill(server, own, size)
    times: dict[str, list[float]] = {name: [] for name in ("dumped", "taken", "filled", "restored", "verified")}
    with memory() as peak:
        for _ in range(ROUNDS):
            dump = by_hand() / "database.dump"
            times["dumped"].append(dumped_by_hand(server, own, dump))
            backup = request_backup(environment, Actor(person))
            job = done(runtime, backup.job)
            times["taken"].append(took(job, "database"))
            times["verified"].append(took(job, "verify"))
            times["filled"].append(filled_by_hand(runtime, server, environment.pk, dump))
            backup.refresh_from_db()
            job = done(runtime, request_restore(environment, Actor(person), backup, back_up_first=False))
            times["restored"].append(took(job, "stage", "swap"))
            forget(backup)
    runtime.forget(environment.pk)
    what = f"a database of {sized(size)} on a server"
    return [
        compared(f"Backup of {what}", times["dumped"], times["taken"]),
        compared(f"Restore of {what}", times["filled"], times["restored"]),
        Line("It restored aside, to be sure", "", seconds(median(times["verified"])), "", "", True),
        most_memory(peak[0]),
    ]


def fill(server: str, own: Database, size: int) -> None:
    with psycopg.connect(server, user=own.role, password=own.password, dbname=own.name) as connection:
        connection.execute("CREATE TABLE rows (id serial PRIMARY KEY, content bytea)")
        connection.execute("ALTER TABLE rows ALTER content SET STORAGE EXTERNAL")
        with connection.cursor().copy("COPY rows (content) FROM STDIN") as copy:
            for _ in range(size // ROW):
                copy.write_row((os.urandom(ROW),))


def dumped_by_hand(server: str, own: Database, target: Path) -> float:
    command: list[str | Path] = [program("pg_dump"), "--format=custom", "--compress=1", "--file", target]
    return timed(lambda: _run(command, server, own), target.parent)


def filled_by_hand(runtime: ProcessRuntime, server: str, environment: int, dump: Path) -> float:
    aside = runtime.databases.make_aside(environment, "staged", 1)
    try:
        command: list[str | Path] = [
            program("pg_restore"),
            "--exit-on-error",
            "--no-owner",
            "--dbname",
            aside.name,
            dump,
        ]
        return timed(lambda: _run(command, server, aside), dump.parent)
    finally:
        runtime.databases.drop_aside(environment, 1)


def _run(command: list[str | Path], server: str, own: Database) -> None:
    given = psycopg.conninfo.conninfo_to_dict(server)
    reached = {"PGHOST": str(given["host"]), "PGPORT": str(given["port"]), "PGUSER": own.role, "PGDATABASE": own.name}
    subprocess.run(command, check=True, env=os.environ | reached | {"PGPASSWORD": own.password})
