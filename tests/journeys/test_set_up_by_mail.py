"""Setting up an authenticator with a code from the mail beside the password, and what a link to production asks for.

The people differ from test to test: the portal is the same for all.
"""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person

SETTINGS = {"ENROLMENT_MAIL_CODE": "true"}
MAIL_CODE = "Code from the mail"
FINISH = "Set up and unlock production"


@pytest.mark.parametrize(("name", "scripted"), [("Charlie", True), ("Sam", False)])
def test_an_authenticator_is_set_up_with_a_code_from_the_mail(
    portal: LivePortal, new_context: NewContext, name: str, scripted: bool
) -> None:
    person = portal.person(name)
    page = new_context(java_script_enabled=scripted, permissions=["clipboard-read", "clipboard-write"]).new_page()
    steps.sign_in(page, person)
    if name == "Sam":
        steps.go(page, "Needs a code: Support")
    else:
        page.goto("/account/")
        steps.go(page, "Set it up now")
    steps.sees(page, "Set up your authenticator")

    _confirms_by_password_and_mail(page, portal, person, scripted)
    phone = steps.Phone(steps.read_qr(page))
    _can_type_the_key_instead(page, phone, scripted)
    _is_told_that_the_clock_is_off(page, phone, scripted)
    code = phone.code()
    steps.type_code(page, f"{code[:3]} {code[3:]}", FINISH, scripted)  # as some apps show it
    expect(page.get_by_text("Your authenticator is set up.", exact=True)).to_be_visible()
    expect(steps.heading(page)).to_have_text("Support" if name == "Sam" else "Your account")
    assert phone.secret_text not in page.content()
    assert "set up" in portal.mail(person.email, "An authenticator was set up for your account")


def _confirms_by_password_and_mail(page: Page, portal: LivePortal, person: Person, scripted: bool) -> None:
    page.get_by_label("Your password").fill("not the right password")
    steps.press(page, "Continue")
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    page.get_by_label("Your password").fill(person.password)
    steps.press(page, "Continue")
    expect(page.get_by_text(f"A mail with six digits is on its way to {person.email}.")).to_be_visible()
    expect(page.get_by_role("img", name="QR code")).to_have_count(0)

    right = _code_from_the_mail(portal, person)
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    steps.type_code(page, wrong, "Continue", scripted, MAIL_CODE)
    expect(page.get_by_text("That is not the code from the mail.")).to_be_visible()
    steps.type_code(page, right, "Continue", scripted, MAIL_CODE)
    expect(page.get_by_role("img", name="QR code")).to_be_visible()


def _code_from_the_mail(portal: LivePortal, person: Person) -> str:
    found = re.search(r"^\d{6}$", portal.mail(person.email, "Your code for setting up an authenticator"), re.MULTILINE)
    assert found
    return found.group()


def _can_type_the_key_instead(page: Page, phone: steps.Phone, scripted: bool) -> None:
    expect(page.get_by_text("Can’t scan? Type this key into the app")).to_be_visible()
    groups = page.locator("#secret").inner_text().split(" ")
    assert {len(group) for group in groups} == {4}
    assert "".join(groups) == phone.secret_text
    copy = page.get_by_role("button", name="Copy the key")
    if not scripted:
        expect(copy).to_have_count(0)
        return
    copy.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == phone.secret_text


def _is_told_that_the_clock_is_off(page: Page, phone: steps.Phone, scripted: bool) -> None:
    steps.type_code(page, phone.code_ahead(minutes=5), FINISH, scripted)
    expect(page.get_by_text(re.compile(r"Your phone's clock is about (5 min|4 min 30 s) ahead\."))).to_be_visible()
    field = page.get_by_label("Code from your authenticator")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_attribute("inputmode", "numeric")
    expect(field).to_have_attribute("autocomplete", "one-time-code")


def test_a_link_to_production_asks_in_a_dialog(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context().new_page()
    alice = portal.person("Alice")
    steps.sign_in(page, alice)
    phone = _sets_up_on_the_way_to_production(page, portal, alice, scripted=True)
    steps.end_production_access(page)

    steps.open_app(page)
    before = page.url
    _production(page).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Production needs your code")
    expect(dialog.get_by_label("Code from your authenticator")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert page.url == before
    expect(steps.production_access(page)).to_have_count(0)

    _transport(page).click()
    expect(dialog.get_by_role("heading")).to_have_text("Transport to Production needs your code")
    steps.type_code(page, phone.wrong_code())
    expect(dialog.get_by_text("Check that you read the entry of this portal")).to_be_visible()
    expect(dialog.get_by_text("You can try again now.")).to_be_visible()
    steps.enter_code(page, phone)
    steps.sees(page, "Transport a package to Production")
    expect(steps.production_access(page)).to_be_visible()
    _is_asked_nothing_now(page)


def test_a_link_to_production_asks_on_a_page_without_scripts(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context(java_script_enabled=False).new_page()
    bob = portal.person("Bob")
    steps.sign_in(page, bob)
    phone = _sets_up_on_the_way_to_production(page, portal, bob, scripted=False)
    steps.end_production_access(page)

    steps.open_app(page)
    _production(page).click()
    steps.sees_that_a_code_is_needed(page)
    steps.type_code(page, phone.wrong_code(), scripted=False)
    expect(page.get_by_text("Check that you read the entry of this portal")).to_be_visible()
    page.wait_for_timeout(1000)  # until which the page says that codes are refused
    steps.enter_code(page, phone, scripted=False)
    steps.sees(page, "Production")
    _is_asked_nothing_now(page)


def _sets_up_on_the_way_to_production(page: Page, portal: LivePortal, person: Person, scripted: bool) -> steps.Phone:
    steps.open_app(page)
    _production(page).click()  # no authenticator so far: a dialog could not help
    steps.sees(page, "Set up your authenticator")
    _confirms_by_password_and_mail(page, portal, person, scripted)
    phone = steps.scan(page, scripted)
    steps.sees(page, "Production")
    return phone


def _is_asked_nothing_now(page: Page) -> None:
    expect(steps.production_access(page)).to_be_visible()
    steps.open_app(page)
    _production(page).click()
    steps.sees(page, "Production")


def _production(page: Page) -> Locator:
    return steps.card(page, "Production").get_by_role("link", name="Production", exact=True)


def _transport(page: Page) -> Locator:
    return steps.card(page, "Production").get_by_role("link", name="Transport to Production")
