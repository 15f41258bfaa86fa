"""Watching production: its log live behind the code, only what matters of it, as a download; and how it fares."""

import re
from pathlib import Path
from zipfile import ZipFile

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(f"WARNING shop: somebody asks for {self.path}", flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
print("INFO shop: open", flush=True)
print("\\x1b[31mERROR shop: no <b>prices</b>\\x1b[0m", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_alice_watches_production(portal: LivePortal, new_context: NewContext, tmp_path: Path) -> None:
    page = new_context(zone="Asia/Kolkata").new_page()
    steps.sign_in(page, portal.person("Alice"))
    with ZipFile(tmp_path / "shop-1.0.zip", "w") as archive:
        archive.writestr("Procfile", "web: python3 app.py\n")
        archive.writestr("app.py", SERVER)
        archive.writestr("model/metadata.json", '{"name": "shop", "version": "1.0"}')
    steps.upload(page, tmp_path / "shop-1.0.zip", "shop 1.0")
    steps.go(page, "Transport to Production")
    phone = steps.set_up(page, portal.person("Alice"))
    steps.confirm_transport(page, "shop 1.0", "Production")
    steps.runs(page, "shop 1.0", "Production")

    _follows_the_log(page, portal)
    _pauses_and_goes_on(page, portal)
    _looks_for_what_matters(page, portal)
    _takes_the_log_along(page)
    _is_asked_for_the_code_when_the_window_is_over(page, phone, portal)
    _sees_how_it_fares(page, portal)
    _finds_it_recorded(page)


def _visit(portal: LivePortal, path: str) -> None:
    assert steps.ask(portal.environment_url("production"), path)[0] == 200


def _line(page: Page, text: str) -> None:
    expect(page.get_by_role("log").get_by_text(text)).to_be_visible()


def _follows_the_log(page: Page, portal: LivePortal) -> None:
    steps.go(page, "Logs")
    steps.sees(page, "Logs")
    _line(page, "INFO shop: open")
    _line(page, "^[[31mERROR shop: no <b>prices</b>^[[0m")
    expect(page.get_by_text("Times in IST")).to_be_visible()
    page.evaluate("document.body.dataset.watching = 'all the time'")
    _visit(portal, "/tea")
    _line(page, "WARNING shop: somebody asks for /tea")
    page.context.set_offline(True)
    _visit(portal, "/coffee")
    page.wait_for_timeout(1500)
    page.context.set_offline(False)
    _line(page, "WARNING shop: somebody asks for /coffee")
    assert page.evaluate("document.body.dataset.watching") == "all the time", "the page was loaded again"


def _pauses_and_goes_on(page: Page, portal: LivePortal) -> None:
    steps.press(page, "Pause")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    _visit(portal, "/later")
    page.wait_for_timeout(1500)
    expect(page.get_by_text("/later")).to_have_count(0)
    steps.press(page, "Resume")
    _line(page, "WARNING shop: somebody asks for /later")


def _looks_for_what_matters(page: Page, portal: LivePortal) -> None:
    page.get_by_label("Level").select_option("Warning")
    page.get_by_role("searchbox", name="Text").fill("COFFEE")
    steps.press(page, "Filter")
    lines = page.get_by_role("log").get_by_role("listitem")
    expect(lines).to_have_count(1)
    _visit(portal, "/cake")
    _visit(portal, "/more-coffee")
    expect(lines).to_have_count(2)
    steps.go(page, "Show all")
    _line(page, "WARNING shop: somebody asks for /cake")


def _takes_the_log_along(page: Page) -> None:
    with page.expect_download() as waiting:
        steps.go(page, "Download today’s log")
    file = waiting.value
    assert re.fullmatch(r"calc-production-\d{4}-\d\d-\d\d\.log", file.suggested_filename)
    text = Path(file.path()).read_text()
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 1 WARNING shop: somebody asks for /tea$", text, re.M)
    steps.go(page, "Earlier days")
    expect(page.get_by_role("row").filter(has_text="today, so far")).to_be_visible()
    steps.go(page, "Latest lines")


def _is_asked_for_the_code_when_the_window_is_over(page: Page, phone: steps.Phone, portal: LivePortal) -> None:
    steps.sees(page, "Logs")
    other = page.context.new_page()
    other.goto("/")
    steps.end_production_access(other)
    other.close()
    _visit(portal, "/secret")
    steps.sees_that_a_code_is_needed(page)
    expect(page.get_by_text("/secret")).to_have_count(0)
    steps.enter_code(page, phone)
    _line(page, "WARNING shop: somebody asks for /secret")


def _sees_how_it_fares(page: Page, portal: LivePortal) -> None:
    steps.go(page, "Metrics")
    steps.sees(page, "Metrics")
    steps.go(page, "Hour")
    requests = page.get_by_role("region", name="Requests")
    for _ in range(40):
        if requests.count() and "2xx 0" not in requests.inner_text():
            break
        _visit(portal, "/again")
        page.wait_for_timeout(500)
        page.reload()
    expect(requests.get_by_role("img")).to_have_attribute("aria-label", re.compile("Requests: 2xx [1-9]"))
    requests.get_by_text("Table").click()
    expect(requests.get_by_role("columnheader", name="5xx")).to_be_visible()
    expect(page.get_by_role("region", name="Memory")).to_contain_text("MB")


def _finds_it_recorded(page: Page) -> None:
    page.get_by_role("navigation", name="Production").get_by_role("link", name="Activity").click()
    steps.sees(page, "Activity")
    expect(page.get_by_text("looked at the log of")).to_have_count(1)
    expect(page.get_by_text("downloaded the log of")).to_have_count(1)
