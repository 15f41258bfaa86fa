"""Production is backed up, changed and restored, the code asked for in the middle; its data go to Test as a file."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal
from tests.journeys.test_accessibility import PRODUCTION, TEST, Inspector


def test_production_is_backed_up_changed_and_restored(
    portal: LivePortal, new_context: NewContext, tmp_path: Path
) -> None:
    page = new_context().new_page()
    steps.sign_in(page, portal.person("Alice"))
    phone = steps.set_up_from_account(page, portal.person("Alice"))
    for environment in ("Test", "Production"):
        steps.transport(page, "Calc 1.1.0", environment)
    _calculates(page, portal, "6×7", "42")
    _backs_production_up(page)
    _calculates(page, portal, "1+1", "2")
    _restores_it_with_the_code_in_the_middle(page, portal, phone)
    archive = _downloads_it(page, tmp_path)
    _brings_it_to_test(page, portal, archive)
    _looks_at_every_page(page)


def _calculates(page: Page, portal: LivePortal, what: str, result: str) -> None:
    page.goto(portal.environment_url("production"))
    steps.calculate(page, what, result)
    page.goto(portal.url)


def _history(portal: LivePortal, slug: str) -> str:
    status, text = steps.ask(portal.environment_url(slug), "/")
    assert status == 200
    return text


def _done(page: Page, sentence: str) -> None:
    expect(page.get_by_role("status").get_by_text(sentence)).to_be_visible(timeout=steps.JOB_MS)


def _backs_production_up(page: Page) -> None:
    page.goto(PRODUCTION)
    steps.go(page, "Backups")
    expect(page.get_by_text("No backups yet")).to_be_visible()
    steps.go(page, "Back up Production")
    page.get_by_label("Comment").fill("Before the sale")
    steps.press(page, "Back up Production")
    _done(page, "Backup 1 of Production is there.")
    steps.go(page, "Backups")
    row = page.get_by_role("row").filter(has_text="Before the sale")
    expect(row).to_contain_text("Completed")
    expect(row).to_contain_text("1.1.0")


def _restores_it_with_the_code_in_the_middle(page: Page, portal: LivePortal, phone: steps.Phone) -> None:
    steps.go(page, "Backup 1") if page.url.endswith("/backups/") else page.goto(PRODUCTION + "backups/1/")
    steps.go(page, "Restore into Production")
    steps.sees(page, "Restore into Production")
    expect(page.get_by_label("Back up first what is overwritten")).to_be_checked()
    other_tab = page.context.new_page()
    other_tab.goto("/")
    steps.end_production_access(other_tab)
    other_tab.close()
    page.get_by_label("Type Production to confirm").fill("Production")
    steps.press(page, "Restore into Production")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Code from your authenticator").fill(phone.code())
    _done(page, "Production has the data of backup 1 of Production now. Calc 1.1.0 runs with them.")
    text = _history(portal, "production")
    assert "6×7" in text
    assert "1+1" not in text
    steps.go(page, "Backups")
    expect(page.get_by_role("row").filter(has_text="Before backup 1 of Production was restored")).to_be_visible()


def _downloads_it(page: Page, folder: Path) -> Path:
    page.goto(PRODUCTION + "backups/1/")
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^Database and files")).click()
    name = download.value.suggested_filename
    assert re.fullmatch(r"calc-production-1-[\d-]+\.tar", name)
    target = folder / name
    download.value.save_as(target)
    return target


def _brings_it_to_test(page: Page, portal: LivePortal, archive: Path) -> None:
    page.goto(TEST + "backups/")
    steps.go(page, "Upload data")
    page.get_by_label("Data").set_input_files(archive)
    steps.press(page, "Upload the data")
    _done(page, "What was uploaded is backup 1 of Test now.")
    page.goto(TEST + "backups/1/")
    expect(page.get_by_text("It holds data of production (Production).")).to_be_visible()
    steps.go(page, "Restore into Test")
    expect(page.get_by_text("These are data of production.")).to_be_visible()
    page.get_by_label("Type Test to confirm").fill("Test")
    steps.press(page, "Restore into Test")
    _done(page, "Test has the data of backup 1 of Test now.")
    assert "6×7" in _history(portal, "test")


def _looks_at_every_page(page: Page) -> None:
    inspector = Inspector(page)
    for environment in (TEST, PRODUCTION):
        inspector.visit(
            *(environment + each for each in ("backups/", "backups/create/", "backups/upload/", "backups/1/"))
        )
        inspector.visit(environment + "transport/")
    page.goto(PRODUCTION + "backups/1/")
    inspector.visit(page.get_by_role("link", name="Restore into Test").get_attribute("href") or "")
    assert not inspector.problems, "\n".join(inspector.problems)
