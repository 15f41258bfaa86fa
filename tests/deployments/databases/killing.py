"""The scene of workers that are killed, with an app whose database is on a server."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import psycopg
from django.core.files.base import ContentFile

from accounts.actor import Actor
from deployments.flows import request_job, upload_package
from deployments.models import Job
from deployments.runtimes.databases import Database
from deployments.states import JobKind
from tests.cast import Cast, make_cast
from tests.deployments.backups.killing import LARGE, Ask, Nursery, Scene, nursery
from tests.deployments.backups.test_runtime_data import tree
from tests.deployments.databases.conftest import names_on
from tests.deployments.node import LocalNode
from tests.deployments.test_worker_process import settings_for

APP = """
import glob, http.server, os, subprocess, sys
PSQL = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]
def text():
    command = [PSQL, os.environ["DATABASE_URL"], "-X", "-t", "-A", "-c", "SELECT text FROM lines"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "nothing"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = text().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
if text() == "sick":
    sys.exit("These data make no sense.")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
# More than the pipe from the sandbox holds, packed as it is
ROWS = LARGE // 64


class ServerScene(Scene):
    """An app that runs on Test with data of its own, its database on a server."""

    def __init__(self, node: LocalNode, cast: Cast, workers: Nursery, server: str) -> None:
        self.node = node
        self.cast = cast
        self.workers = workers
        self.server = server
        self.by = Actor(cast.alice)
        self.data = node.runtime.layout.data(cast.test.pk)
        self.written = {}
        self.runs = True
        package = upload_package(cast.app, self.by, ContentFile(packed(), "keeper.zip"), "keeper.zip")
        self.done(request_job(JobKind.TRANSPORT, cast.test, self.by, package))

    @property
    def database(self) -> Database:
        found = self.node.runtime.databases.of(self.cast.test.pk)
        assert found
        return found

    @contextmanager
    def opened(self) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
        own = self.database
        with psycopg.connect(
            self.server, user=own.role, password=own.password, dbname=own.name, autocommit=True
        ) as connection:
            yield connection

    def write(self, text: str) -> None:
        for path in self.data.iterdir():
            path.unlink()
        with self.opened() as connection:
            connection.execute("DROP TABLE IF EXISTS lines, large")
            connection.execute("CREATE TABLE lines (id serial PRIMARY KEY, text text)")
            connection.execute("INSERT INTO lines (text) VALUES (%s)", [text])
            rows = "SELECT n, sha512((%s || n)::bytea) AS content FROM generate_series(1, %s) n"
            connection.execute(f"CREATE TABLE large AS {rows}", [text, ROWS])
        (self.data / text).write_text(text)
        for path in (self.data, self.data / text):
            user = self.node.runtime._user(self.cast.test.pk)
            if user is not None:
                os.chown(path, user, user)
            os.utime(path, (10**9, 10**9))
        self.written[text] = self.found()

    def found(self) -> dict[str, object]:
        with self.opened() as connection:
            lines = connection.execute("SELECT * FROM lines ORDER BY id").fetchall()
            large = connection.execute("SELECT n, content FROM large ORDER BY n").fetchall()
        digest = sha256(b"".join(bytes(content) for _, content in large)).hexdigest()  # type: ignore[call-overload]
        return {"lines": lines, "large": (len(large), digest), "files": tree(self.data)}

    def wrong(self, job: Job, before: str, after: str) -> dict[str, tuple[object, object]]:
        found = super().wrong(job, before, after)
        facts: dict[str, tuple[object, object]] = {
            "beside the data": (sorted(path.name for path in self.data.parent.iterdir()), ["data", "database.json"]),
            "on the server": (names_on(self.server), {self.database.name}),
        }
        others = {what: fact for what, fact in found.items() if what not in facts}
        return others | {what: fact for what, fact in facts.items() if fact[0] != fact[1]}

    def kill_at_each(self, ask: Ask, before: str, after: str, names: tuple[str, ...], since: str = "") -> list[str]:
        """Have a worker killed at each moment of these names, since the first one of another name; gives them."""
        moments = self.moments_of(ask, before)
        first = moments.index(since) if since else 0
        tried = [number for number, name in enumerate(moments) if number >= first and name in names]
        for number in tried:
            self.kill_at(number, ask, before, after)
        return [moments[number] for number in tried]


def packed() -> bytes:
    target = io.BytesIO()
    with ZipFile(target, "w") as archive:
        archive.writestr("Procfile", "web: exec python3 app.py\n")
        archive.writestr("app.py", APP)
        archive.writestr("model/metadata.json", json.dumps({"name": "keeper", "version": "1"}))
    return target.getvalue()


@contextmanager
def scene_on(node: LocalNode, server: str, folder: Path) -> Iterator[ServerScene]:
    variables = settings_for(node) | {
        "STOP_GRACE": "2",
        "HEALTH_PATIENCE": "10",
        "ENVIRONMENT_DATABASE_URL": server,
    }
    with nursery(variables, folder / "moments") as workers:
        yield ServerScene(node, make_cast(), workers, server)
