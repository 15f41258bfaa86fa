"""A phone is gone, and its codes with it at once; support helps. The portal is the same for all people."""

import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person

PRODUCTION = "/apps/calc/environments/production/"
BLOCKED = "Your authenticator is blocked because the phone is gone"
NOTE = "It was stolen on the train. Call me on 555 0100."
REASON = "The phone was stolen, ticket 4712"


@pytest.mark.parametrize(
    ("name", "place", "scripted"),
    [("Alice", "Calc: SCRUM Master, Technical Contact", True), ("Bob", "Calc: Business Engineer", False)],
)
def test_a_gone_phone_opens_nothing_until_support_has_helped(
    portal: LivePortal,
    new_context: NewContext,
    sams_browser: StorageState,
    name: str,
    place: str,
    scripted: bool,
) -> None:
    person = portal.person(name)
    here, there = (new_context(java_script_enabled=scripted).new_page() for _ in range(2))
    steps.sign_in(here, person)
    gone = steps.set_up_from_account(here, person, scripted)
    here.goto(PRODUCTION)
    steps.sees(here, "Production")

    steps.sign_in(there, person)
    _says_that_the_phone_is_gone(there)
    told = portal.mail(person.email, "Your authenticator's codes are refused from now on")
    assert "setting up a new authenticator too" in told

    for page in (here, there):
        _is_refused_codes_and_setting_up(page)
    steps.open_app(here)
    steps.card(here, "Production").get_by_role("link", name="Production", exact=True).click()
    expect(here.get_by_text(BLOCKED)).to_be_visible()  # no dialog: only the page can say what to do

    sams = new_context(java_script_enabled=scripted, storage_state=sams_browser).new_page()
    _finds_the_request(sams, person, place)
    _disables_after_an_identity_check(sams, person)

    here.goto(PRODUCTION)
    phone = steps.set_up(here, person, scripted)
    steps.sees(here, "Production")
    assert phone.secret != gone.secret
    assert REASON in portal.mail(person.email, "Your authenticator was disabled")


def _says_that_the_phone_is_gone(page: Page) -> None:
    page.goto(PRODUCTION)
    steps.sees_that_a_code_is_needed(page)
    steps.go(page, "I can’t use my authenticator")
    page.get_by_label("What happened?").fill(NOTE)
    page.get_by_label("My phone is gone: refuse its codes from now on").check()
    steps.press(page, "Ask support")
    expect(page.get_by_text("You asked support")).to_be_visible()
    expect(page.get_by_text(BLOCKED)).to_be_visible()


def _is_refused_codes_and_setting_up(page: Page) -> None:
    for address in (PRODUCTION, "/authenticator/", "/authenticator/set-up/"):
        page.goto(address)
        expect(page.get_by_role("alert")).to_contain_text(BLOCKED)
        expect(page.get_by_label("Code from your authenticator")).to_have_count(0)
        expect(page.get_by_label("Your password")).to_have_count(0)
        expect(steps.production_access(page)).to_have_count(0)


def _finds_the_request(page: Page, person: Person, place: str) -> None:
    page.goto("/admin/accounts/resetrequest/?state=open")
    request = page.get_by_role("row").filter(has_text=person.name)
    for words in ("Open", place, NOTE, "since"):
        expect(request).to_contain_text(words)
    request.get_by_role("link", name=person.name).click()
    expect(page.get_by_role("main")).to_contain_text("because the phone is gone")


def _disables_after_an_identity_check(page: Page, person: Person) -> None:
    steps.go(page, "Disable the authenticator…")
    page.get_by_label("Reason").fill(REASON)
    check = page.get_by_label("How did you make sure who asks?")
    check.fill(" ")  # the browser lets a space pass, the portal doesn't
    steps.press(page, "Disable 1 authenticator")
    expect(page.get_by_text("Say how you made sure who asks. It is kept.")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value(REASON)
    check.fill("Called back on the number of the personnel office.")
    steps.press(page, "Disable 1 authenticator")
    expect(page.get_by_text(f"Disabled the authenticator of {person.name}.")).to_be_visible()
