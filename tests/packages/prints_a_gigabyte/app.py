"""Prints one line of a gigabyte while it serves, then very many short ones, then a last one."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GIGABYTE, PIECE = 1024**3, 1024**2
FLOOD = 2  # seconds


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"here"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def put(content: bytes) -> None:
    while content:
        content = content[os.write(1, content) :]


def print_it() -> None:
    put(b"The line begins. ")
    piece = b"x" * PIECE
    for _ in range(GIGABYTE // PIECE):
        put(piece)
    put(b"\nThe line is over.\n")
    lines = b"A short line.\n" * 4096
    until = time.monotonic() + FLOOD
    while time.monotonic() < until:
        put(lines)
    time.sleep(3)
    put(b"The flood is over.\n")


threading.Thread(target=print_it, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
