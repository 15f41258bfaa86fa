"""Calc: a calculator with a history, on Python's standard library alone.

PORT, DATA_DIR and DATABASE_URL come from the environment. `python3 app.py trim` shortens the history.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlsplit

import history
from calculator import LONGEST, CannotCalculate, calculate

HERE = Path(__file__).parent
VERSION = json.loads((HERE / "model/metadata.json").read_text())["version"]
PAGE = Template((HERE / "page.html").read_text())
KEYS = "789÷(456×)123−+0."
LARGEST_FORM = 4096
LONGEST_WAIT = 10.0


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for the requests that are being answered
    request_queue_size = 128

    def finish(self) -> None:
        """Answers what has already connected, then closes."""
        while select.select([self.socket], [], [], 0.05)[0]:
            self.handle_request()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    timeout = 15

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if address.path == "/":
            self.page(expression=(query.get("expression", "") + query.get("key", ""))[:LONGEST])
        elif address.path == "/healthz":
            history.latest(1)
            self.answer(200, "text/plain", "ok\n")
        elif address.path == "/version":
            self.answer(200, "application/json", json.dumps({"name": "calc", "version": VERSION}) + "\n")
        elif address.path == "/slow":
            self.slow(query.get("seconds", "1"))
        else:
            self.answer(404, "text/plain", "There is no such page.\n")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if urlsplit(self.path).path != "/" or not length.isdecimal() or int(length) > LARGEST_FORM:
            return self.answer(400, "text/plain", "That is no calculation.\n")
        fields = parse_qs(self.rfile.read(int(length)).decode(errors="replace"))
        expression = fields.get("expression", [""])[0]
        try:
            result = calculate(expression)
        except CannotCalculate as problem:
            return self.page(expression=expression, problem=str(problem), status=422)
        history.remember(expression, result)
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()

    def slow(self, seconds: str) -> None:
        """Answers after a while: shows that a request which is under way survives a new version."""
        try:
            wait = min(max(float(seconds), 0), LONGEST_WAIT)
        except ValueError:
            return self.answer(400, "text/plain", "“seconds” must be a number.\n")
        time.sleep(wait)
        self.answer(200, "text/plain", f"{VERSION} answered after {wait:g} s\n")

    def page(self, expression: str, problem: str = "", status: int = 200) -> None:
        keys = (f'<button formmethod="get" formnovalidate name="key" value="{key}">{key}</button>' for key in KEYS)
        lines = (f"<li>{escape(text)} = <strong>{escape(result)}</strong></li>" for text, result in history.latest())
        html = PAGE.substitute(
            version=VERSION,
            expression=escape(expression),
            problem=f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else "",
            keys="".join(keys),
            history="".join(lines) or "<li>Nothing was calculated yet.</li>",
        )
        self.answer(status, "text/html", html)

    def answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)


def serve() -> None:
    history.prepare()
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    # shutdown() waits for serve_forever(), which this very handler interrupts: it needs a thread of its own.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"Calc {VERSION} listens on port {server.server_port}.", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.finish()
    print("Calc has finished all requests and ends.", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["trim"]:
        history.prepare()
        print(f"{history.trim()} calculations were forgotten.")
    else:
        serve()
