"""An app that keeps data in a database on a server, and what those data are, to the last row."""

import hashlib
import io
import json
from http.client import HTTPConnection
from zipfile import ZipFile

import psycopg
from django.core.files.base import ContentFile

from accounts.actor import Actor
from deployments.flows import request_job, upload_package
from deployments.models import Job, Package
from deployments.runtimes.databases import Database
from deployments.states import JobKind
from deployments.worker import Worker
from environments.models import Environment
from tests.cast import Cast
from tests.deployments.backups.test_runtime_data import tree
from tests.deployments.node import LocalNode

# A statement is a POST to /, a file a POST to /files/NAME. It is sick with data in which there is a table `sick`
APP = """
import glob, http.server, os, pathlib, subprocess
PSQL = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]
def said(statement):
    command = [PSQL, os.environ["DATABASE_URL"], "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-f", "-"]
    return subprocess.run(command, input=statement, capture_output=True, text=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())
    def do_GET(self):
        done = said("SELECT to_regclass('sick') IS NULL")
        self.answer(200 if done.stdout.strip() == "t" else 503, done.stdout + done.stderr)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/files/"):
            path = pathlib.Path(os.environ["DATA_DIR"], self.path.removeprefix("/files/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            self.answer(200, "")
        else:
            done = said(body.decode())
            self.answer(200 if done.returncode == 0 else 500, done.stdout + done.stderr)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
# What an app may have in a database: keys that count up, references, bytes, large objects, what is worked out of it
SCHEMA = """
CREATE TYPE mood AS ENUM ('fine', 'poor');
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'fine', more jsonb);
CREATE TABLE invoice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customer ON DELETE CASCADE,
    amount numeric(12, 2) CHECK (amount > 0), scan bytea, at timestamptz DEFAULT '2026-05-03 12:00+02'
);
CREATE TABLE picture (name text, content oid);
CREATE SEQUENCE ticket START 700;
CREATE INDEX invoice_amount ON invoice (amount DESC) WHERE amount > 10;
CREATE VIEW owed AS
    SELECT name, sum(amount) AS amount FROM customer JOIN invoice ON customer = customer.id GROUP BY name;
CREATE MATERIALIZED VIEW total AS SELECT sum(amount) AS amount FROM invoice;
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := upper(NEW.name); RETURN NEW; END';
CREATE TRIGGER shouted BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION shout();
CREATE EXTENSION pg_trgm;
CREATE TABLE busy (a int, b int);
INSERT INTO customer (name, more) SELECT 'Zoë ☃ ' || n, jsonb_build_object('n', n) FROM generate_series(1, 50) n;
INSERT INTO invoice (customer, amount, scan)
    SELECT 1 + n % 50, n + 0.07, sha256(n::text::bytea) || '\\x0027' FROM generate_series(1, 2000) n;
INSERT INTO picture VALUES ('portrait', lo_from_bytea(0, convert_to(repeat('pixel', 20000), 'UTF8')));
SELECT nextval('ticket'), nextval('ticket');
REFRESH MATERIALIZED VIEW total;
"""
WHAT = {
    "customers": "SELECT * FROM customer ORDER BY id",
    "invoices": "SELECT * FROM invoice ORDER BY id",
    "pictures": "SELECT name, content, encode(lo_get(content), 'base64') FROM picture ORDER BY name",
    "owed": "SELECT * FROM owed ORDER BY name",
    "total": "SELECT * FROM total",
    "sequences": "SELECT sequencename, start_value, last_value, increment_by FROM pg_sequences ORDER BY 1",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "views": "SELECT viewname, definition, viewowner = current_user FROM pg_views WHERE schemaname = 'public'",
    "constraints": (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace ORDER BY 1"
    ),
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "functions": "SELECT prosrc FROM pg_proc WHERE proname = 'shout'",
    "extensions": "SELECT extname FROM pg_extension ORDER BY 1",
    "owners": "SELECT tablename, tableowner = current_user FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
}


class Keeper:
    """The app on an environment: what it is told, what it has kept."""

    def __init__(self, node: LocalNode, server: str, environment: Environment) -> None:
        self.node = node
        self.server = server
        self.environment = environment

    def post(self, path: str, body: bytes) -> str:
        connection = HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        host = f"{self.environment.host}.apps.localhost:{self.node.port}"
        try:
            connection.request("POST", path, body, {"Host": host})
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, said
        return said.strip()

    def tell(self, statement: str) -> str:
        return self.post("/", statement.encode())

    def keep(self, name: str, content: bytes) -> None:
        self.post(f"/files/{name}", content)

    @property
    def database(self) -> Database:
        found = self.node.runtime.databases.of(self.environment.pk)
        assert found
        return found

    def holds(self) -> dict[str, object]:
        """Give all that the environment has: rows, definitions, counters, files."""
        database = self.database
        found: dict[str, object] = {}
        with psycopg.connect(
            self.server, user=database.role, password=database.password, dbname=database.name
        ) as connection:
            for name, statement in WHAT.items():
                found[name] = connection.execute(statement).fetchall()
        return found | {"files": tree(self.node.runtime.layout.data(self.environment.pk))}


def packed(version: str = "1") -> bytes:
    target = io.BytesIO()
    with ZipFile(target, "w") as archive:
        archive.writestr("Procfile", "web: exec python3 app.py\n")
        archive.writestr("app.py", APP)
        metadata = {"name": "keeper", "version": version, "health_path": "/healthz"}
        archive.writestr("model/metadata.json", json.dumps(metadata))
    return target.getvalue()


def package_of(cast: Cast, version: str = "1") -> Package:
    content = packed(version)
    known = Package.objects.filter(sha256=hashlib.sha256(content).hexdigest()).first()
    return known or upload_package(cast.app, Actor(cast.alice), ContentFile(content, "keeper.zip"), "keeper.zip")


def work(node: LocalNode, job: Job | None, state: str = "done") -> Job:
    """Let a worker carry out what waits, one job."""
    assert job is not None
    assert Worker(node.runtime, "real").run_once()
    job.refresh_from_db()
    assert job.state == state, job.result
    return job


def keeper_on(node: LocalNode, server: str, cast: Cast, environment: Environment, by: Actor) -> Keeper:
    """Start the app on an environment."""
    job = request_job(JobKind.TRANSPORT, environment, by, package_of(cast))
    Job.objects.filter(pk=job.pk).update(backs_up=False)
    work(node, job)
    return Keeper(node, server, environment)
