"""Apps reach the database of their environment, and nothing else of the server or the host."""

import os
from pathlib import Path

import psycopg
import pytest

from deployments.runtimes.base import Instance, RuntimeFailure, Spec
from deployments.runtimes.databases import Databases
from tests.deployments.databases.conftest import names_on
from tests.deployments.node import HOST, LocalNode

# libpq's own programs are on the system of every sandbox: each request is a statement
APP = """
import http.server, os, subprocess, glob, urllib.parse
PSQL = sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        statement = urllib.parse.unquote(self.path.partition("?")[2])
        done = subprocess.run(
            [PSQL, os.environ["DATABASE_URL"], "-X", "-t", "-A", "-c", statement or "SELECT 1"],
            capture_output=True, text=True,
        )
        body = (done.stdout + done.stderr).encode()
        self.send_response(200 if done.returncode == 0 else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def serve(node: LocalNode, environment: int = 1) -> Instance:
    instance = node.start(node.release({"app.py": APP}), "exec python3 app.py", environment)
    assert node.healthy(instance).healthy, node.runtime.output(instance)
    node.runtime.route(HOST, instance)
    return instance


def ask(node: LocalNode, statement: str) -> tuple[int, str]:
    status, body = node.get(path=f"/?{statement.replace(' ', '%20')}")
    return status, body.strip()


def test_an_app_keeps_what_it_writes_over_a_restart(node: LocalNode) -> None:
    first = serve(node)
    assert ask(node, "CREATE TABLE note AS SELECT 'kept' AS text") == (200, "SELECT 1")
    node.runtime.stop(first, 1)
    serve(node)
    assert ask(node, "SELECT text FROM note") == (200, "kept")


def test_a_command_beside_it_reaches_the_same_database(node: LocalNode) -> None:
    instance = serve(node)
    ask(node, "CREATE TABLE note AS SELECT 'kept' AS text")
    spec = Spec(instance, node.release({"app.py": APP}), "")
    done = node.runtime.run(spec, '$(ls -d /usr/lib/postgresql/*/bin)/psql "$DATABASE_URL" -c "TABLE note"', 20)
    assert done.succeeded, done.output
    assert "kept" in done.output


def test_an_app_gets_nowhere_with_its_role(server: str, node: LocalNode, databases: Databases) -> None:
    other = databases.make(2)
    serve(node)
    own = databases.of(1)
    assert own
    assert ask(node, "SELECT current_user, current_database()") == (200, f"{own.name}|{own.name}")
    assert ask(node, "CREATE ROLE more")[0] == 500
    status, said = ask(node, f"\\connect {other.name}")
    assert (status, "permission denied" in said) == (500, True)


def test_environments_whose_network_is_the_hosts_reach_theirs(server: str, tmp_path: Path) -> None:
    from tests.deployments.node import running_node

    with running_node(tmp_path / "var", shared_network=True, database_url=server) as node:
        serve(node)
        assert ask(node, "SELECT 'there'") == (200, "there")
        node.stop_all()
        node.runtime.forget(1)


def test_a_server_that_listens_on_a_socket_only_is_reached(
    server_and_log: tuple[str, Path], node: LocalNode, databases: Databases
) -> None:
    server, log = server_and_log
    folder = str(log.parent)
    over_socket = psycopg.conninfo.make_conninfo(server, host=folder)
    described = Databases(databases._layout, over_socket).described(databases.make(1))
    assert described["target"] == f"{folder}/.s.PGSQL.{psycopg.conninfo.conninfo_to_dict(server)['port']}"
    node.runtime.databases._url = over_socket
    try:
        serve(node)
        assert ask(node, "SELECT 'there'") == (200, "there")
    finally:
        node.runtime.databases._url = server


def test_clearing_and_forgetting_an_environment_leaves_nothing(server: str, node: LocalNode) -> None:
    instance = serve(node)
    ask(node, "CREATE TABLE note AS SELECT 'kept' AS text")
    with pytest.raises(RuntimeFailure, match="still runs"):
        node.runtime.clear(1)
    assert node.runtime.storage(1).database > 1_000_000
    node.runtime.stop(instance, 1)
    node.runtime.clear(1)
    assert names_on(server) == set()
    serve(node)
    assert ask(node, "SELECT text FROM note")[0] == 500


def test_a_clearing_that_was_cut_off_is_finished_before_anything_starts(server: str, node: LocalNode) -> None:
    instance = serve(node)
    ask(node, "CREATE TABLE note AS SELECT 'kept' AS text")
    node.runtime.stop(instance, 1)
    layout = node.runtime.layout
    layout.data(1).rename(node.runtime._cleared(1))
    serve(node)
    assert ask(node, "SELECT text FROM note")[0] == 500


def test_without_the_server_nothing_is_cleared_and_nothing_starts(node: LocalNode) -> None:
    instance = serve(node)
    node.runtime.stop(instance, 1)
    url, node.runtime.databases._url = node.runtime.databases._url, "postgresql://keeper@127.0.0.1:1/postgres"
    try:
        with pytest.raises(RuntimeFailure, match="does not answer"):
            node.runtime.clear(1)
        assert node.runtime.layout.data(1).is_dir()
        with pytest.raises(RuntimeFailure, match="does not answer"):
            serve(node)
    finally:
        node.runtime.databases._url = url


def test_the_password_is_on_no_command_line(node: LocalNode, databases: Databases) -> None:
    serve(node)
    own = databases.of(1)
    assert own
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_readable(path)]
    assert not any(own.password.encode() in line for line in lines)


def _is_readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes()) and path.parent.name != str(os.getpid())
    except OSError:
        return False
