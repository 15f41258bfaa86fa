"""A phone is gone, and its codes with it at once; support helps, says no, or lifts a wait. Each story has people
of its own, since the portal is the same for all.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person

PRODUCTION = "/apps/calc/environments/production/"
BLOCKED = "Your authenticator is blocked because the phone is gone"
NOTE = "It was stolen on the train. Call me on 555 0100."
REASON = "The phone was stolen, ticket 4712"


@pytest.fixture(scope="module")
def sams_browser(browser: Browser, portal: LivePortal) -> Iterator[StorageState]:
    """What a browser remembers in which Sam has signed in and entered a code, to go on with in each story."""
    context = browser.new_context(base_url=portal.url)
    page = context.new_page()
    sam = portal.person("Sam")
    steps.sign_in(page, sam)
    page.get_by_role("banner").get_by_role("link", name="Support").click()
    steps.set_up(page, sam)
    yield context.storage_state()
    context.close()


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


def test_support_says_no_and_lifts_a_wait(
    portal: LivePortal, new_context: NewContext, sams_browser: StorageState
) -> None:
    charlie = portal.person("Charlie")
    page = new_context().new_page()
    steps.sign_in(page, charlie)
    phone = steps.set_up_from_account(page, charlie)
    steps.end_production_access(page)
    sams = new_context(storage_state=sams_browser).new_page()

    _asks_and_is_told_no(page, sams, portal, charlie)
    sams.goto("/admin/accounts/user/?q=charlie")
    _enters_five_wrong_codes(page, phone)
    _lifts_the_wait(sams, charlie)
    told = portal.mail(charlie.email, "Wrong codes were entered for your account")
    assert told.startswith(f"Hello {charlie.name},\n\n5 wrong codes in a row")
    assert "Reason: Typed on the train" in portal.mail(charlie.email, "You can enter a code again")
    page.goto("/authenticator/")
    expect(page.locator(".wait")).to_have_count(0)
    steps.enter_code(page, phone)
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


def _enters_five_wrong_codes(page: Page, phone: steps.Phone) -> None:
    """Each wait is twice the one before; the page counts it down and says when it is over."""
    wait, field = page.locator(".wait"), page.get_by_label("Code from your authenticator")
    for seconds in (1, 2, 4, 8, 16):
        page.goto("/authenticator/")
        steps.type_code(page, phone.wrong_code())
        expect(field).to_have_attribute("aria-invalid", "true")
        if seconds == 8:
            expect(wait).to_have_text(re.compile(r"You can try again in [5-8] s\."))
            expect(wait).to_have_text(re.compile(r"You can try again in [1-4] s\."))
        if seconds < 16:
            expect(wait).to_have_text("You can try again now.")
    expect(wait).to_have_text(re.compile(r"You can try again in \d+ s\."))


def _lifts_the_wait(page: Page, person: Person) -> None:
    page.get_by_role("row").filter(has_text=person.email).get_by_role("link", name=person.name).click()
    expect(page.get_by_role("main")).to_contain_text("after wrong codes")
    steps.go(page, "Lift the wait…")
    page.get_by_label("Reason").fill("Typed on the train, called back")
    steps.press(page, "Lift 1 wait")
    expect(page.get_by_text(f"Lifted the wait of {person.name}. They can enter a code now.")).to_be_visible()
