"""Runs the whole portal on this machine, until Ctrl-C."""

import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Tags
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from deployments.checks import environments_server
from deployments.runtimes import get_runtime, ports
from deployments.runtimes.base import RuntimeFailure
from deployments.runtimes.node import Node, NodeFailure
from deployments.runtimes.supervision import Program
from portal.env import BASE_DIR

READY_WITHIN = 60  # seconds; web server and worker import everything on a machine that may be busy
# More than these restarts of supervisord, within as many seconds, are not an accident any more
RESTARTS, RESTARTS_WITHIN = 3, 60
FIRST_ACCOUNT = "Make the first account, if there is none yet: .venv/bin/python manage.py createsuperuser"


class Stopped(BaseException):
    """Somebody pressed Ctrl-C or sent TERM."""


class Command(BaseCommand):
    help = "Runs web server, worker, router and the environments' apps, until Ctrl-C."

    asked_to_stop = False

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        self.check(tags=[Tags.database], databases=["default"])
        connections.close_all()
        node = Node(settings.VAR, settings.APPS_PORT, settings.APPS_DOMAIN, programs())
        try:
            self._run(node)
        except (NodeFailure, RuntimeFailure) as failure:
            raise CommandError(str(failure)) from failure
        except Stopped:
            pass
        finally:
            # A second Ctrl-C must not leave half of it running
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            node.stop()

    def _run(self, node: Node) -> None:
        if not node.is_running_elsewhere():
            _refuse_taken_ports()
            put_pages_in_order()
        node.start()
        _wait_until_ready(node)
        self.stdout.write(summary())
        for words in notes():
            self.stdout.write(f"Note: {words}")
        self.stdout.flush()
        restarts: list[float] = []
        while not self.asked_to_stop:
            time.sleep(0.5)
            if node.has_ended():
                restarts = [moment for moment in restarts if moment > time.monotonic() - RESTARTS_WITHIN]
                if len(restarts) == RESTARTS:
                    raise NodeFailure(f"supervisord ended again and again. See {settings.VAR / 'log'}.")
                restarts.append(time.monotonic())
                self.stderr.write("supervisord ended unexpectedly; everything is started again.")
                node.start()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True  # Python drops what is raised while it tidies up, such as after an import
        raise Stopped


def put_pages_in_order() -> None:
    """Put style sheets and scripts where the web server looks for those of this release: without them no page is."""
    before = os.umask(0o077)
    try:
        call_command("collectstatic", verbosity=0, interactive=False)
    except OSError as failure:
        raise NodeFailure(f"The style sheets can't be put into {settings.STATIC_ROOT}: {failure}") from failure
    finally:
        os.umask(before)


def programs() -> list[Program]:
    """Give the portal's own programs: they get the environment that this command has, nothing else does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR_")}
    environment.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    environment["PYTHONUNBUFFERED"] = "1"
    worker = [sys.executable, "manage.py", "worker"]
    return [
        Program("web", web_server(), environment, BASE_DIR, priority=900),
        Program("worker", worker, environment, BASE_DIR, priority=950),
    ]


def web_server() -> list[str]:
    addresses = ports.loopback() if settings.BIND == "localhost" else [settings.BIND]
    command = [sys.executable, "-m", "gunicorn", "portal.wsgi", "--config", "python:portal.gunicorn"]
    command += ["--worker-class", "gthread"]
    for address in addresses:
        command += ["--bind", f"{address}:{settings.PORT}"]
    command += ["--workers", str(settings.WEB_WORKERS), "--threads", str(settings.WEB_THREADS)]
    command += ["--graceful-timeout", "5", "--log-level", "warning", "--no-control-socket"]
    if settings.TRUSTED_PROXIES:
        command += ["--forwarded-allow-ips", ",".join(settings.TRUSTED_PROXIES)]
    return command


def _refuse_taken_ports() -> None:
    for name, port in (("PORT", settings.PORT), ("APPS_PORT", settings.APPS_PORT)):
        if not ports.is_free(port):
            words = f"Port {port} is in use by another program. Stop that, or choose another port"
            raise NodeFailure(f"{words}: {name}={port + 1} make run")


def _wait_until_ready(node: Node) -> None:
    until = time.monotonic() + READY_WITHIN
    answer = "The web server does not answer."
    while time.monotonic() < until and not node.has_ended():
        try:
            status, answer = _ask_whether_ready()
        except OSError:
            status = 0
        if status == 200:
            return
        if gave_up := node.given_up():
            answer = f"It could not be started: {', '.join(gave_up)}."
            break
        time.sleep(0.1)
    words = [f"{name}: {line}" for name in ("web", "worker") for line in node.last_words(f"{name}.log").splitlines()]
    raise NodeFailure("\n".join(["The portal did not get ready.", answer, *words, f"More is in {node.layout.log}."]))


def _ask_whether_ready() -> tuple[int, str]:
    address = "127.0.0.1" if settings.BIND in ("localhost", "0.0.0.0") else settings.BIND.strip("[]")  # noqa: S104
    connection = http.client.HTTPConnection(address, settings.PORT, timeout=10)
    try:
        connection.request("GET", "/readyz", headers={"Host": urlsplit(settings.PORTAL_URL).netloc})
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def notes() -> list[str]:
    """Say what an operator has to know of this machine and of the server of the environments' databases."""
    isolation = get_runtime().isolation()
    server = [f"{message.msg} {message.hint}" for message in environments_server(None)]
    return [words for words in (isolation.reason, *isolation.gaps, *server) if words]


def summary() -> str:
    """Say where the portal is and, for a demo, who can sign in and what to try first."""
    lines = [f"The portal runs at {settings.PORTAL_URL}"]
    demo = _demo(settings.VAR / "demo.json")
    if not demo:
        return "\n".join([*lines, FIRST_ACCOUNT, "Ctrl-C stops it."])
    people = [(each["name"], each["role"], each["email"], each["password"]) for each in demo["people"]]
    widths = [max(map(len, column)) for column in zip(*people, strict=True)]
    lines.append("")
    for person in people:
        lines.append("  " + "  ".join(text.ljust(width) for text, width in zip(person, widths, strict=True)).rstrip())
    lines.append("")
    lines += [f"  {each['name']}: {each['url']}" for each in demo["environments"]]
    lines += [
        "",
        f"Try this first: sign in as {people[0][0]}, open the app {demo['app']} and transport a package to Production.",
        "The portal asks for a code then, and shows how to get one.",
        "Ctrl-C stops everything; what you did is kept.",
    ]
    return "\n".join(lines)


def _demo(path: Path) -> dict[str, Any]:
    if not settings.DEMO or not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found
