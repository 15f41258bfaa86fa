"""A real supervisord with a real router in a folder of its own, and packages to run on it."""

import hashlib
import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from deployments.packages import build_archive
from deployments.runtimes import processes
from deployments.runtimes.base import Health, Instance, InstanceState, Spec
from deployments.runtimes.node import Node
from deployments.runtimes.process import ProcessRuntime

PACKAGES = Path(__file__).resolve().parents[1] / "packages"
HOST = "production--calc"
# A web server in a line of Python; `ANSWER` is what it says
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        body = os.environ.get("ANSWER", "").encode()
        self.send_response(int(os.environ.get("STATUS", "200")))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} seconds"
        time.sleep(0.02)


def processes_with(marker: str) -> list[int]:
    """List every process of the host whose command line has the marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            if marker.encode() in Path("/proc", pid, "cmdline").read_bytes():
                found.append(int(pid))
        except OSError:
            continue
    return found


def own_processes_with(marker: str) -> list[int]:
    """List those of them that this process started, itself or over others; tests beside this one have theirs."""
    return sorted(set(processes_with(marker)) & set(processes.descendants(os.getpid())))


@dataclass
class LocalNode:
    """A started node and the runtime that portal and worker use to talk to it."""

    var: Path
    port: int
    node: Node
    runtime: ProcessRuntime
    count: int = 0

    def release(self, source: Mapping[str, str] | str) -> str:
        """Unpack one of tests/packages, or files given by name, and give the release's name."""
        if isinstance(source, str):
            target = self.var / f"{source}.zip"
            build_archive(PACKAGES / source, target)
            content = target.read_bytes()
        else:
            buffer = BytesIO()
            with ZipFile(buffer, "w") as archive:
                for name, text in {"Procfile": "web: true\n", **source}.items():
                    archive.writestr(name, text)
            content = buffer.getvalue()
        release = hashlib.sha256(content).hexdigest()
        self.runtime.prepare(release, BytesIO(content))
        return release

    def start(self, release: str, command: str = "python3 app.py", environment: int = 1, **variables: str) -> Instance:
        self.count += 1
        instance = Instance(environment, self.count)
        self.runtime.start(Spec(instance, release, command, variables, HOST))
        return instance

    def serve(self, environment: int = 1, command: str = "python3 app.py", **variables: str) -> Instance:
        """Start the small server and wait until it is healthy."""
        instance = self.start(self.release({"app.py": SERVER}), command, environment, **variables)
        assert self.healthy(instance).healthy
        return instance

    def healthy(self, instance: Instance, seconds: float = 15) -> Health:
        """Wait until the instance is healthy or has ended, and give the last check."""
        end = time.monotonic() + seconds
        while True:
            health = self.runtime.check(instance, "/", 5)
            ended = self.runtime.status(instance).state is not InstanceState.RUNNING
            if health.healthy or ended or time.monotonic() > end:
                return health
            time.sleep(0.02)

    def get(self, host: str = HOST, path: str = "/", address: str = "127.0.0.1") -> tuple[int, str]:
        """Ask the router as a browser would for a host's label."""
        connection = http.client.HTTPConnection(address, self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"Host": f"{host}.apps.localhost:{self.port}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stop_all(self) -> None:
        for instance in self.runtime.instances():
            self.runtime.stop(instance, 0.5)


@contextmanager
def running_node(var: Path, shared_network: bool = False, database_url: str = "") -> Iterator[LocalNode]:
    """Start supervisord and the router below `var`; every process of theirs is gone afterwards.

    With `shared_network` apps are started as on a host that can give them no network of their own. `database_url`
    names a server for their databases.
    """
    port = free_port()
    node = Node(var, port, "apps.localhost")
    node.start()
    try:
        runtime = ProcessRuntime(var, port, database_url=database_url)
        if shared_network:
            runtime._found = replace(runtime._found, separate=False)
        yield LocalNode(var, port, node, runtime)
    finally:
        node.stop()
