"""Tries to get out, to get rights and to use up the host. `GET /<attack>` answers with what it achieved."""

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
SYSCALLS = {
    "x86_64": {
        "add_key": 248,
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "clone3": 435,
    },
    "aarch64": {
        "add_key": 217,
        "bpf": 280,
        "perf_event_open": 241,
        "userfaultfd": 282,
        "io_uring_setup": 425,
        "clone3": 435,
    },
}
PTRACE_ATTACH = 16
CLONE_NEWUSER = 0x10000000


def attempt(act: Callable[[], object]) -> str:
    try:
        return f"done: {act()!r}"
    except (OSError, ValueError) as error:
        return f"refused: {getattr(error, 'strerror', None) or error}"


def call(name: str, *arguments: int) -> int:
    number = SYSCALLS[os.uname().machine][name]
    return checked(libc.syscall(number, *[ctypes.c_long(each) for each in arguments]))


def checked(answer: int) -> int:
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def in_child(act: Callable[[], object]) -> str:
    """Do it in a process of its own and give its last words, or how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.write(writing, attempt(act).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as words:
        said = words.read().decode()
    status = os.waitpid(child, 0)[1]
    return said or f"killed: {os.waitstatus_to_exitcode(status)}"


def rights() -> dict[str, str]:
    acts: dict[str, Callable[[], object]] = {
        "become root": lambda: os.setuid(0),
        "join root's group": lambda: os.setgid(0),
        "take groups": lambda: os.setgroups([0]),
        "make a user namespace": lambda: checked(libc.unshare(CLONE_NEWUSER)),
        "make a network namespace": lambda: checked(libc.unshare(0x40000000)),
        "mount": lambda: checked(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
        "remount the release": lambda: checked(libc.mount(b"none", b"/app", None, 32, None)),
        "change the root": lambda: os.chroot("/data"),
        "make a device": lambda: os.mknod("/data/device", 0o60666, os.makedev(8, 0)),
        "trace the first process": lambda: checked(libc.ptrace(PTRACE_ATTACH, 1, 0, 0)) if os.getuid() else 0,
        "name the host": lambda: socket.sethostname("mine"),
        "listen to the wire": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
        "send raw packets": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "go first": lambda: os.nice(-10),
        "outlive everybody": lambda: Path("/proc/self/oom_score_adj").write_text("-1000"),
        "set the kernel": lambda: Path("/proc/sys/kernel/core_pattern").write_text("|/data/x"),
        "press magic keys": lambda: Path("/proc/sysrq-trigger").write_text("b"),
        "open more files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20)),
        "keep a key": lambda: call("add_key", 0, 0, 0, 0, 0),
        "load into the kernel": lambda: call("bpf", 0, 0, 0),
        "watch the kernel": lambda: call("perf_event_open", 0, 0, -1, -1, 0),
        "catch page faults": lambda: call("userfaultfd", 0),
        "queue calls": lambda: call("io_uring_setup", 1, 0),
        "clone with hidden flags": lambda: call("clone3", 0, 0),
        "read memory": lambda: open("/dev/mem", "rb"),
        "read kernel messages": lambda: open("/dev/kmsg", "rb"),
    }
    return {name: in_child(act) for name, act in acts.items()}


def own_setuid_program() -> str:
    """A copy of a shell with the set-uid bit: it must run as nobody else."""
    subprocess.run(["cp", "/bin/sh", "/data/sh"], check=True)
    os.chmod("/data/sh", 0o6755)
    return subprocess.run(["/data/sh", "-pc", "id -u; id -g"], capture_output=True, text=True, check=False).stdout


def reach(places: list[list[object]]) -> dict[str, str]:
    found = {}
    for host, port in places:
        with socket.socket(socket.AF_INET6 if ":" in str(host) else socket.AF_INET) as client:
            client.settimeout(1)
            found[f"{host}:{port}"] = attempt(lambda: client.connect((host, port)))
    return found


def network() -> dict[str, object]:
    return {
        "reached": reach(json.loads(os.environ["PLACES"])),
        "unix": [line.split()[-1] for line in open("/proc/net/unix").readlines()[1:] if "@" in line or "/" in line],
        "listening": [line.split()[1] for line in open("/proc/net/tcp").readlines()[1:] if line.split()[3] == "0A"],
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
    }


def forks() -> int:
    """Fork until it is refused, and count."""
    children: list[int] = []
    try:
        while len(children) < 5000:
            child = os.fork()
            if not child:
                signal.pause()
            children.append(child)
    except OSError:
        return len(children)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return len(children)


def files() -> int:
    """Open files until it is refused, and count."""
    opened = []
    try:
        while len(opened) < 100_000:
            opened.append(open("/dev/null"))
    except OSError:
        return len(opened)
    finally:
        for each in opened:
            each.close()
    return len(opened)


def take(megabytes: int) -> int:
    """Use memory, page by page; give how much was got."""
    taken = []
    try:
        for _ in range(megabytes // 8):
            taken.append(b"x" * 8 * 1024**2)
    except MemoryError:
        raise OSError(12, f"out of memory after {len(taken) * 8} MB") from None
    return len(taken) * 8


def space() -> dict[str, object]:
    def big_file() -> None:
        with open("/data/big", "wb") as file:
            file.truncate(9 * 1024**3)

    def shared_memory() -> None:
        with open("/dev/shm/big", "wb") as file:
            for _ in range(80):
                file.write(bytes(1024**2))
            file.flush()

    def size(path: str) -> int:
        found = os.statvfs(path)
        return found.f_frsize * found.f_blocks

    answer = {
        "big file": in_child(big_file),
        "shared memory": in_child(shared_memory),
        "temporary files": size("/tmp"),
    }
    for path in ("/data/big", "/dev/shm/big"):
        if os.path.exists(path):
            os.unlink(path)
    return answer


def kill_everybody() -> str:
    def kill() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(-1, signal.SIGCONT)
        os.kill(1, signal.SIGKILL)
        time.sleep(0.2)

    return in_child(kill)


ATTACKS: dict[str, Callable[[], object]] = {
    "rights": rights,
    "setuid": own_setuid_program,
    "network": network,
    "forks": forks,
    "files": files,
    "memory": lambda: in_child(lambda: take(3000)),
    "space": space,
    "kill": kill_everybody,
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        attack = ATTACKS.get(self.path.strip("/"))
        body = json.dumps(attack() if attack else "here").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


print("Running.", flush=True)
if len(sys.argv) > 1:
    json.dump(ATTACKS[sys.argv[1]](), sys.stdout)
else:
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
