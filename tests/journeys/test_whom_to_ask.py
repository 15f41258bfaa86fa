"""Who may not is told whom to ask; who is no member learns nothing; what Alice grants works at once."""

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

PRODUCTION = "/apps/calc/environments/production/"
RIGHT = "Transport Rights for Bob Brown"


def test_bob_is_told_which_permission_is_missing_and_who_can_grant_it(
    portal: LivePortal, new_context: NewContext
) -> None:
    page = new_context().new_page()
    alice = portal.person("Alice")
    steps.sign_in(page, portal.person("Bob"))
    steps.open_app(page)
    expect(page.get_by_role("link", name="Transport to Production", exact=True)).to_have_count(0)

    refused = page.goto(PRODUCTION + "transport/")
    assert refused
    assert refused.status == 403
    steps.sees(page, "You need Transport Rights on Calc, Production")
    contact = page.get_by_role("main")
    expect(contact).to_contain_text("Alice Adams, the Technical Contact of Calc, can grant it.")
    expect(contact.get_by_role("link", name=alice.email)).to_have_attribute("href", f"mailto:{alice.email}")
    steps.go(page, "Go back")
    steps.sees(page, "Calc")


def test_charlie_learns_nothing(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context().new_page()
    steps.sign_in(page, portal.person("Charlie"))
    expect(page.get_by_role("heading", name="Calc")).to_have_count(0)
    bodies = set()
    for address in ("/apps/calc/", PRODUCTION, PRODUCTION + "transport/", "/apps/no-such-app/"):
        answer = page.goto(address)
        assert answer
        assert answer.status == 404, address
        bodies.add(page.get_by_role("main").inner_text())
    assert len(bodies) == 1, "an app that exists looks different from one that doesn't"


def test_alice_decides_who_may_transport_where(portal: LivePortal, new_context: NewContext) -> None:
    alices, bobs = new_context().new_page(), new_context().new_page()
    steps.sign_in(alices, portal.person("Alice"))
    steps.sign_in(bobs, portal.person("Bob"))

    _permits(alices, False)
    steps.open_package(bobs, "Calc 1.1.0")
    expect(bobs.get_by_role("link", name="Transport to Test", exact=True)).to_be_visible()
    expect(bobs.get_by_role("link", name="Transport to Acceptance", exact=True)).to_have_count(0)

    _permits(alices, True)
    steps.transport(bobs, "Calc 1.1.0", "Acceptance")
    steps.go(bobs, "Open Acceptance")
    steps.calculate(bobs, "50%", "0.5")

    steps.open_app(alices)
    steps.go(alices, "All activity")
    entry = alices.get_by_role("listitem").filter(has_text="Calc 1.1.0").filter(has_text="Bob Brown").first
    expect(entry).to_contain_text("Acceptance")


def _permits(page: Page, granted: bool) -> None:
    """Let Alice grant Bob Transport Rights on Acceptance, or take them back."""
    steps.open_app(page)
    steps.go(page, "Permissions")
    page.get_by_role("navigation", name="Environment").get_by_role("link", name="Acceptance").click()
    steps.sees(page, "Permissions on Acceptance")
    page.get_by_label(RIGHT).set_checked(granted)
    steps.press(page, "Save permissions on Acceptance")
    expect(page.get_by_role("status").filter(has_text="Saved: Bob Brown on Acceptance.")).to_be_visible()
    expect(page.get_by_label(RIGHT)).to_be_checked(checked=granted)
