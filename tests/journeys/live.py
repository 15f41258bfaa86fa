"""The real portal in a folder of its own: the commands of `make run`, with web, worker, router and sandboxes."""

import email
import email.policy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import IO, Any

from tests.postgres import fresh_database

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"DJANGO_SETTINGS_MODULE": "tests.journeys.quick_settings"}
READY_SECONDS = 90
STOP_SECONDS = 30


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    password: str
    role: str


@dataclass(frozen=True)
class LivePortal:
    """A running portal as a person meets it; nothing here looks into its database."""

    url: str
    var: Path
    demo: dict[str, Any]

    def person(self, name: str) -> Person:
        """Give one of the demo's people by first name."""
        found = next(person for person in self.demo["people"] if person["name"].split()[0] == name)
        return Person(**{key: found[key] for key in ("name", "email", "password", "role")})

    def environment_url(self, slug: str) -> str:
        """Give the address of the app that runs on an environment of the demo's app."""
        return str(next(each["url"] for each in self.demo["environments"] if each["slug"] == slug))

    @property
    def packages(self) -> list[Path]:
        return [self.var / "packages" / Path(path).name for path in self.demo["packages"]]

    def mails(self, to: str) -> list[EmailMessage]:
        """Give the mail to an address, oldest first."""
        files = sorted((self.var / "mail").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        # Django writes the mails of one connection into one file, a line of dashes after each.
        texts = [text for path in files for text in path.read_text().split("\n" + "-" * 79 + "\n") if text.strip()]
        mails = [email.message_from_string(text.lstrip(), policy=email.policy.default) for text in texts]
        return [mail for mail in mails if isinstance(mail, EmailMessage) and to in str(mail["To"])]

    def mail(self, to: str, subject: str) -> str:
        """Give the text of the newest mail with this subject to an address; it says the same in HTML."""
        mail = [mail for mail in self.mails(to) if mail["Subject"] == subject][-1]
        text, formatted = (mail.get_body((kind,)) for kind in ("plain", "html"))
        assert text
        assert formatted
        return str(text.get_content())


@dataclass(frozen=True)
class Filled:
    """A folder with the demo in it, the ports it was filled for, and its database on PostgreSQL."""

    var: Path
    ports: tuple[str, str]
    database: str | None


@contextmanager
def filled(var: Path) -> Iterator[Filled]:
    """Fill the demo in `var`, for portals that begin with a copy of it."""
    with ExitStack() as stack:
        env = _environment(var) | QUICK | _database(stack)
        _fill(var, env)
        yield Filled(var, _ports(env), env.get("DATABASE_URL"))


@contextmanager
def running(var: Path, like: Filled | None = None, /, **settings: str) -> Iterator[LivePortal]:
    """Start the portal with its demo in `var` on two free ports, with further settings; end it as Ctrl-C would.

    The demo is filled, or copied and given the new addresses where there is one to be `like`; then checking a password
    costs little, which is all that such a portal has of its own. It uses SQLite, or a
    fresh database in the PostgreSQL cluster of JOURNEYS_DATABASE_URL where that is set.
    Whatever it says goes to `var/journey.log`, which the error names when it doesn't get ready.
    """
    with ExitStack() as stack:
        env = _environment(var) | (QUICK if like else {}) | _database(stack, like) | settings
        if like:
            _copy(like, var, env)
        else:
            _fill(var, env)
        log = stack.enter_context((var / "journey.log").open("ab"))
        portal = _start(env, log, "run", start_new_session=True)
        try:
            url = f"http://localhost:{env['PORT']}"
            _wait_until_ready(portal, url, var)
            yield LivePortal(url, var, json.loads((var / "demo.json").read_text()))
        finally:
            _end(portal, var)


def _database(stack: ExitStack, like: Filled | None = None) -> dict[str, str]:
    cluster = os.environ.get("JOURNEYS_DATABASE_URL")
    if not cluster:
        return {}
    return {"DATABASE_URL": stack.enter_context(fresh_database(cluster, like.database if like else None))}


def _fill(var: Path, env: dict[str, str]) -> None:
    var.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (var / "journey.log").open("ab") as log:
        if _start(env, log, "demo").wait():
            raise AssertionError(f"The demo could not be filled:\n{_tail(var)}")


def _copy(like: Filled, var: Path, env: dict[str, str]) -> None:
    """Copy what is filled, and give it the new addresses as `manage.py demo` would."""
    shutil.copytree(like.var, var, dirs_exist_ok=True)
    ports = dict(zip(like.ports, _ports(env), strict=True))
    demo = re.sub(r"(?<=localhost:)\d+", lambda port: ports[port.group()], (var / "demo.json").read_text())
    (var / "demo.json").write_text(demo)


def _ports(env: dict[str, str]) -> tuple[str, str]:
    return env["PORT"], env["APPS_PORT"]


def _start(env: dict[str, str], log: IO[bytes], command: str, **options: Any) -> "subprocess.Popen[bytes]":
    typed = [sys.executable, "manage.py", command]
    return subprocess.Popen(typed, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)


def manage(var: Path, *command: str, **settings: str) -> str:
    """Type one of the portal's commands as its operator does, and give what it says."""
    var.mkdir(parents=True, exist_ok=True, mode=0o700)
    typed = [sys.executable, "manage.py", *command]
    done = subprocess.run(
        typed, cwd=ROOT, env=_environment(var) | settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _environment(var: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR", "TZ")}
    return kept | {
        "PORTAL_ENV_FILE": os.devnull,
        "PORTAL_MODE": "demo",
        "PORTAL_VAR": str(var),
        "PORT": str(free_port()),
        "APPS_PORT": str(free_port()),
    }


def _wait_until_ready(portal: "subprocess.Popen[bytes]", url: str, var: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while portal.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"The portal did not get ready:\n{_tail(var)}")


def _end(portal: "subprocess.Popen[bytes]", var: Path) -> None:
    if portal.poll() is None:
        os.killpg(portal.pid, signal.SIGINT)
    try:
        portal.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(portal.pid, signal.SIGKILL)
        portal.wait()
        raise AssertionError(f"The portal was still there {STOP_SECONDS} s after Ctrl-C:\n{_tail(var)}") from None


def _tail(var: Path) -> str:
    return "\n".join((var / "journey.log").read_text(errors="replace").splitlines()[-40:])
