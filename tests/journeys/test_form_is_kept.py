"""Nothing is lost by being asked for a code: Alice types it where she is, and what she began is carried out once."""

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

NOTE = "Friday evening, because the tax office\nchanged its mind – “really”"


def test_a_form_that_met_a_closed_window_is_carried_out_after_the_code(
    portal: LivePortal, new_context: NewContext
) -> None:
    context = new_context()
    page = context.new_page()
    alice = portal.person("Alice")
    steps.sign_in(page, alice)
    phone = steps.set_up_from_account(page, alice)
    _begins_a_transport(page)

    other_tab = context.new_page()
    other_tab.goto("/")
    steps.end_production_access(other_tab)

    button = "Transport 1.0.0 to Production"
    steps.press(page, button)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_contain_text("needs your code")
    dialog.get_by_role("button", name="Not now").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_label("Note")).to_have_value(NOTE)

    steps.press(page, button)
    dialog.get_by_label("Code from your authenticator").fill("12345")
    dialog.get_by_role("button", name="Unlock production for eight hours").click()
    expect(dialog.get_by_text("A code is six digits.")).to_be_visible()
    steps.enter_code(page, phone)
    steps.runs(page, "Calc 1.0.0", "Production")
    expect(page.get_by_role("definition").filter(has_text="Friday evening")).to_have_text(NOTE, use_inner_text=True)

    other_tab.goto("/apps/calc/environments/production/deployments/")
    expect(other_tab.get_by_role("main").get_by_role("rowheader")).to_have_count(1)


def _begins_a_transport(page: Page) -> None:
    steps.open_package(page, "Calc 1.0.0")
    steps.go(page, "Transport to Production")
    page.get_by_label("Note").fill(NOTE)
