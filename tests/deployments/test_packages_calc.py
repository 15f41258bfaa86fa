"""The app of the demo, run for real as its package says, with the system's Python and an environment of its own."""

import json
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from deployments.packages import build_archive, inspect, unpack

SOURCES = Path(__file__).parent.parent / "packages" / "calc"


class App:
    """A running release of calc."""

    def __init__(self, release: Path, data: Path, command: str, **constants: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        given = {"PORT": str(self.port), "DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{data / 'app.sqlite3'}"}
        program = ["/usr/bin/python3", *shlex.split(command)[1:]]
        plain = {"PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C"}
        self.process = subprocess.Popen(
            program, cwd=release, env=plain | given | constants, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def ask(self, path: str, **form: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST" if form else "GET", path, body=urlencode(form) if form else None)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def threads(self) -> int:
        """Say how many it has: one, and one more for each request that it has taken."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def wait(self) -> None:
        for _ in range(500):
            try:
                if self.ask("/healthz") == (200, "ok\n"):
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("calc did not start within 10 seconds")


@pytest.fixture
def start(tmp_path: Path) -> Iterator["Starter"]:
    starter = Starter(tmp_path)
    yield starter
    for app in starter.apps:
        app.process.kill()
        app.process.wait()


class Starter:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.apps: list[App] = []
        (place / "data").mkdir()

    def __call__(self, version: str, **constants: str) -> App:
        packed, release = self.place / f"{version}.zip", self.place / version
        build_archive(SOURCES / version, packed)
        with packed.open("rb") as archive:
            command = inspect(archive).web
            unpack(archive, release)
        app = App(release, self.place / "data", command, **constants)
        self.apps.append(app)
        app.wait()
        return app


def test_it_calculates_and_remembers(start: Starter) -> None:
    app = start("1.0.0")
    assert app.ask("/", expression="0.1 + 0.2")[0] == 303
    assert app.ask("/", expression="2×(3−7)÷4")[0] == 303
    page = app.ask("/")[1]
    assert "0.1 + 0.2 = <strong>0.3</strong>" in page
    assert "= <strong>-2</strong>" in page


@pytest.mark.parametrize("expression", ["1/0", "2*(3", "", "__import__('os')", "9**9**9", "<b>", "1" * 101, "50%"])
def test_it_says_what_it_cannot_calculate_and_keeps_it(start: Starter, expression: str) -> None:
    status, page = start("1.0.0").ask("/", expression=expression)
    assert status == 422
    assert 'role="alert"' in page
    assert "<b>" not in page
    assert "Nothing was calculated yet." in page


def test_its_next_version_finds_the_history_and_has_a_percent_key(start: Starter) -> None:
    before = start("1.0.0")
    before.ask("/", expression="6*7")
    after = start("1.1.0", GREETING="Hello <you>")
    assert after.ask("/", expression="50% * 8")[0] == 303
    page = after.ask("/")[1]
    assert "6*7 = <strong>42</strong>" in page
    assert "50% * 8 = <strong>4</strong>" in page
    assert "Hello &lt;you&gt;" in page
    assert json.loads(before.ask("/version")[1]) == {"name": "calc", "version": "1.0.0"}
    assert json.loads(after.ask("/version")[1]) == {"name": "calc", "version": "1.1.0"}


def test_it_finishes_open_requests_when_asked_to_end(start: Starter) -> None:
    app = start("1.0.0")
    answers: list[tuple[int, str]] = []
    open_request = threading.Thread(target=lambda: answers.append(app.ask("/slow?seconds=0.6")))
    open_request.start()
    while app.threads() == 1:
        assert open_request.is_alive()
        time.sleep(0.01)
    app.process.terminate()
    open_request.join()
    assert answers == [(200, "1.0.0 answered after 0.6 s\n")]
    assert app.process.wait(5) == 0
    with pytest.raises(OSError, match="refused"):
        app.ask("/healthz")


def test_it_trims_its_history_on_its_schedule(start: Starter) -> None:
    app = start("1.0.0")
    for number in range(103):
        app.ask("/", expression=f"{number}+0")
    given = {"DATA_DIR": str(start.place / "data"), "DATABASE_URL": f"sqlite:///{start.place / 'data/app.sqlite3'}"}
    run = subprocess.run(
        ["/usr/bin/python3", "app.py", "trim"], cwd=start.place / "1.0.0", env=given, check=True, capture_output=True
    )
    assert run.stdout == b"3 calculations were forgotten.\n"
    assert "102+0" in app.ask("/")[1]


def test_its_own_database_is_where_the_portal_says(start: Starter) -> None:
    start("1.0.0").ask("/", expression="1+1")
    assert (start.place / "data/app.sqlite3").is_file()
