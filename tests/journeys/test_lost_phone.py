"""Alice lost her phone: she asks support, Sam disables her authenticator, and she sets up the next one.

So does Bob, in a browser without scripts. The portal is the same for both.
"""

import pytest
from playwright.sync_api import Page, StorageState, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person

PRODUCTION = "/apps/calc/environments/production/"
REASON = "New phone; called back on the number we know, ticket 4711"


@pytest.mark.parametrize(("name", "scripted"), [("Alice", True), ("Bob", False)])
def test_support_disables_a_lost_authenticator(
    portal: LivePortal, new_context: NewContext, sams_browser: StorageState, name: str, scripted: bool
) -> None:
    person = portal.person(name)
    here, elsewhere = (new_context(java_script_enabled=scripted).new_page() for _ in range(2))
    sams = new_context(java_script_enabled=scripted, storage_state=sams_browser).new_page()
    steps.sign_in(here, person)
    lost = steps.set_up_from_account(here, person, scripted)
    here.goto(PRODUCTION)
    steps.sees(here, "Production")

    _asks_support_from_the_code_page(elsewhere, person)
    _disables_in_the_admin(sams, person, lost)

    # The window was open: the very next click finds it closed
    steps.go(here, "Deployments")
    phone = steps.set_up(here, person, scripted)
    steps.sees(here, "Deployments")
    assert phone.secret != lost.secret

    told = portal.mails(person.email)
    disabled = [mail for mail in told if mail["Subject"] == "Your authenticator was disabled"]
    assert len(disabled) == 1
    assert REASON in disabled[0].as_string()
    assert [mail["Subject"] for mail in told].count("You asked support to disable your authenticator") == 1


def _asks_support_from_the_code_page(page: Page, person: Person) -> None:
    """In a browser of its own: there is no window, so the code is asked for."""
    steps.sign_in(page, person)
    page.goto(PRODUCTION)
    steps.sees_that_a_code_is_needed(page)
    steps.go(page, "I can’t use my authenticator")
    page.get_by_label("What happened?").fill("My phone fell into the lake. Call me on 555 0100.")
    steps.press(page, "Ask support")
    expect(page.get_by_text("You asked support")).to_be_visible()


def _disables_in_the_admin(page: Page, person: Person, lost: steps.Phone) -> None:
    page.goto("/")
    page.get_by_role("banner").get_by_role("link", name="Support").click()
    page.get_by_role("main").get_by_role("link", name="Reset requests", exact=True).click()
    request = page.get_by_role("row").filter(has_text=person.name)
    expect(request).to_contain_text("My phone fell into the lake.")
    request.get_by_role("link", name=person.name).click()
    steps.go(page, "Disable the authenticator…")
    expect(page.get_by_role("main")).to_contain_text(f"{person.name} {person.email}")
    assert lost.secret_text not in page.content()

    page.get_by_label("Reason").fill(REASON)
    page.get_by_label("How did you make sure who asks?").fill("Called back on the number of the personnel office.")
    steps.press(page, "Disable 1 authenticator")
    expect(page.get_by_text(f"Disabled the authenticator of {person.name}.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=person.name)).to_contain_text("none")
