"""Runs well, but takes no notice of being asked to end."""

import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

signal.signal(signal.SIGTERM, lambda *_: print("Asked to end; staying.", flush=True))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"still here\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print("Running.", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
