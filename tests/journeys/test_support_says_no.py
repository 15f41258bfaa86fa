"""Support says no to a request, and lifts a wait. The portal is the same for all people."""

import re

import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person


@pytest.mark.parametrize(("name", "scripted"), [("Charlie", True), ("Bob", False)])
def test_support_says_no_and_lifts_a_wait(
    portal: LivePortal, new_context: NewContext, sams_browser: StorageState, name: str, scripted: bool
) -> None:
    person = portal.person(name)
    page = new_context(java_script_enabled=scripted).new_page()
    steps.sign_in(page, person)
    phone = steps.set_up_from_account(page, person, scripted)
    steps.end_production_access(page)
    sams = new_context(java_script_enabled=scripted, storage_state=sams_browser).new_page()

    _asks_and_is_told_no(page, sams, portal, person)
    sams.goto(f"/admin/accounts/user/?q={name.lower()}")
    _enters_five_wrong_codes(page, phone, scripted)
    _lifts_the_wait(sams, person)
    told = portal.mail(person.email, "Wrong codes were entered for your account")
    assert told.startswith(f"Hello {person.name},\n\n5 wrong codes in a row")
    assert "Reason: Typed on the train" in portal.mail(person.email, "You can enter a code again")
    page.goto("/authenticator/")
    expect(page.locator(".wait")).to_have_count(0)
    steps.enter_code(page, phone, scripted=scripted)
    expect(steps.production_access(page)).to_be_visible()


def _asks_and_is_told_no(page: Page, sams: Page, portal: LivePortal, person: Person) -> None:
    page.goto("/authenticator/help/")
    page.get_by_label("What happened?").fill("I think that I want another app.")
    steps.press(page, "Ask support")
    expect(page.get_by_text("You asked support")).to_be_visible()

    answer = "Both apps can have the key of this phone.\nCall us on 555 0199 if that does not work."
    sams.goto("/admin/accounts/resetrequest/?state=open")
    sams.get_by_role("row").filter(has_text=person.name).get_by_role("link", name=person.name).click()
    steps.go(sams, "Reject the request…")
    sams.get_by_label("Message").fill(answer)
    steps.press(sams, "Reject 1 request")
    expect(sams.get_by_text(f"Rejected the request of {person.name}.")).to_be_visible()

    page.goto("/authenticator/help/")
    shown = page.get_by_text("did not disable your authenticator")
    expect(shown).to_contain_text("Call us on 555 0199 if that does not work.")
    told = portal.mail(person.email, "Support did not disable your authenticator")
    assert answer in told
    assert "Your authenticator works as before." in told


def _enters_five_wrong_codes(page: Page, phone: steps.Phone, scripted: bool) -> None:
    """Each wait is twice the one before; the page counts it down and says when it is over, where it has scripts."""
    wait, field = page.locator(".wait"), page.get_by_label("Code from your authenticator")
    for seconds in (1, 2, 4, 8, 16):
        page.goto("/authenticator/")
        steps.type_code(page, phone.wrong_code(), scripted=scripted)
        expect(field).to_have_attribute("aria-invalid", "true")
        if scripted and seconds == 8:
            expect(wait).to_have_text(re.compile(r"You can try again in [5-8] s\."))
            expect(wait).to_have_text(re.compile(r"You can try again in [1-4] s\."))
        if scripted and seconds < 16:
            expect(wait).to_have_text("You can try again now.")
        elif seconds < 16:
            expect(wait).to_have_text(re.compile(rf"You can try again in [0-{seconds}] s\."))
            page.wait_for_timeout(seconds * 1000)
    expect(wait).to_have_text(re.compile(r"You can try again in \d+ s\."))


def _lifts_the_wait(page: Page, person: Person) -> None:
    page.get_by_role("row").filter(has_text=person.email).get_by_role("link", name=person.name).click()
    expect(page.get_by_role("main")).to_contain_text("after wrong codes")
    steps.go(page, "Lift the wait…")
    page.get_by_label("Reason").fill("Typed on the train, called back")
    steps.press(page, "Lift 1 wait")
    expect(page.get_by_text(f"Lifted the wait of {person.name}. They can enter a code now.")).to_be_visible()
