"""A version that never gets healthy is never let in: the one before goes on answering."""

from pathlib import Path

from playwright.sync_api import expect

from deployments.packages import build_archive
from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import ROOT, LivePortal

SETTINGS = {"HEALTH_PATIENCE": "3"}


def test_the_old_version_stays_when_the_new_one_does_not_get_healthy(
    portal: LivePortal, new_context: NewContext, tmp_path: Path
) -> None:
    page = new_context().new_page()
    address = portal.environment_url("test")
    steps.sign_in(page, portal.person("Alice"))
    steps.transport(page, "Calc 1.0.0", "Test")

    archive = tmp_path / "never-healthy.zip"
    build_archive(ROOT / "tests" / "packages" / "never_healthy", archive)
    steps.upload(page, archive, "Never healthy 1.0.0")
    with steps.visitors(address) as answers:
        steps.go(page, "Transport to Test")
        steps.confirm_transport(page, "Never healthy 1.0.0", "Test")
        end = page.get_by_role("status").filter(has_text="Never healthy 1.0.0 did not get healthy within 3 seconds")
        expect(end).to_be_visible(timeout=steps.JOB_MS)
    assert set(answers) == {'{"name": "calc", "version": "1.0.0"}'}, answers

    expect(end).to_contain_text("Failed")
    expect(end).to_contain_text("503")
    expect(end).to_contain_text("Calc 1.0.0 keeps running.")
    expect(page.get_by_role("listitem").get_by_text("Running, but not well.")).to_be_visible()  # what it printed
    steps.open_app(page)
    expect(steps.card(page, "Test")).to_contain_text("Running")
    expect(steps.card(page, "Test")).to_contain_text("1.0.0 Calc")
    page.goto(address)
    steps.calculate(page, "6*7", "42")
