"""A real browser in front of the real portal. These tests never touch the portal's database."""

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState, expect, sync_playwright

from tests.journeys import steps
from tests.journeys.live import ROOT, Filled, LivePortal, filled, running

# Without windows it takes half the processor time
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# Root can't have Chromium's own sandbox; the rest keeps it from calling home.
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAILURES = ROOT / "var" / "failures"
PATIENCE_MS = 15_000
# The stories of the second factor; the others don't ask which database it is
ON_BOTH_DATABASES = {
    "test_account_and_sessions.py",
    "test_form_is_kept.py",
    "test_gone_phone.py",
    "test_lost_phone.py",
    "test_set_up_by_mail.py",
    "test_support_says_no.py",
    "test_without_javascript.py",
}
collect_ignore: list[str] = []
if "JOURNEYS_DATABASE_URL" in os.environ:
    collect_ignore += [p.name for p in Path(__file__).parent.glob("test_*.py") if p.name not in ON_BOTH_DATABASES]

NewContext = Callable[..., BrowserContext]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the stories: they take longest, and the rest fills the time beside them."""
    items.sort(key=lambda item: Path(__file__).parent not in item.path.parents)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser for stories that follow each other.

    It ends before other tests: while one lives its event loop runs, in which Django's ORM refuses to work.
    """
    program = next(found for found in map(shutil.which, BROWSERS) if found)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=BROWSER_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """What `make run` fills on its first start; every portal begins with a copy."""
    with filled(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture(scope="module")
def portal(
    request: pytest.FixtureRequest, demo: Filled, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LivePortal]:
    """A portal of the module's own, as `make run` leaves it on its first start, with the module's SETTINGS if any."""
    with running(tmp_path_factory.mktemp("var"), demo, **getattr(request.module, "SETTINGS", {})) as live:
        yield live


@pytest.fixture
def new_context(browser: Browser, portal: LivePortal, request: pytest.FixtureRequest) -> Iterator[NewContext]:
    """Give a function that opens a browser nobody has used before; all of them are closed after the test.

    Its pages are photographed into `var/failures` when the test fails.
    """
    contexts: list[BrowserContext] = []

    def new(
        *,
        zone: str = "Europe/Amsterdam",
        scheme: Literal["light", "dark"] = "light",
        width: int = 1280,
        height: int = 900,
        **options: Any,
    ) -> BrowserContext:
        context = browser.new_context(
            base_url=portal.url,
            locale="en-GB",
            timezone_id=zone,
            color_scheme=scheme,
            viewport={"width": width, "height": height},
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return context

    yield new
    if getattr(request.node, "failed", False):
        _photograph(contexts, request.node.nodeid)
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def sams_browser(browser: Browser, portal: LivePortal) -> Iterator[StorageState]:
    """What a browser remembers in which Sam has signed in and entered a code, to go on with in each story."""
    context = browser.new_context(base_url=portal.url)
    page = context.new_page()
    sam = portal.person("Sam")
    steps.sign_in(page, sam)
    page.get_by_role("banner").get_by_role("link", name="Support").click()
    steps.set_up(page, sam)
    yield context.storage_state()
    context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report


def _photograph(contexts: list[BrowserContext], name: str) -> None:
    FAILURES.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"\W+", "-", name.rpartition("/")[2])
    for number, page in enumerate(page for context in contexts for page in context.pages):
        page.screenshot(path=FAILURES / f"{stem}-{number}.png", full_page=True)
