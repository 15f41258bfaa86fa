"""Tries to reach everything that is not its own, and answers with what it got."""

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def attempt(act: Callable[[], object]) -> str:
    """Give "done: …" or the reason why not."""
    try:
        return f"done: {act()!r}"
    except OSError as error:
        return f"refused: {error.strerror or error}"


def read(path: str) -> str:
    return attempt(lambda: Path(path).read_bytes()[:200] if Path(path).is_file() else os.listdir(path))


def write(path: str) -> str:
    return attempt(lambda: Path(path, "planted").write_text("x"))


def connect(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        return attempt(lambda: client.connect(path))


def run(*command: str) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def sockets() -> list[str]:
    found = []
    for folder, _, names in os.walk("/"):
        if not folder.startswith("/proc"):
            paths = [os.path.join(folder, name) for name in names]
            found += [path for path in paths if stat.S_ISSOCK(os.lstat(path).st_mode)]
    return found


def look_around(targets: list[str], pids: list[int]) -> dict[str, object]:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {
        "environment": dict(os.environ),
        "status": {name: status[name].split() for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapBnd", "NoNewPrivs")},
        "processes": {pid: Path("/proc", pid, "cmdline").read_text() for pid in os.listdir("/proc") if pid.isdigit()},
        "root": sorted(os.listdir("/")),
        "etc": sorted(os.listdir("/etc")),
        "read": {path: read(path) for path in targets},
        "connected": {path: connect(path) for path in targets},
        "killed": {pid: attempt(lambda pid=pid: os.kill(pid, signal.SIGKILL)) for pid in pids},
        "written": {path: write(path) for path in ("/", "/app", "/usr/bin", "/etc", "/dev", "/proc", "/proc/sys/kernel")},
        "kept": {path: write(path) for path in ("/data", "/tmp", "/dev/shm")},
        "others": {path: read(path) for path in ("/proc/1/environ", "/proc/1/root", "/proc/1/cwd", "/proc/1/fd")},
        "sockets": sockets(),
        "mounted": run("mount", "-o", "remount,rw", "/app"),
        "became": run("setpriv", "--reuid", "0", "true"),
        "host": socket.gethostname(),
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = json.loads(os.environ["LOOK_FOR"])
        found = look_around(asked["targets"], asked["pids"]) if self.path == "/look" else {}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
