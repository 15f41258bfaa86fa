"""HTTP over a unix socket, which is how supervisord and the router are told what to do."""

import http.client
import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any


class UnixConnection(http.client.HTTPConnection):
    """A connection to `name` in `folder`; the folder's path may be longer than the 107 bytes a socket's may have."""

    def __init__(self, folder: Path, name: str, host: str, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._folder, self._name = folder, name

    def connect(self) -> None:
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{self._name}")
        except OSError:
            self.sock.close()
            raise
        finally:
            os.close(folder)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over such a connection."""

    def __init__(self, folder: Path, name: str, timeout: float) -> None:
        super().__init__()
        self._where = (folder, name, "localhost", timeout)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = self._connection[1] or UnixConnection(*self._where)
        self._connection = host, connection
        return connection
