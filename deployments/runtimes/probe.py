"""Asks an instance over HTTP whether it is well."""

import http.client
import io
import re
import socket
import time
from pathlib import Path

from deployments.runtimes import relay
from deployments.runtimes.base import Health
from deployments.runtimes.control import connect

BODY = 64 * 1024
PATH = re.compile(r"/[!-~]*")


class _Slow(Exception):
    """The time is over."""


class _Deadline(io.RawIOBase):
    """Reads a socket until a moment; a server that sends a byte now and then does not hold up the caller."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        super().__init__()
        self._socket, self._until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = self._until - time.monotonic()
        if left <= 0:
            raise _Slow
        self._socket.settimeout(left)
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


def ask(place: int | Path, path: str, host: str, timeout: float) -> Health:
    """Request `path` once, from a port of the loopback address or from the relay in a folder.

    Healthy is a status from 200 to 399 and at most 64 kB of body within `timeout` seconds."""
    begun = time.monotonic()
    healthy, detail = _ask(place, path, host, begun + timeout, timeout)
    return Health(healthy, detail, time.monotonic() - begun)


def _connect(place: int | Path, timeout: float) -> socket.socket:
    if isinstance(place, Path):
        return connect(place, relay.NAME, timeout)
    return socket.create_connection(("127.0.0.1", place), timeout)


def _ask(place: int | Path, path: str, host: str, until: float, timeout: float) -> tuple[bool, str]:
    if not PATH.fullmatch(path):
        return False, "The health path is not a path: it begins with / and has no spaces."
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: portal-health", "Accept: */*", "Connection: close")
    request = "\r\n".join([*lines, "", ""])
    try:
        with _connect(place, timeout) as connection:
            connection.sendall(request.encode("ascii"))
            answer = http.client.HTTPResponse(_Deadline(connection, until))  # type: ignore[arg-type]
            answer.begin()
            answer.read(BODY)
            status = answer.status
    except ConnectionRefusedError:
        return False, "Nothing listens on its port yet."
    except (_Slow, TimeoutError):
        return False, f"It did not answer within {timeout:g} seconds."
    except ConnectionError:
        return False, "It ended the connection without an answer."
    except http.client.HTTPException:
        return False, "Its answer was not HTTP."
    except OSError as error:
        return False, f"It could not be reached: {error.strerror}."
    if 200 <= status < 400:
        return True, f"It answered {status}."
    return False, f"It answered {status}."
