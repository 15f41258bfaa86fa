"""Alice lost her phone: she asks support, Sam disables her authenticator, and she sets up the next one."""

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

PRODUCTION = "/apps/calc/environments/production/"
REASON = "New phone; called back on the number we know, ticket 4711"


def test_support_disables_a_lost_authenticator(portal: LivePortal, new_context: NewContext) -> None:
    alice, sam = portal.person("Alice"), portal.person("Sam")
    alices, sams = new_context().new_page(), new_context().new_page()
    steps.sign_in(alices, alice)
    lost = steps.set_up_from_account(alices, alice)
    alices.goto(PRODUCTION)
    steps.sees(alices, "Production")

    _asks_support_from_the_code_page(new_context().new_page(), portal)

    steps.sign_in(sams, sam)
    _disables_in_the_admin(sams, portal, lost)

    # Her window was open: the very next click finds it closed
    steps.go(alices, "Transport a package")
    phone = steps.set_up(alices, alice)
    steps.sees(alices, "Transport a package to Production")
    assert phone.secret != lost.secret

    told = portal.mails(alice.email)
    disabled = [mail for mail in told if mail["Subject"] == "Your authenticator was disabled"]
    assert len(disabled) == 1
    assert REASON in disabled[0].as_string()
    assert [mail["Subject"] for mail in told].count("You asked support to disable your authenticator") == 1


def _asks_support_from_the_code_page(page: Page, portal: LivePortal) -> None:
    """In a browser of its own: there is no window, so the code is asked for."""
    steps.sign_in(page, portal.person("Alice"))
    page.goto(PRODUCTION)
    steps.sees_that_a_code_is_needed(page)
    steps.go(page, "I can’t use my authenticator")
    page.get_by_label("What happened?").fill("My phone fell into the lake. Call me on 555 0100.")
    steps.press(page, "Ask support")
    expect(page.get_by_text("You asked support")).to_be_visible()


def _disables_in_the_admin(page: Page, portal: LivePortal, lost: steps.Phone) -> None:
    sam = portal.person("Sam")
    page.get_by_role("banner").get_by_role("link", name="Support").click()
    steps.set_up(page, sam)
    page.get_by_role("main").get_by_role("link", name="Reset requests", exact=True).click()
    request = page.get_by_role("row").filter(has_text="Alice Adams")
    expect(request).to_contain_text("My phone fell into the lake.")
    request.get_by_role("link", name="Alice Adams").click()
    steps.go(page, "Disable the authenticator…")
    expect(page.get_by_role("main")).to_contain_text(f"Alice Adams {portal.person('Alice').email}")
    assert lost.secret_text not in page.content()

    page.get_by_label("Reason").fill(REASON)
    page.get_by_label("How did you make sure who asks?").fill("Called back on the number of the personnel office.")
    steps.press(page, "Disable 1 authenticator")
    expect(page.get_by_text("Disabled the authenticator of Alice Adams.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="Alice Adams")).to_contain_text("none")
