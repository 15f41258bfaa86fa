"""How long a click on Transport takes until the new version answers, against starting the same app by hand.

The whole portal as `make run` starts it: web server, worker, supervisord, sandbox and router. Every round brings a
version that was not there before, so that checking and unpacking it are part of the time.
"""

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from deployments.packages import build_archive
from tests.bench.browser import Browser
from tests.bench.report import Line, seconds
from tests.bench.sample import CALC
from tests.journeys.live import LivePortal, free_port, running

ROUNDS = 7
MOST_ON_TOP = 1.0  # seconds
PYTHON = "/usr/bin/python3"  # what a package finds in its sandbox, too
PAUSE = 0.004  # seconds between two questions whether the version answers
PATIENCE = 30
APP, ENVIRONMENT = "/apps/calc/", "/apps/calc/environments/test/"


def measure(folder: Path) -> list[Line]:
    """Transport and start by hand in turns; the first transport, to the empty environment, is not counted."""
    from tests.bench import redeploy

    with running(folder / "portal") as portal:
        browser = signed_in(portal)
        transported(portal, browser, version_of(folder, "2.0.0"), "2.0.0")
        by_hand, by_portal = [], []
        for number in range(1, ROUNDS + 1):
            version = f"2.0.{number}"
            source = version_of(folder, version)
            by_hand.append(started_by_hand(source, version))
            by_portal.append(transported(portal, browser, source, version))
        redeployed = redeploy.measure(portal, browser, folder)
    bare, click = median(by_hand), median(by_portal)
    goal = f"at most {MOST_ON_TOP:.0f} s more"
    return [
        Line(
            "Transport until the new version answers",
            seconds(bare),
            seconds(click),
            f"+ {seconds(click - bare)}",
            goal,
            click - bare <= MOST_ON_TOP,
        ),
        *redeployed,
    ]


def signed_in(portal: LivePortal) -> Browser:
    browser, alice = Browser(portal.url), portal.person("Alice")
    fields = {"username": alice.email, "password": alice.password}
    browser.send("/sign-in/", fields | {"csrfmiddlewaretoken": browser.token("/sign-in/")})
    return browser


def version_of(folder: Path, version: str) -> Path:
    """Make a copy of the app that says it is this version."""
    source = shutil.copytree(CALC, folder / version)
    metadata = source / "model" / "metadata.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"version": version}))
    return source


def started_by_hand(source: Path, version: str) -> float:
    """Give the seconds from starting the process until it answers."""
    port, data = free_port(), source.with_name(f"data-{version}")
    data.mkdir()
    environment = {"PORT": str(port), "DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{data}/database.sqlite3"}
    quiet = subprocess.DEVNULL
    began = time.perf_counter()
    process = subprocess.Popen([PYTHON, "app.py"], cwd=source, env=environment, stdout=quiet, stderr=quiet)
    try:
        until_it_answers(version, lambda: version_at(port, f"localhost:{port}"))
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def transported(portal: LivePortal, browser: Browser, source: Path, version: str) -> float:
    """Upload the version, click on Transport, and give the seconds until its address says it is there."""
    package = uploaded(browser, source)
    token = browser.token(transport_page(package))
    port, host = where(portal)
    began = time.perf_counter()
    job = confirmed(browser, package, token)
    until_it_answers(version, lambda: version_at(port, host))
    took = time.perf_counter() - began
    until_it_ended(browser, job)
    return took


def uploaded(browser: Browser, source: Path) -> str:
    """Upload a version and give its number as a package."""
    archive = source.with_name(f"calc-{source.name}.zip")
    build_archive(source, archive)
    return browser.upload(f"{APP}packages/upload/", archive).rstrip("/").rpartition("/")[2]


def transport_page(package: str) -> str:
    return f"{ENVIRONMENT}transport/?package={package}"


def confirmed(browser: Browser, package: str, token: str) -> str:
    """Click on Transport; gives the page of the job."""
    return browser.send(f"{ENVIRONMENT}transport/", {"package": package, "csrfmiddlewaretoken": token})


def where(portal: LivePortal) -> tuple[int, str]:
    """Give the router's port and the host of the environment."""
    address = urlsplit(portal.environment_url("test"))
    assert address.port
    return address.port, address.netloc


def version_at(port: int, host: str) -> str:
    """Give the version that answers; empty when nothing does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/version", headers={"Host": host})
        answer = connection.getresponse()
        text = answer.read()
        return str(json.loads(text)["version"]) if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def until_it_answers(version: str, ask: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE
    while ask() != version:
        if time.monotonic() > end:
            raise AssertionError(f"{version} did not answer within {PATIENCE} s.")
        time.sleep(PAUSE)


def until_it_ended(browser: Browser, job: str) -> None:
    """Wait until the page of the job no longer refreshes itself."""
    end = time.monotonic() + PATIENCE
    while "hx-trigger=" in browser.get(job):
        if time.monotonic() > end:
            raise AssertionError(f"{job} did not end within {PATIENCE} s.")
        time.sleep(0.1)
