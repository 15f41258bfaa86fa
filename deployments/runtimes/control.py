"""HTTP over a unix socket, which is how supervisord and the router are told what to do."""

import http.client
import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any


def connect(folder: Path, name: str, timeout: float | None) -> socket.socket:
    """Connect to the socket `name` in `folder`; OSError where nothing listens there."""
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(f"/proc/self/fd/{place}/{name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(place)
    return connection


class UnixConnection(http.client.HTTPConnection):
    """A connection to `name` in `folder`; the folder's path may be longer than the 107 bytes a socket's may have."""

    def __init__(self, folder: Path, name: str, host: str, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._folder, self._name = folder, name

    def connect(self) -> None:
        self.sock = connect(self._folder, self._name, self.timeout)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over such a connection."""

    def __init__(self, folder: Path, name: str, timeout: float) -> None:
        super().__init__()
        self._where = (folder, name, "localhost", timeout)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = self._connection[1] or UnixConnection(*self._where)
        self._connection = host, connection
        return connection
