"""Somebody without an app makes one in the browser, and runs it without anybody's help."""

import json
import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from deployments.packages import build_archive
from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import ROOT, LivePortal

ANSWERS = '{"name": "calc", "version": "2.0.0"}\n'


def test_charlie_makes_an_app_and_runs_it(portal: LivePortal, new_context: NewContext, tmp_path: Path) -> None:
    page = new_context().new_page()
    charlie = portal.person("Charlie")
    steps.sign_in(page, charlie)

    _makes_an_app(page)
    steps.go(page, "Upload a package")
    page.get_by_label("Package").set_input_files(_archive(tmp_path))
    steps.press(page, "Upload the package")
    steps.sees(page, "Sums 2.0.0")
    steps.go(page, "Transport to Test")
    steps.confirm_transport(page, "Sums 2.0.0", "Test")
    steps.runs(page, "Sums 2.0.0", "Test")
    _stops_starts_and_restarts(page, portal.environment_url("test").replace("--calc.", "--charlies-sums."))

    steps.open_package(page, "Sums 2.0.0", "Charlie's sums")
    steps.go(page, "Transport to Production")
    steps.set_up(page, charlie)
    steps.confirm_transport(page, "Sums 2.0.0", "Production")
    steps.runs(page, "Sums 2.0.0", "Production")
    steps.go(page, "Open Production")
    steps.calculate(page, "2+2", "4")


def _makes_an_app(page: Page) -> None:
    """Make an app; its maker is what the contract says they become."""
    steps.go(page, "New app")
    page.get_by_label("Name", exact=True).fill("Charlie's sums")
    page.get_by_label("Short name").fill("Charlie's sums")
    steps.press(page, "Create app")
    expect(page.get_by_label("Short name")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Charlie's sums")
    page.get_by_label("Short name").fill("charlies-sums")
    steps.press(page, "Create app")
    steps.sees(page, "Charlie's sums")
    for environment in ("Test", "Acceptance", "Production"):
        expect(steps.card(page, environment)).to_contain_text("Empty")
    steps.go(page, "Team")
    maker = page.get_by_role("row").filter(has_text="Charlie Clark")
    expect(maker).to_contain_text("SCRUM Master, Technical Contact")
    steps.go(page, "Environments")


def _archive(folder: Path) -> Path:
    """Zip the newest Calc under another name and version."""
    source = shutil.copytree(ROOT / "tests" / "packages" / "calc" / "1.1.0", folder / "sums")
    metadata = source / "model" / "metadata.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"name": "Sums", "version": "2.0.0"}))
    build_archive(source, folder / "sums.zip")
    return folder / "sums.zip"


def _stops_starts_and_restarts(page: Page, address: str) -> None:
    assert steps.ask(address) == (200, ANSWERS)
    _asks_for(page, "Stop Test")
    expect(page.get_by_role("status").filter(has_text="Test is stopped.")).to_be_visible(timeout=steps.JOB_MS)
    status, text = steps.ask(address)
    assert status == 503, text

    _asks_for(page, "Start Test", link="Start")
    steps.runs(page, "Sums 2.0.0", "Test")
    assert steps.ask(address) == (200, ANSWERS)

    with steps.visitors(address) as answers:
        _asks_for(page, "Restart Test", link="Restart")
        steps.runs(page, "Sums 2.0.0", "Test")
    assert set(answers) == {ANSWERS.strip()}, answers


def _asks_for(page: Page, title: str, link: str = "") -> None:
    """Press what the environment's page offers, and confirm it on the page that says what will happen."""
    page.get_by_role("navigation", name="Test").get_by_role("link", name="Overview").click()
    steps.go(page, link or title)
    steps.sees(page, title)
    steps.press(page, title)
