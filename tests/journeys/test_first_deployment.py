"""The main job: Alice brings a package to production, behind a code from the phone that she sets up on the way."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

ALICES_ZONE = "Asia/Kolkata"  # half an hour off, so that nothing looks right by chance


def test_alice_deploys_to_production_for_the_first_time(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context(zone=ALICES_ZONE).new_page()
    alice = portal.person("Alice")
    steps.sign_in(page, alice)

    _brings_it_to_test_without_a_code(page)
    phone = _brings_it_to_production_with_a_new_authenticator(page, portal)
    _sees_until_when_production_is_unlocked(page)
    _is_asked_for_the_code_after_ending_it(page, phone)
    _brings_the_next_version_while_people_use_the_app(page, portal)


def _brings_it_to_test_without_a_code(page: Page) -> None:
    steps.open_app(page)
    steps.go(page, "Transport to Test")
    page.get_by_label("Package").select_option("Calc 1.0.0")
    steps.press(page, "Show what changes")
    steps.confirm_transport(page, "Calc 1.0.0", "Test")
    steps.runs(page, "Calc 1.0.0", "Test")
    steps.go(page, "Open Test")
    expect(page).to_have_url(re.compile(r"^http://test--calc\.apps\.localhost:\d+/$"))
    steps.calculate(page, "6*7", "42")


def _brings_it_to_production_with_a_new_authenticator(page: Page, portal: LivePortal) -> steps.Phone:
    alice = portal.person("Alice")
    steps.open_package(page, "Calc 1.0.0")
    steps.go(page, "Transport to Production")
    phone = steps.set_up(page, alice)
    assert phone.label == f"Developer Portal:{alice.email}"
    assert phone.secret_text not in page.content()

    steps.confirm_transport(page, "Calc 1.0.0", "Production")
    page.evaluate("document.body.dataset.watching = 'all the time'")
    steps.runs(page, "Calc 1.0.0", "Production")
    assert page.evaluate("document.body.dataset.watching") == "all the time", "the page was loaded again"
    expect(page.locator("ol.steps > li")).to_have_text(
        [
            re.compile(f"^\\s*{step}")
            for step in ("Check", "Unpack", "Back up", "Start", "Health check", "Switch", "Stop")
        ]
    )
    expect(page.locator("ol.steps").get_by_role("img", name="Done")).to_have_count(4)
    # It is unpacked since it came to Test, there were no data to back up, and there was no old one
    expect(page.locator("ol.steps").get_by_role("img", name="Not needed")).to_have_count(3)
    expect(page.get_by_text("A code entered at")).to_be_visible()

    steps.go(page, "Open Production")
    expect(page).to_have_url(portal.environment_url("production") + "/")
    expect(page.get_by_text("Nothing was calculated yet.")).to_be_visible()  # its data is not that of Test
    steps.calculate(page, "1+2*3", "7")
    return phone


def _sees_until_when_production_is_unlocked(page: Page) -> None:
    page.goto("/")
    shown = steps.production_access(page).locator("time")
    ends = datetime.fromisoformat(shown.get_attribute("datetime") or "")
    assert timedelta(hours=7, minutes=58) < ends - datetime.now(ends.tzinfo) < timedelta(hours=8)
    expect(shown).to_contain_text(f"{ends.astimezone(ZoneInfo(ALICES_ZONE)):%H:%M}")


def _is_asked_for_the_code_after_ending_it(page: Page, phone: steps.Phone) -> None:
    steps.end_production_access(page)
    steps.open_app(page)
    steps.go(page, "Transport to Production")
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Transport to Production needs your code")
    steps.enter_code(page, phone)
    steps.sees(page, "Transport a package to Production")


def _brings_the_next_version_while_people_use_the_app(page: Page, portal: LivePortal) -> None:
    address = portal.environment_url("production")
    steps.upload(page, portal.packages[2], "Calc 1.2.0")
    with steps.visitors(address) as answers:
        steps.go(page, "Transport to Production")
        steps.confirm_transport(page, "Calc 1.2.0", "Production")
        steps.runs(page, "Calc 1.2.0", "Production")
    old, new = (f'{{"name": "calc", "version": "{version}"}}' for version in ("1.0.0", "1.2.0"))
    assert set(answers) == {old, new}, answers

    page.goto(address)
    expect(page.get_by_text("Good day")).to_be_visible()
    expect(page.get_by_role("listitem")).to_have_text(["1+2*3 = 7"])  # what was calculated before is still there
