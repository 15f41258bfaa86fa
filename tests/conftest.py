"""What holds for every test: nothing reaches further than this machine."""

import ipaddress
import sys
from typing import Any


def _is_here(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _stay_here(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple) and not _is_here(args[1][0]):
        raise RuntimeError(f"A test tried to reach {args[1]}; only this machine is allowed.")
    if event == "socket.getaddrinfo" and not _is_here(args[0]):
        raise RuntimeError(f"A test tried to look up {args[0]!r}; only this machine is allowed.")


sys.addaudithook(_stay_here)
