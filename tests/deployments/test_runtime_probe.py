"""What counts as healthy, asked of servers that behave in every way."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deployments.runtimes import probe


@contextmanager
def server(*pieces: bytes, pause: float = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Answer every connection with the pieces, whatever is asked; give the port and what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def answer() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096))
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause)
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join()


def head(status: int, *more: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Some", *more, "", ""]).encode()


@pytest.mark.parametrize(
    ("status", "healthy"),
    [(200, True), (204, True), (302, True), (399, True), (400, False), (404, False), (503, False)],
)
def test_it_calls_200_to_399_healthy(status: int, healthy: bool) -> None:
    with server(head(status, "Location: http://127.0.0.1:1/")) as (port, asked):
        health = probe.ask(port, "/health?x=1", "test--calc.apps.localhost", 5)
    assert (health.healthy, health.detail) == (healthy, f"It answered {status}.")
    assert asked[0].startswith(b"GET /health?x=1 HTTP/1.1\r\nHost: test--calc.apps.localhost\r\n")
    assert 0 < health.seconds < 5


def test_it_follows_no_redirect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        target = f"Location: http://127.0.0.1:{other.getsockname()[1]}/"
        with server(head(302, target)) as (port, _):
            assert probe.ask(port, "/", "localhost", 5).healthy
        with pytest.raises(TimeoutError):
            other.accept()


def test_it_reads_no_more_than_a_little_of_an_endless_body() -> None:
    with server(head(200), *[b"x" * 65536] * 200_000) as (port, _):
        health = probe.ask(port, "/", "localhost", 0.5)
    assert health.healthy


def test_a_byte_now_and_then_does_not_hold_it_up() -> None:
    with server(*[bytes([each]) for each in head(200, "X: " + "x" * 300)], pause=0.05) as (port, _):
        began = time.monotonic()
        health = probe.ask(port, "/", "localhost", 0.4)
        assert time.monotonic() - began < 8  # of the 16 s that its head takes
    assert not health.healthy
    assert health.detail == "It did not answer within 0.4 seconds."


@pytest.mark.parametrize(
    ("pieces", "detail"),
    [
        ([b"SSH-2.0-OpenSSH_9\r\n"], "Its answer was not HTTP."),
        ([], "It ended the connection without an answer."),
        ([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000], "Its answer was not HTTP."),
    ],
)
def test_it_says_what_was_wrong_with_an_answer(pieces: list[bytes], detail: str) -> None:
    with server(*pieces) as (port, _):
        health = probe.ask(port, "/", "localhost", 2)
    assert (health.healthy, health.detail) == (False, detail)


def test_it_says_that_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert probe.ask(port, "/", "localhost", 1).detail == "Nothing listens on its port yet."


@pytest.mark.parametrize("path", ["", "health", "/a b", "/a\r\nX: y", "http://example.org/", "/\x00", "/é"])
def test_it_asks_for_nothing_but_a_path(path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        health = probe.ask(listener.getsockname()[1], path, "localhost", 1)
        assert not health.healthy
        assert "not a path" in health.detail
        with pytest.raises(TimeoutError):
            listener.accept()
