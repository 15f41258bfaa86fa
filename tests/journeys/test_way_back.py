"""From Test to Production and back: a version is promoted, given options, replaced under load, and brought back."""

import json
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from deployments.packages import build_archive
from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import ROOT, LivePortal

REGION = {"name": "REGION", "description": "Which region it serves."}


def test_a_version_is_promoted_replaced_under_load_and_brought_back(
    portal: LivePortal, new_context: NewContext, tmp_path: Path
) -> None:
    page = new_context().new_page()
    steps.sign_in(page, portal.person("Alice"))
    first, second = archive_of(tmp_path, "2.0.0"), archive_of(tmp_path, "2.1.0", REGION)

    steps.upload(page, first, "Calc 2.0.0")
    steps.go(page, "Transport to Test")
    steps.confirm_transport(page, "Calc 2.0.0", "Test")
    steps.runs(page, "Calc 2.0.0", "Test")
    _promotes_it_to_production(page, portal)
    _sets_an_option_that_applies_at_the_next_restart(page, portal)
    _brings_the_next_one_under_load_and_fills_in_what_it_needs(page, portal, second)
    _goes_back_under_load_to_the_options_of_then(page, portal)


def archive_of(folder: Path, version: str, *constants: dict[str, Any]) -> Path:
    """Make a package of Calc under another version, with further constants."""
    source = shutil.copytree(ROOT / "tests" / "packages" / "calc" / "1.1.0", folder / version)
    metadata = source / "model" / "metadata.json"
    content = json.loads(metadata.read_text())
    content |= {"version": version, "constants": [*content["constants"], *constants]}
    metadata.write_text(json.dumps(content))
    archive = folder / f"calc-{version}.zip"
    build_archive(source, archive)
    return archive


def _promotes_it_to_production(page: Page, portal: LivePortal) -> None:
    steps.go(page, "Transport to Acceptance")
    steps.confirm_transport(page, "Calc 2.0.0", "Acceptance")
    steps.runs(page, "Calc 2.0.0", "Acceptance")
    steps.go(page, "Transport to Production")
    steps.set_up(page, portal.person("Alice"))
    steps.confirm_transport(page, "Calc 2.0.0", "Production")
    steps.runs(page, "Calc 2.0.0", "Production")


def _sets_an_option_that_applies_at_the_next_restart(page: Page, portal: LivePortal) -> None:
    _says(portal, "Good day")
    steps.go(page, "Options")
    page.get_by_role("textbox", name="GREETING").fill("Hello team")
    steps.press(page, "Save the options")
    expect(page.get_by_text("The options of Production are saved.")).to_be_visible()
    expect(page.get_by_text("This applies at the next restart.")).to_be_visible()
    _says(portal, "Good day")
    steps.go(page, "Restart to apply")
    steps.press(page, "Restart Production")
    steps.runs(page, "Calc 2.0.0", "Production")
    _says(portal, "Hello team")


def _brings_the_next_one_under_load_and_fills_in_what_it_needs(page: Page, portal: LivePortal, archive: Path) -> None:
    steps.upload(page, archive, "Calc 2.1.0")
    steps.go(page, "Transport to Production")
    steps.sees(page, "Transport Calc 2.1.0 to Production")
    expect(page.get_by_text("New constant")).to_be_visible()
    steps.press(page, "Transport 2.1.0 to Production")
    expect(page.get_by_text("REGION needs a value")).to_be_visible()
    page.get_by_label("REGION").fill("North")
    with steps.visitors(portal.environment_url("production")) as answers:
        steps.confirm_transport(page, "Calc 2.1.0", "Production")
        steps.runs(page, "Calc 2.1.0", "Production")
    assert set(answers) == {_version("2.0.0"), _version("2.1.0")}, answers
    expect(page.get_by_text("Calc 2.0.0 is one click away.")).to_be_visible()


def _goes_back_under_load_to_the_options_of_then(page: Page, portal: LivePortal) -> None:
    steps.go(page, "Options")
    page.get_by_role("textbox", name="GREETING").fill("Welcome to 2.1")
    steps.press(page, "Save the options")
    steps.go(page, "Overview")
    steps.go(page, "Roll back to 2.0.0")
    steps.sees(page, "Roll back Production to Calc 2.0.0")
    with steps.visitors(portal.environment_url("production")) as answers:
        steps.press(page, "Roll back Production to 2.0.0")
        steps.runs(page, "Calc 2.0.0", "Production")
    assert set(answers) == {_version("2.0.0"), _version("2.1.0")}, answers
    steps.sees(page, "Roll back Production to Calc 2.0.0")
    expect(page.locator("ol.steps > li").filter(has_text="Unpack")).to_contain_text("It is unpacked here already.")
    _says(portal, "Hello team")  # as 2.0.0 had it when it ran last


def _version(version: str) -> str:
    return f'{{"name": "calc", "version": "{version}"}}'


def _says(portal: LivePortal, greeting: str) -> None:
    status, text = steps.ask(portal.environment_url("production"), "/")
    assert (status, greeting in text) == (200, True), text
