"""A person's browser without a screen: cookies, forms with their token, one connection that stays open."""

import http.client
import re
import secrets
from collections.abc import Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
TIMEOUT = 30


class Browser:
    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookies: SimpleCookie = SimpleCookie()
        self.connection = http.client.HTTPConnection(self.host, timeout=TIMEOUT)

    def get(self, path: str) -> str:
        status, _, page = self.ask("GET", path)
        if status != 200:
            raise AssertionError(f"{path} answered {status}.")
        return page

    def token(self, path: str) -> str:
        """Open the page with a form and give the form's token."""
        found = TOKEN.search(self.get(path))
        assert found, f"{path} has no form."
        return found[1]

    def send(self, path: str, fields: Mapping[str, str]) -> str:
        """Send a form; gives where it leads to."""
        return self._posted(path, urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def upload(self, path: str, file: Path) -> str:
        """Send a form with a file; gives where it leads to."""
        edge = secrets.token_hex(16)
        parts = {'name="csrfmiddlewaretoken"': self.token(path).encode()}
        parts[f'name="file"; filename="{file.name}"'] = file.read_bytes()
        body = b"".join(
            f"--{edge}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + content + b"\r\n"
            for name, content in parts.items()
        )
        return self._posted(path, body + f"--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, str]:
        """Give status, where it leads to, and the page."""
        headers = {"Cookie": "; ".join(f"{name}={each.value}" for name, each in self.cookies.items())}
        headers |= {"Content-Type": kind} if kind else {}
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            # The server closes what was idle for two seconds; nothing of this request was carried out
            self.connection.close()
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
        page = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            self.cookies.load(cookie)
        return answer.status, answer.headers.get("Location", ""), page

    def _posted(self, path: str, body: bytes, kind: str) -> str:
        status, target, page = self.ask("POST", path, body, kind)
        if status != 302:
            raise AssertionError(f"{path} answered {status}: {page}")
        return target
