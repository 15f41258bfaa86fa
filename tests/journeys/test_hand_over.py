"""Alice hands over to Bob: he accepts with his code, she is an ordinary member, and he decides from then on."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal
from tests.journeys.test_accessibility import Inspector

TEST = "/apps/calc/permissions/test/"
HAND_OVER = "/apps/calc/technical-contact/"
MANAGE = "Manage Permissions for Charlie Clark"
RESULT = "Bob Brown is the Technical Contact of Calc now"


def test_alice_hands_over_to_bob_who_decides_from_then_on(portal: LivePortal, new_context: NewContext) -> None:
    alice, bob, charlie = (portal.person(name) for name in ("Alice", "Bob", "Charlie"))
    alices, bobs, charlies = (new_context().new_page() for _ in range(3))
    for page, person in ((alices, alice), (bobs, bob), (charlies, charlie)):
        steps.sign_in(page, person)
    steps.set_up_from_account(alices, alice)
    phone = steps.set_up_from_account(bobs, bob)
    steps.end_production_access(bobs)
    _joins(alices, charlies, portal)
    _switches(alices, True)

    inspector = Inspector(alices)
    _offers(alices, inspector)
    assert HAND_OVER in portal.mail(bob.email, "Alice Adams offers you the role of the Technical Contact of Calc")

    answers = Inspector(bobs)
    _accepts(bobs, phone, answers)
    assert "your node permissions were cleared" in portal.mail(alice.email, RESULT)
    assert portal.mail(bob.email, "You are the Technical Contact of Calc")

    refused = alices.goto(HAND_OVER)
    assert refused
    assert refused.status == 403
    expect(alices.get_by_role("main")).to_contain_text("Bob Brown, the Technical Contact of Calc, decides about it.")
    alices.goto(TEST)
    expect(_box(alices)).to_have_count(0)

    _switches(bobs, False)
    charlies.goto(TEST)
    expect(charlies.get_by_role("main")).to_contain_text("Bob Brown is the Technical Contact and decides")
    expect(charlies.get_by_role("checkbox")).to_have_count(1)  # Receive Alerts for himself
    assert not inspector.problems + answers.problems, "\n".join(inspector.problems + answers.problems)


def _box(page: Page) -> Locator:
    return page.get_by_role("checkbox", name=MANAGE)


def _says(page: Page, sentence: str) -> None:
    expect(page.get_by_role("status").filter(has_text=sentence)).to_be_visible()


def _joins(alices: Page, charlies: Page, portal: LivePortal) -> None:
    """Let Alice invite Charlie, who joins."""
    alices.goto("/apps/calc/team/invite/")
    alices.get_by_label("E-mail").fill(portal.person("Charlie").email)
    alices.get_by_label("Role").select_option("Application Operator (deploys)")
    alices.get_by_role("main").get_by_role("button").first.click()
    _says(alices, "An invitation is on its way")
    letter = portal.mail(portal.person("Charlie").email, "Alice Adams invites you to the team of Calc")
    link = re.search(r"http://\S+/invitations/\S+", letter)
    assert link
    charlies.goto(link[0])
    steps.press(charlies, "Join the team")
    _says(charlies, "You are in the team of Calc as Application Operator.")


def _switches(page: Page, granted: bool) -> None:
    page.goto(TEST)
    _box(page).set_checked(granted)
    steps.press(page, "Save permissions on Test")
    _says(page, "Saved: Charlie Clark on Test.")
    expect(_box(page)).to_be_checked(checked=granted)


def _offers(page: Page, inspector: Inspector) -> None:
    page.goto("/apps/calc/team/")
    steps.go(page, "Hand over…")
    steps.sees(page, "Hand over the Technical Contact")
    page.get_by_role("link", name="Choose Bob Brown").click()
    steps.sees(page, "Hand over Calc to Bob Brown")
    inspector.visit(page.url)
    page.get_by_label("Type Calc to confirm").fill("Bob")
    steps.press(page, "Offer it to Bob Brown")
    expect(page.get_by_text("This is not the name. Type Calc.")).to_be_visible()
    page.get_by_label("Type Calc to confirm").fill("Calc")
    steps.press(page, "Offer it to Bob Brown")
    _says(page, "Offered to Bob Brown, who was told by mail. It stands for seven days.")
    inspector.visit(HAND_OVER)


def _accepts(page: Page, phone: steps.Phone, inspector: Inspector) -> None:
    """Bob sees the offer where he begins; looking at it asks for his code."""
    inspector.visit("/")
    expect(page.get_by_text("Alice Adams offers you the role of the Technical Contact of Calc.")).to_be_visible()
    steps.go(page, "Look at the offer")
    steps.enter_code(page, phone)
    steps.sees(page, "Become the Technical Contact of Calc?")
    inspector.visit(HAND_OVER)
    steps.press(page, "Become the Technical Contact")
    _says(page, "You are the Technical Contact of Calc now. Alice Adams was told.")
