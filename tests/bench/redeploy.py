"""What visitors notice while versions change, and two transports asked for one right after the other.

On the portal that `tests.bench.transport` has running, through its router.
"""

import http.client
import re
import threading
import time
from pathlib import Path

from tests.bench.browser import Browser
from tests.bench.report import Line, seconds
from tests.bench.transport import (
    PATIENCE,
    confirmed,
    transport_page,
    until_it_answers,
    until_it_ended,
    uploaded,
    version_at,
    version_of,
    where,
)
from tests.journeys.live import LivePortal

STATUS, TAG = re.compile('<p role="status">(.*?)</p>', re.DOTALL), re.compile("<[^>]*>")
REQUESTS = 2_000
VISITORS = 4
MOST_VERSIONS = 20  # 2,000 requests are answered after two or three on any machine


class Visitors:
    """People who ask for a page all the time, each on a connection that stays open; `failed` is what went wrong."""

    def __init__(self, port: int, host: str) -> None:
        self.port, self.host = port, host
        self.answered = 0
        self.failed: list[str] = []
        self._lock, self._leave = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(VISITORS)]

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self._leave.is_set():
            trouble = self._ask(connection)
            with self._lock:
                self.answered += 1
                self.failed += [trouble] if trouble else []
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> str:
        """Ask once; gives what went wrong, empty when nothing did."""
        try:
            connection.request("GET", "/version", headers={"Host": self.host})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return repr(error)
        return "" if answer.status == 200 else str(answer.status)


def measure(portal: LivePortal, browser: Browser, folder: Path) -> list[Line]:
    return [_under_load(portal, browser, folder), _back_to_back(portal, browser, folder)]


def _under_load(portal: LivePortal, browser: Browser, folder: Path) -> Line:
    """Transport one version after the other until so many requests were answered meanwhile."""
    versions = 0
    with Visitors(*where(portal)) as visitors:
        while visitors.answered < REQUESTS and versions < MOST_VERSIONS:
            versions += 1
            version = f"3.0.{versions}"
            package = uploaded(browser, version_of(folder, version))
            _until_done(browser, _asked(browser, package), version)
    failed, answered = len(visitors.failed), visitors.answered
    return Line(
        f"Requests that failed while {versions} versions came",
        "0",
        f"{failed:,}",
        f"of {answered:,}",
        f"0 of {REQUESTS:,}",
        not failed and answered >= REQUESTS,
    )


def _back_to_back(portal: LivePortal, browser: Browser, folder: Path) -> Line:
    """Ask for two transports one right after the other; both land, and the second one is what answers."""
    versions = ("4.0.0", "4.0.1")
    packages = [uploaded(browser, version_of(folder, version)) for version in versions]
    began = time.perf_counter()
    jobs = [_asked(browser, package) for package in packages]
    until_it_answers(versions[1], lambda: version_at(*where(portal)))
    took = time.perf_counter() - began
    for job, version in zip(jobs, versions, strict=True):
        _until_done(browser, job, version)
    landed = version_at(*where(portal)) == versions[1]
    return Line(
        "Two transports at once until the second answers",
        "-",
        seconds(took),
        "both done" if landed else "the first one answers",
        "both done, the second answers",
        landed,
    )


def _asked(browser: Browser, package: str) -> str:
    return confirmed(browser, package, browser.token(transport_page(package)))


def _until_done(browser: Browser, job: str, version: str) -> None:
    until_it_ended(browser, job)
    status = STATUS.search(browser.get(job))
    if not (status and TAG.sub("", status[1]).strip().startswith("Done")):
        raise AssertionError(f"{job}, which brings {version}, did not get done.")
