"""What the kernel says about processes: who is inside a sandbox, who came from whom, who listens where."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
ESTABLISHED, LISTENING = "01", "0A"  # in /proc/net/tcp, see proc(5) and <net/tcp_states.h>


def every() -> Iterator[int]:
    for name in os.listdir(PROC):  # noqa: PTH208 - names only, for each process of the host
        if name.isdigit():
            yield int(name)


def inside(space: int) -> list[int]:
    """List the processes of a pid namespace, given by its inode."""
    return [pid for pid in every() if namespace(pid) == space]


def descendants(ancestor: int) -> list[int]:
    """List what came from a process, directly or over others that still live."""
    children: dict[int, list[int]] = {}
    for pid in every():
        children.setdefault(parent(pid), []).append(pid)
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        for pid in children.get(waiting.pop(), []):
            found.append(pid)
            waiting.append(pid)
    return found


def parent(pid: int) -> int:
    """Give the parent's number; 0 where the process is gone."""
    found = fields(pid)
    return int(found[1]) if found else 0


def is_alive(pid: int) -> bool:
    """Say whether the process runs; one that only waits to be collected by its parent does not."""
    found = fields(pid)
    return bool(found) and found[0] not in "ZX"


def is_shell(pid: int) -> bool:
    """Say whether the process is the shell that carries out a Procfile's line."""
    try:
        return Path(f"/proc/{pid}/exe").readlink().name in ("sh", "dash", "bash")
    except OSError:
        return False


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def listens(port: int, pids: list[int] | None, network: int | str = "self") -> bool:
    """Say whether one of these processes, or any (None), holds the socket that listens on the port.

    The network is given by the number of a process in it.
    """
    sockets = {f"socket:[{found[9]}]" for found in _sockets(network, port, LISTENING)}
    return bool(sockets) and (pids is None or any(not sockets.isdisjoint(_open_files(pid)) for pid in pids))


def connections(port: int, network: int | str = "self") -> int:
    """Count the open connections to a port, those included that nobody has accepted yet."""
    return sum(1 for _ in _sockets(network, port, ESTABLISHED))


def namespace(pid: int) -> int:
    """Give the inode of the pid namespace that a process is in; 0 where the process is gone."""
    try:
        return (PROC / str(pid) / "ns/pid").stat().st_ino
    except OSError:
        return 0


def fields(pid: int) -> list[str]:
    """Give what the kernel says of a process after its name, from its state on; nothing where it is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _sockets(network: int | str, port: int, state: str) -> Iterator[list[str]]:
    """Give the fields of the sockets whose own end is the port."""
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (PROC / str(network) / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for found in map(str.split, lines):
            if found[3] == state and found[1].endswith(f":{port:04X}"):
                yield found


def _open_files(pid: int) -> set[str]:
    folder = PROC / str(pid) / "fd"
    found = set()
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names only
            found.add(str((folder / name).readlink()))
    except OSError:
        return found
    return found
