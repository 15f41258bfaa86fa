"""`manage.py run` as an operator meets it: real web server, worker and router, in a folder of its own."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.runtimes import ports, processes
from portal.env import BASE_DIR
from tests.deployments.node import free_port, wait_until

PERSON = {"name": "Alice Example", "role": "SCRUM Master", "email": "alice@example.org", "password": "a long password"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the operator set: a folder with a database in it, two free ports."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = kept | {
        "PORTAL_ENV_FILE": os.devnull,
        "PORTAL_MODE": "demo",
        "PORTAL_VAR": str(tmp_path_factory.mktemp("var")),
        "PORT": str(free_port()),
        "APPS_PORT": str(free_port()),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=BASE_DIR, env=environment, check=True)
    return environment


class Run:
    """The command as it runs, and what it has said."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        command = [sys.executable, "manage.py", "run"]
        self.out, self.err = (Path(environment["PORTAL_VAR"], name) for name in ("said.out", "said.err"))
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=out, stderr=err)

    def has_said_so(self) -> bool:
        assert self.process.poll() is None, self.err.read_text()
        return self.out.read_text().endswith("\n")

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://localhost:{self.environment['PORT']}/readyz", timeout=20) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://localhost:{self.environment['PORT']}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def everything(self) -> list[int]:
        return processes.descendants(self.process.pid)

    def supervisord(self) -> int:
        return next(pid for pid in self.everything() if processes.parent(pid) == self.process.pid)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send the signal; give the exit code and what was said on both channels."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        return code, self.out.read_text(), self.err.read_text()


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Run]:
    run = Run(environment)
    try:
        wait_until(run.has_said_so, 60)
        assert run.is_ready()
        yield run
    finally:
        if run.process.poll() is None:
            run.end(signal.SIGINT)


def said_by(environment: dict[str, str]) -> str:
    """Run the command where it must refuse, and give what it says."""
    command = [sys.executable, "manage.py", "run"]
    refused = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert refused.stdout == ""
    return refused.stderr.strip()


def test_it_says_where_the_portal_is_and_ends_all_of_it_on_ctrl_c(run: Run) -> None:
    assert said_by(run.environment) == (
        "CommandError: The portal is running already. Stop it with Ctrl-C where it was started."
    )
    started = run.everything()
    assert len(started) >= 5
    began = time.monotonic()
    code, out, err = run.end(signal.SIGINT)
    assert time.monotonic() - began < 10
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"The portal runs at http://localhost:{run.environment['PORT']}"
    assert not [pid for pid in started if processes.is_alive(pid)]
    assert ports.is_free(int(run.environment["PORT"]))
    assert ports.is_free(int(run.environment["APPS_PORT"]))


def test_its_pages_are_there_where_nobody_but_migrate_has_been_before(run: Run) -> None:
    shown = run.page("/sign-in/")
    styles = re.findall(r'href="(/static/css/[a-z]+\.[0-9a-f]+\.css)"', shown)
    assert len(styles) == 3
    assert all("{" in run.page(style) for style in styles)


def test_it_keeps_going_when_supervisord_is_killed_and_ends_on_term(run: Run) -> None:
    first = run.supervisord()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not run.is_ready() or run.supervisord() != first, 20)
    wait_until(run.is_ready, 60)
    started = run.everything()
    assert first not in started
    code, _, err = run.end(signal.SIGTERM)
    assert (code, err.strip()) == (0, "supervisord ended unexpectedly; everything is started again.")
    assert not [pid for pid in started if processes.is_alive(pid)]


def test_nothing_outlives_it_when_it_is_killed(run: Run) -> None:
    started = run.everything()
    run.end(signal.SIGKILL)
    wait_until(lambda: not [pid for pid in started if processes.is_alive(pid)], 15)


def test_ctrl_c_ends_it_though_python_dropped_the_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.management.commands import run

    class Node:
        def is_running_elsewhere(self) -> bool:
            return True

        def start(self) -> None:
            with contextlib.suppress(run.Stopped):  # as Python does in what it calls after an import
                signal.raise_signal(signal.SIGINT)

        def has_ended(self) -> bool:
            raise AssertionError("It goes on.")

        def stop(self) -> None:
            pass

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(run, "Node", lambda *_: Node())
    monkeypatch.setattr(run, "_wait_until_ready", lambda node: None)
    monkeypatch.setattr(run.Command, "check", lambda *_, **__: None)
    try:
        run.Command().handle()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_it_says_which_port_is_taken_and_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = f"Port {port} is in use by another program. Stop that, or choose another port"
        for name in ("PORT", "APPS_PORT"):
            said = said_by(environment | {"PORTAL_VAR": str(tmp_path), name: str(port)})
            assert said == f"CommandError: {words}: {name}={port + 1} make run"


def test_it_names_the_people_of_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    from portal.management.commands.run import summary

    demo = {
        "app": "calc",
        "people": [PERSON],
        "environments": [{"name": "Test", "slug": "test", "url": "http://test--calc.apps.localhost:8080"}],
    }
    (tmp_path / "demo.json").write_text(json.dumps(demo))
    monkeypatch.setattr(settings, "VAR", tmp_path)
    text = summary()
    assert "Alice Example  SCRUM Master  alice@example.org  a long password" in text
    assert "http://test--calc.apps.localhost:8080" in text
    assert "sign in as Alice Example" in text
