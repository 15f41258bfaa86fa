"""Nothing is lost by being asked for a code: Alice types it where she is, and what she began is carried out once.

Nor does anybody when another tab opened the window. Without scripts the form is kept and offered again after the
code: test_without_javascript.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect

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
    with _says_anew_until_when(page, "**/transport/"):
        steps.enter_code(page, phone)
    _begins_a_transport(page)
    steps.press(page, button)
    steps.runs(page, "Calc 1.0.0", "Production")
    expect(page.get_by_role("definition").filter(has_text="Friday evening")).to_have_text(NOTE, use_inner_text=True)

    other_tab.goto("/apps/calc/environments/production/deployments/")
    expect(other_tab.get_by_role("main").get_by_role("rowheader")).to_have_count(1)


@contextmanager
def _says_anew_until_when(page: Page, address: str) -> Iterator[None]:
    """The page on which the code was entered shows the new window where it stays: here, as nothing takes its form."""
    before = str(page.get_by_role("banner").locator("time").get_attribute("datetime"))
    sent: list[Route] = []
    page.route(address, lambda route: _swallow(route, sent) if route.request.method == "POST" else route.continue_())
    yield
    for place in (page.get_by_role("banner"), page.locator(".padlock.open")):
        expect(place.locator("time")).not_to_have_attribute("datetime", before)
    assert ["Friday" in str(route.request.post_data) for route in sent] == [True], "once, by itself, with all it had"
    page.unroute(address)


def _swallow(route: Route, sent: list[Route]) -> None:
    sent.append(route)
    route.fulfill(status=204)


def _begins_a_transport(page: Page) -> None:
    steps.open_package(page, "Calc 1.0.0")
    steps.go(page, "Transport to Production")
    page.get_by_label("Note").fill(NOTE)


@pytest.mark.parametrize(("name", "scripted"), [("Charlie", True), ("Bob", False)])
def test_a_form_from_before_the_code_in_another_tab_is_offered_again(
    portal: LivePortal, new_context: NewContext, name: str, scripted: bool
) -> None:
    context = new_context(java_script_enabled=scripted)
    page, other_tab = context.new_page(), context.new_page()
    person = portal.person(name)
    steps.sign_in(page, person)
    page.goto("/account/")
    page.get_by_label("Name").fill("Robin Clark")
    steps.set_up_from_account(other_tab, person, scripted)

    steps.press(page, "Save")
    steps.sees(page, "Send this form again")
    expect(page.get_by_role("definition").filter(has_text="Robin Clark")).to_be_visible()
    steps.press(page, "Send this form again")
    expect(page.get_by_role("status").filter(has_text="Your account is saved.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Robin Clark")
    expect(steps.production_access(page)).to_be_visible()
