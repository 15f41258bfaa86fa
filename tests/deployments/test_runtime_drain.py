"""Nobody notices a switch: neither those who come in crowds nor those who wait long for an answer."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deployments.runtimes import processes
from deployments.runtimes.base import Instance
from tests.deployments.node import HOST, LocalNode, wait_until

# Answers at once, after ten seconds, bit by bit over ten seconds, or for good on a connection that stays open
SLOW = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        seconds = float(self.path.partition("?")[2] or 0)
        answer = os.environ["ANSWER"].encode()
        self.send_response(200)
        if self.path.startswith("/stream"):
            self.send_header("Connection", "close")
            self.end_headers()
            for _ in range(20):
                self.wfile.write(answer * 5000)
                time.sleep(seconds / 20)
            return
        time.sleep(seconds)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def serve(node: LocalNode, answer: str) -> Instance:
    instance = node.start(node.release({"app.py": SLOW}), ANSWER=answer)
    assert node.healthy(instance).healthy
    return instance


def open_requests(node: LocalNode, instance: Instance) -> int:
    record = node.runtime.layout.record(instance.environment, instance.number)
    return processes.connections(record.spec["port"], record.state["launcher"])


class Crowd:
    """Visitors who come again and again, each on one connection that stays open."""

    def __init__(self, node: LocalNode, size: int = 4) -> None:
        self.node = node
        self.answers: list[tuple[int, bytes]] = []
        self.failed: list[str] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._visit) for _ in range(size)]

    def _visit(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=30)
        while not self.over.is_set():
            try:
                connection.request("GET", "/", headers={"Host": f"{HOST}.apps.localhost:{self.node.port}"})
                answer = connection.getresponse()
                self.answers.append((answer.status, answer.read()))
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
        connection.close()


@contextmanager
def crowd(node: LocalNode) -> Iterator[Crowd]:
    visitors = Crowd(node)
    for thread in visitors.threads:
        thread.start()
    try:
        yield visitors
    finally:
        visitors.over.set()
        for thread in visitors.threads:
            thread.join()


def begin(node: LocalNode, path: str) -> tuple[threading.Thread, list[tuple[int, str]]]:
    answers: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: answers.append(node.get(path=path)))
    thread.start()
    return thread, answers


def test_nothing_fails_while_versions_change_under_load(node: LocalNode) -> None:
    """Two thousand requests over several switches; a long one and a download that began before the first of them."""
    current = serve(node, "0")
    node.runtime.route(HOST, current)
    first = current
    long, stream = begin(node, "/long?10"), begin(node, "/stream?10")
    wait_until(lambda: open_requests(node, first) == 2)
    with crowd(node) as visitors:
        for number in (1, 2, 3):
            old, current = current, serve(node, str(number))
            node.runtime.route(HOST, current)
            if old != first:
                assert node.runtime.drain(old, 10)
                node.runtime.stop(old, 5)
        assert long[1] == stream[1] == []
        assert node.runtime.drain(first, 30)
        node.runtime.stop(first, 5)
        wait_until(lambda: len(visitors.answers) >= 2000, 60)
    for thread, _ in (long, stream):
        thread.join()
    assert long[1] == [(200, "0")]
    assert stream[1] == [(200, "0" * 100_000)]
    assert visitors.failed == []
    assert {status for status, _ in visitors.answers} == {200}
    assert {text for _, text in visitors.answers} == {b"0", b"1", b"2", b"3"}
    assert visitors.answers[-1] == (200, b"3")


def test_patience_has_an_end(node: LocalNode) -> None:
    old = serve(node, "old")
    node.runtime.route(HOST, old)
    thread, answers = begin(node, "/long?60")
    wait_until(lambda: open_requests(node, old))
    node.runtime.route(HOST, serve(node, "new"))
    began = time.monotonic()
    assert not node.runtime.drain(old, 0.5)
    assert 0.4 < time.monotonic() - began < 20  # of the 60 s that the request takes
    node.runtime.stop(old, 0.5)
    thread.join()
    assert answers[0][0] in (502, 503)


def test_a_visitor_who_only_keeps_a_connection_open_holds_nothing_up(node: LocalNode) -> None:
    old = serve(node, "old")
    node.runtime.route(HOST, old)
    idle = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    idle.request("GET", "/", headers={"Host": f"{HOST}.apps.localhost:{node.port}"})
    assert idle.getresponse().read() == b"old"
    node.runtime.route(HOST, serve(node, "new"))
    began = time.monotonic()
    assert node.runtime.drain(old, 60)
    assert time.monotonic() - began < 20
    idle.close()


@pytest.mark.parametrize("state", ["stopped", "ended"])
def test_what_does_not_run_has_no_open_requests(node: LocalNode, state: str) -> None:
    instance = node.start(node.release({"app.py": ""}), "true")
    if state == "stopped":
        node.runtime.stop(instance, 1)
    assert node.runtime.drain(instance, 5)
