"""A CI system in front of the portal: it gets its key as a person gets it, and runs the examples of the guide."""

import html
import http.cookiejar
import os
import re
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.live import ROOT, LivePortal, Person

GUIDE = ROOT / "docs" / "deploy-api.md"
KEY = re.compile(r"dp_[0-9a-f]{8}_[0-9a-f]{48}")
PATIENCE = 60  # seconds
APP = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{version}")

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


class Browser:
    """Signs in and fills in forms over plain HTTP."""

    def __init__(self, portal: LivePortal) -> None:
        self.portal = portal
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, path: str) -> str:
        with self.opener.open(self.portal.url + path, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **fields: str) -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(path))
        assert token, path
        data = urllib.parse.urlencode(fields | {"csrfmiddlewaretoken": html.unescape(token[1])}).encode()
        with self.opener.open(self.portal.url + path, data, timeout=PATIENCE) as answer:
            return str(answer.read().decode())


def make_key(portal: LivePortal, person: Person) -> str:
    """Make a key for the demo's app on the account page."""
    browser = Browser(portal)
    browser.post("/sign-in/", username=person.email, password=person.password)
    app = re.search(r'name="apps" value="(\d+)"', browser.get("/account/keys/new/"))
    assert app
    page = browser.post(
        "/account/keys/new/", name="CI", days="1", scope="changes", apps=app[1], password=person.password
    )
    found = KEY.search(page)
    assert found, page
    return found[0]


@dataclass(frozen=True)
class Example:
    """An example of the guide: the commands that the CI system runs, and the variables that it sets."""

    commands: list[str]
    variables: dict[str, str]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def example_of(name: str) -> Example:
    """Read what the guide says after the heading of a CI system."""
    text = GUIDE.read_text().partition(f"## {name}\n")[2].partition("```yaml\n")[2].partition("```")[0]
    commands = re.findall(r"^ +- (?:run: )?((?:python3|sh) .+)$", text, re.MULTILINE)
    variables = dict(re.findall(r"^ +(DEPLOY_\w+): (.+)$", text, re.MULTILINE))
    assert commands, name
    return Example(commands, variables)


def sources(folder: Path, version: str) -> None:
    """Lay down what a repository holds: the sources of a small app, and the guide's script."""
    folder.mkdir()
    (folder / "Procfile").write_text("web: python3 app.py\n")
    (folder / "app.py").write_text(APP.replace("{version}", version))
    (folder / "model").mkdir()
    (folder / "model" / "metadata.json").write_text(f'{{"name": "Calc", "version": "{version}"}}')
    [script] = blocks("sh")
    (folder / "deploy.sh").write_text(script)


def run(commands: list[str], folder: Path, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run commands as a CI system does, with nothing of this process's environment but the path."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)} | variables
    script = "\n".join(commands)
    return subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
