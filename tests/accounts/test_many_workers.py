"""The same limits and the same single acceptance with many worker processes: 8 on PostgreSQL, 2 on SQLite."""

import http.client
import os
import secrets as random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.models import Authenticator, ProductionWindow, User
from accounts.secrets import encrypt
from tests.accounts.test_races import at_once
from tests.cast import make_person, signed_in
from tests.codes import code_for, wrong_code

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
TOKEN = "c" * 32
PEOPLE = 120


class Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket: no port to choose."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The portal's web server with its worker processes on this test's database; gives the path of its socket."""
    path = str(tmp_path / "web.sock")
    workers = 8 if connection.vendor == "postgresql" else 2
    command = [sys.executable, "-m", "gunicorn", "portal.wsgi", "--workers", str(workers), "--threads", "4"]
    env = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "tests.served_settings"}
    server = subprocess.Popen([*command, "--bind", f"unix:{path}", "--log-level", "error"], cwd=ROOT, env=env)
    end = time.monotonic() + 60
    while time.monotonic() < end and not Path(path).exists():
        time.sleep(0.1)
    yield path
    server.terminate()
    server.wait(30)


def database_url() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return f"postgres://{database['USER']}@/{database['HOST']}/{database['NAME']}"


def enter(path: str, session: str, code: str) -> int:
    body = urlencode({"code": code, "csrfmiddlewaretoken": TOKEN})
    headers = {"Cookie": f"session={session}; csrf={TOKEN}", "Content-Type": "application/x-www-form-urlencoded"}
    with closing(Socket(path)) as web:
        web.request("POST", "/authenticator/", body, headers)
        answer = web.getresponse()
        answer.read()
        return answer.status


def with_authenticator(person: User) -> bytes:
    raw = random.token_bytes(20)
    Authenticator.objects.create(
        user=person, name="A", confirmed=True, confirmed_at=timezone.now(), secret=encrypt(raw.hex())
    )
    return raw


def test_one_code_from_thirty_sessions_opens_one_window(web: str) -> None:
    alice = make_person("alice")
    code = code_for(with_authenticator(alice))
    sessions = [str(signed_in(alice).session.session_key) for _ in range(30)]
    answers = at_once([lambda s=s: enter(web, s, code) for s in sessions])  # type: ignore[misc]
    assert sorted(answers) == [200] * 29 + [302]
    assert ProductionWindow.objects.filter(ended_at=None).count() == 1


def test_wrong_codes_over_many_workers_count_for_one_person(web: str) -> None:
    alice = make_person("alice")
    with_authenticator(alice)
    sessions = [str(signed_in(alice).session.session_key) for _ in range(12)]
    wrong = wrong_code(alice)
    answers = [enter(web, session, wrong) for session in sessions]
    assert answers.count(429) == 12, answers
    assert Authenticator.objects.get().throttling_failure_count < 12, "a wait is not looked into"


def test_120_correct_codes_at_once_are_all_accepted_without_a_500(web: str) -> None:
    def ready(number: int) -> tuple[str, bytes]:
        person = make_person(f"person{number}")
        answer = str(signed_in(person).session.session_key), with_authenticator(person)
        return answer

    people = [ready(number) for number in range(PEOPLE)]
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda each: enter(web, each[0], code_for(each[1])), people))
    assert answers == [302] * PEOPLE
    assert ProductionWindow.objects.filter(ended_at=None).count() == PEOPLE
    connections.close_all()
