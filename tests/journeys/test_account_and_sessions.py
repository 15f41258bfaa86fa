"""People see where they are signed in and what was tried on their account, and end what they don't want."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person

PRODUCTION = "/apps/calc/environments/production/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEW_PASSWORD = "a quiet lake under nine clouds"
THIS_MACHINE = re.compile(r"127\.0\.0\.1|::1")
# The portal is the same for all stories of this module, so each has people of its own, with scripts and without


@pytest.mark.parametrize(("name", "scripted"), [("Alice", True), ("Bob", False)])
def test_a_person_sees_every_session_and_ends_what_is_not_theirs(
    portal: LivePortal, new_context: NewContext, name: str, scripted: bool
) -> None:
    person = portal.person(name)
    here = new_context(java_script_enabled=scripted).new_page()
    elsewhere = new_context(java_script_enabled=scripted, user_agent=FIREFOX)
    there = elsewhere.new_page()
    steps.sign_in(here, person)
    phone = steps.set_up_from_account(here, person, scripted)
    _gets_in_after_a_wrong_password_and_a_wrong_code(there, person, phone, scripted)
    _was_told_of_the_new_browser(portal, person)

    _ends_the_production_access_of_the_other(here, there)
    _ends_the_session_of_the_other(here, there)
    _ends_all_others(here, [elsewhere, new_context(java_script_enabled=scripted)], person)
    _reads_what_was_tried(here)
    expect(steps.production_access(here)).to_be_visible()  # of all this, nothing touched this browser


def _gets_in_after_a_wrong_password_and_a_wrong_code(
    page: Page, person: Person, phone: steps.Phone, scripted: bool
) -> None:
    steps.try_to_sign_in(page, person.email, "not the right password")
    expect(page.get_by_text("E-mail and password don't fit together")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_have_value(person.email)
    steps.sign_in(page, person)
    page.goto(PRODUCTION)
    steps.sees_that_a_code_is_needed(page)
    steps.type_code(page, phone.wrong_code(), scripted=scripted)
    expect(page.get_by_text("Check that you read the entry of this portal")).to_be_visible()
    wait = page.locator(".wait")
    if scripted:
        expect(wait).to_have_text("You can try again now.")
        expect(wait).to_have_attribute("role", "status")
    else:
        expect(wait).to_have_text(re.compile(r"You can try again in [01] s\."))
        page.wait_for_timeout(1200)
        expect(wait).to_have_text(re.compile(r"You can try again in [01] s\."))
    steps.enter_code(page, phone, scripted=scripted)
    steps.sees(page, "Production")


def _was_told_of_the_new_browser(portal: LivePortal, person: Person) -> None:
    told = portal.mail(person.email, "Production access from a browser not seen before")
    assert "Browser: Firefox on Linux" in told
    assert THIS_MACHINE.search(told)
    assert f"When: {datetime.now(UTC):%-d %B %Y}" in told
    assert f"end it now at {portal.url}/account/" in told


def _ends_the_production_access_of_the_other(here: Page, there: Page) -> None:
    here.goto("/account/")
    mine, other = _session(here, "this one"), _session(here, "Firefox on Linux")
    for session in (mine, other):
        expect(session.locator("[data-label=Address]")).to_have_text(THIS_MACHINE)
        expect(session.locator("[data-label='Production access']")).to_contain_text(re.compile(r"until \d\d:\d\d"))
    other.get_by_role("button", name="End access").click()
    expect(here.get_by_role("status").filter(has_text="Production access of that session is ended.")).to_be_visible()
    expect(other.locator("[data-label='Production access']")).to_have_text("–")
    there.goto(PRODUCTION)
    steps.sees_that_a_code_is_needed(there)


def _ends_the_session_of_the_other(here: Page, there: Page) -> None:
    other = _session(here, "Firefox on Linux")
    other.get_by_role("button", name="End session").click()
    expect(here.get_by_role("status").filter(has_text="That session is ended")).to_be_visible()
    expect(other).to_have_count(0)
    there.goto("/")
    steps.sees(there, "Sign in")


def _ends_all_others(here: Page, browsers: list[BrowserContext], person: Person) -> None:
    pages = [browser.new_page() for browser in browsers]
    for page in pages:
        steps.sign_in(page, person)
    here.goto("/account/")
    steps.press(here, "End all others")
    expect(here.get_by_role("status").filter(has_text="Ended: 2 other sessions.")).to_be_visible()
    expect(_session(here, "")).to_have_count(1)
    for page in pages:
        page.goto("/")
        steps.sees(page, "Sign in")


def _reads_what_was_tried(page: Page) -> None:
    steps.go(page, "Sign-ins and codes of the last 90 days")
    steps.sees(page, "Sign-ins and codes")
    for what in (
        "Was refused at sign-in: wrong password",
        "Entered a wrong code",
        "Set up an authenticator",
        "Opened production access",
        "Ended another of their sessions",
    ):
        entry = page.get_by_role("row").filter(has_text=what).first
        expect(entry.locator("[data-label=From]")).to_have_text(THIS_MACHINE)
        expect(entry.locator("[data-label=When]")).to_contain_text(str(datetime.now(UTC).year))


def _session(page: Page, words: str) -> Locator:
    """Give a row of the sessions on the account page."""
    return page.get_by_role("table").locator("tbody").get_by_role("row").filter(has_text=words)


@pytest.mark.parametrize(("name", "scripted"), [("Charlie", True), ("Sam", False)])
def test_a_person_changes_e_mail_and_password(
    portal: LivePortal, new_context: NewContext, name: str, scripted: bool
) -> None:
    person = portal.person(name)
    here, there = (new_context(java_script_enabled=scripted).new_page() for _ in range(2))
    steps.sign_in(there, person)
    steps.set_up_from_account(there, person, scripted)
    steps.sign_in(here, person)

    new = f"{name.lower()}.new@example.org"
    _asks_for_another_address(here, person, new)
    _follows_the_link(here, portal, person, new)
    _changes_the_password(here, person)
    assert THIS_MACHINE.search(portal.mail(new, "Your password was changed"))

    there.goto("/account/")
    steps.sees(there, "Sign in")
    steps.try_to_sign_in(there, new, person.password)
    expect(there.get_by_text("E-mail and password don't fit together")).to_be_visible()
    steps.sign_in(there, Person(person.name, new, NEW_PASSWORD, person.role))
    expect(steps.production_access(there)).to_have_count(0)


def _asks_for_another_address(page: Page, person: Person, new: str) -> None:
    page.goto("/account/")
    steps.go(page, "Change your e-mail")
    page.get_by_label("New e-mail address").fill(new)
    page.get_by_label("Your password").fill("not the right password")
    steps.press(page, "Send the link")
    expect(page.get_by_text("This is not your password. Check it and try again.")).to_be_visible()
    expect(page.get_by_label("New e-mail address")).to_have_value(new)
    page.get_by_label("Your password").fill(person.password)
    steps.press(page, "Send the link")
    steps.sees(page, "Look into your mail")
    steps.go(page, "Your account")
    expect(page.get_by_role("definition").filter(has_text=person.email)).to_be_visible()  # nothing changed so far


def _follows_the_link(page: Page, portal: LivePortal, person: Person, new: str) -> None:
    link = re.search(r"^http://\S+$", portal.mail(new, "Confirm your new e-mail address"), re.MULTILINE)
    assert link
    page.goto(link.group())
    expect(page.get_by_text(f"You sign in with {new} from now on")).to_be_visible()
    steps.press(page, f"Use {new}")
    expect(page.get_by_role("status").filter(has_text=f"You sign in with {new} from now on.")).to_be_visible()
    for address in (person.email, new):
        told = portal.mail(address, "The e-mail address of your account was changed")
        assert f"Before: {person.email}\nNow: {new}" in told

    used = page.goto(link.group())
    assert used
    assert used.status == 410
    steps.sees(page, "This link no longer works")


def _changes_the_password(page: Page, person: Person) -> None:
    page.goto("/account/")
    steps.go(page, "Change your password")
    page.get_by_label("Your current password").fill(person.password)
    for label in ("New password", "The new password again"):
        page.get_by_label(label, exact=True).fill("too short")
    steps.press(page, "Change password")
    expect(page.get_by_text("at least 15 characters").first).to_be_visible()
    page.get_by_label("Your current password").fill(person.password)
    for label in ("New password", "The new password again"):
        page.get_by_label(label, exact=True).fill(NEW_PASSWORD)
    steps.press(page, "Change password")
    expect(page.get_by_role("status").filter(has_text="Your password is changed.")).to_be_visible()
