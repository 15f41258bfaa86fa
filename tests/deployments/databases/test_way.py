"""The way out of a sandbox to the server of its database, and to nothing else."""

import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from deployments.runtimes.relay import Target, Way, _address

Open = Callable[[Target], int]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open a way to a target; gives its port."""
    ways: list[Way] = []

    def begin(target: Target) -> int:
        ways.append(Way(target))
        return ways[-1].open(0)

    yield begin
    for way in ways:
        os.kill(way.pid, signal.SIGKILL)
        os.waitpid(way.pid, 0)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def test_the_address_of_a_server_is_of_either_kind() -> None:
    assert _address(("::1", 5432), 0) == (socket.AF_INET6, ("::1", 5432))
    assert _address(("127.0.0.1", 5432), 0) == (socket.AF_INET, ("127.0.0.1", 5432))
    assert _address("/run/postgresql/.s.PGSQL.5432", 0)[0] is socket.AF_UNIX


def test_a_name_with_several_addresses_is_reached_at_the_one_that_listens(
    opened: Open, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`localhost` is `::1` first in many places, where a server may not listen."""
    number = server.getsockname()[1]
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", number, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    port = opened(("localhost", number))
    with socket.socket() as one, socket.socket() as other:
        for visitor in (one, other):
            visitor.connect(("127.0.0.1", port))
            visitor.sendall(b"hello")
        for _ in range(2):
            with server.accept()[0] as app:
                assert app.recv(5) == b"hello"


def test_where_nothing_listens_the_connection_is_closed(opened: Open, server: socket.socket) -> None:
    number = server.getsockname()[1]
    server.close()
    with socket.create_connection(("127.0.0.1", opened(("127.0.0.1", number)))) as visitor:
        assert visitor.recv(1) == b""
