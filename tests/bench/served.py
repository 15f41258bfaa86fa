"""The portal's own web server, started as `make run` starts it, for the portal and for the floor."""

import contextlib
import http.client
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from deployments.runtimes.processes import descendants
from portal.env import BASE_DIR
from portal.management.commands.run import web_server
from tests.journeys.live import free_port

PORTAL, FLOOR = "portal.wsgi", "tests.bench.floor"
READY_SECONDS = 30


@dataclass(frozen=True)
class Server:
    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Give what all its processes and threads have used (proc(5), schedstat: nanoseconds)."""
        threads = (Path(f"/proc/{pid}").glob("task/*/schedstat") for pid in (self.pid, *descendants(self.pid)))
        return sum(int(each.read_text().split()[0]) for found in threads for each in found) / 1e9


@contextmanager
def serving(application: str) -> Iterator[Server]:
    """Serve an application on the database of this process."""
    port = free_port()
    command = [part.replace(PORTAL, application).replace(f":{settings.PORT}", f":{port}") for part in web_server()]
    with (settings.VAR / "served.log").open("ab") as log:
        server = subprocess.Popen(command, cwd=BASE_DIR, env=dict(os.environ), stdout=log, stderr=log)
    try:
        _wait_until_ready(server, port)
        yield Server(server.pid, port)
    finally:
        server.terminate()
        server.wait(READY_SECONDS)


class Asker:
    """Asks for one page on a connection that it keeps for a round, as a browser does."""

    def __init__(self, server: Server, path: str, host: str, cookies: str = "") -> None:
        self.path = path
        self.headers = {"Host": host, "Cookie": cookies}
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=READY_SECONDS)

    def begin(self) -> None:
        self.connection.close()

    def __call__(self) -> bytes:
        self.connection.request("GET", self.path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{self.path} answered {answer.status}.")
        return body


def _wait_until_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + READY_SECONDS
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
            connection.request("GET", "/")
            connection.getresponse()
            connection.close()
            return
        time.sleep(0.1)
    raise AssertionError(f"The web server did not start; {settings.VAR}/served.log says why.")
