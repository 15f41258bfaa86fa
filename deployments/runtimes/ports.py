"""Ports of the loopback address for instances."""

import random
import socket
from collections.abc import Collection

# Below the ports that Linux gives to outgoing connections (32768 and up), so that none of them takes one meanwhile
PORTS = range(20_000, 30_000)


def is_free(port: int) -> bool:
    """Say whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(taken: Collection[int] = ()) -> int:
    """Give a free port that is not one of those taken; OSError when there is none."""
    for port in random.sample(PORTS, len(PORTS)):
        if port not in taken and is_free(port):
            return port
    raise OSError("No port is free.")


def loopback() -> list[str]:
    """List the loopback addresses of this host; browsers try both for names below localhost."""
    if not socket.has_ipv6:
        return ["127.0.0.1"]
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return ["127.0.0.1"]
    return ["127.0.0.1", "[::1]"]
