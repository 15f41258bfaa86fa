"""The drill of docs/disaster.md: a portal with an app that runs is lost with its disk, and comes back from a backup."""

import shutil
import time
from pathlib import Path

from cryptography.fernet import Fernet
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys import steps
from tests.journeys.live import LivePortal, Person, manage, running

# What an operator keeps apart from the backups
KEYS = {
    "SECRET_KEY": "kept in a safe, apart from the backups, and long enough for Django",
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}
AGAIN_SECONDS = 60


def test_a_lost_portal_comes_back_with_people_app_and_data(browser: Browser, tmp_path: Path) -> None:
    kept = tmp_path / "kept" / "portal.tar"
    kept.parent.mkdir()
    lost, fresh = tmp_path / "lost", tmp_path / "fresh"
    with running(lost, **KEYS) as portal:
        alice = portal.person("Alice")
        with new_context(browser, portal) as context:
            phone = _deploys_and_calculates(context.new_page(), alice, portal)
        assert "data of 1 environment." in manage(lost, "backup_portal", str(kept), **KEYS)
    shutil.rmtree(lost)

    said = manage(fresh, "restore_portal", str(kept), **KEYS)
    assert "These start again with the portal: Calc Production." in said
    with running(fresh, **KEYS) as portal, new_context(browser, portal) as context:
        page = context.new_page()
        address = portal.environment_url("production")
        _waits_for(address)
        page.goto(address)
        expect(page.get_by_role("listitem").first).to_have_text("6*7 = 42")
        steps.sign_in(page, alice)
        page.goto("/apps/calc/environments/production/")
        steps.sees_that_a_code_is_needed(page)
        steps.enter_code(page, phone)
        expect(steps.heading(page)).to_contain_text("Production")
        expect(page.get_by_text("Calc 1.0.0").first).to_be_visible()


def _deploys_and_calculates(page: Page, alice: Person, portal: LivePortal) -> steps.Phone:
    steps.sign_in(page, alice)
    phone = steps.set_up_from_account(page, alice)
    steps.transport(page, "Calc 1.0.0", "Production")
    page.goto(portal.environment_url("production"))
    steps.calculate(page, "6*7", "42")
    return phone


def _waits_for(address: str) -> None:
    until = time.monotonic() + AGAIN_SECONDS
    while steps.ask(address)[0] != 200:
        assert time.monotonic() < until, f"{address} did not come back."
        time.sleep(0.2)


def new_context(browser: Browser, portal: LivePortal) -> BrowserContext:
    context = browser.new_context(base_url=portal.url, locale="en-GB", timezone_id="Europe/Amsterdam")
    context.set_default_timeout(15_000)
    return context
