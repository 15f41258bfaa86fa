"""Alice invites Dora, who is new; Dora joins through the link in the mail, gets another role, and leaves."""

import re

from playwright.sync_api import Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person
from tests.journeys.test_accessibility import Inspector

DORA = Person("Dora Dean", "dora@example.org", "seven green bottles", "invited")
TEAM = "/apps/calc/team/"
INVITATION = "Alice Adams invites you to the team of Calc"


def test_dora_is_invited_joins_gets_another_role_and_leaves(portal: LivePortal, new_context: NewContext) -> None:
    alices, doras = new_context().new_page(), new_context().new_page()
    alice, inspector, doras_inspector = portal.person("Alice"), Inspector(alices), Inspector(doras)
    steps.sign_in(alices, alice)
    steps.set_up_from_account(alices, alice)

    _invites(alices)
    inspector.visit(TEAM, TEAM + "invite/", TEAM + "invitations/")
    link = _link(portal)
    doras_inspector.visit(link)
    _joins(doras, link)
    doras_inspector.visit(link, status=404)
    steps.sees(doras, "This invitation is not valid any more")
    steps.go(doras, "Go to your apps")
    steps.sees(doras, "Your apps")

    _changes_the_role(alices, inspector)
    doras.goto(TEAM)
    steps.sees(doras, "You need App Team – Deploy Permissions on Calc")
    assert "Alice Adams changed your role" in portal.mail(DORA.email, "You are Product Owner in the team of Calc now")

    _leaves(doras, doras_inspector)
    alices.goto(TEAM)
    expect(alices.get_by_role("rowheader", name=DORA.name)).to_have_count(0)
    alices.goto("/apps/calc/activity/")
    for sentence in ("Dora Dean joined the team, invited by Alice Adams", "Dora Dean left the team"):
        expect(alices.get_by_role("listitem").filter(has_text=sentence).first).to_be_visible()
    assert not inspector.problems + doras_inspector.problems, "\n".join(inspector.problems + doras_inspector.problems)


def _invites(page: Page) -> None:
    steps.open_app(page)
    steps.go(page, "Team")
    steps.go(page, "Invite somebody")
    page.get_by_label("E-mail").fill(DORA.email)
    page.get_by_label("Role").select_option("Business Engineer (deploys)")
    steps.press(page, "Send the invitation")
    expect(page.get_by_role("status")).to_contain_text(f"An invitation is on its way to {DORA.email}.")
    expect(page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=DORA.email))).to_contain_text("Alice")


def _link(portal: LivePortal) -> str:
    found = re.search(r"\bhttp://\S+(/invitations/\S+)", portal.mail(DORA.email, INVITATION))
    assert found
    return found[1]


def _joins(page: Page, link: str) -> None:
    page.goto(link)
    steps.sees(page, "Join the team of Calc")
    page.get_by_label("Your name").fill(DORA.name)
    page.get_by_label("Password", exact=True).fill("too short")
    page.get_by_label("The password again").fill("too short")
    steps.press(page, "Make my account and join")
    expect(page.get_by_role("main")).to_contain_text("at least 15 characters")
    page.get_by_label("Password", exact=True).fill(DORA.password)
    page.get_by_label("The password again").fill(DORA.password)
    steps.press(page, "Make my account and join")
    steps.sees(page, "Calc")
    expect(page.get_by_role("status")).to_contain_text("You are in the team of Calc as Business Engineer.")
    expect(page.get_by_role("heading", name="Production", exact=True)).to_be_visible()


def _changes_the_role(page: Page, inspector: Inspector) -> None:
    page.goto(TEAM)
    steps.go(page, f"Change role of {DORA.name}")
    steps.sees(page, f"Role of {DORA.name}")
    inspector.visit(page.url)
    page.get_by_label("New role").select_option("Product Owner")
    steps.press(page, "Show what changes")
    steps.sees(page, f"Make {DORA.name} Product Owner")
    inspector.visit(page.url)
    expect(page.get_by_role("main")).to_contain_text("Test: API Rights; Acceptance: API Rights")
    steps.press(page, f"Make {DORA.name} Product Owner")
    expect(page.get_by_role("status")).to_contain_text(f"{DORA.name} is Product Owner now.")


def _leaves(page: Page, inspector: Inspector) -> None:
    steps.open_app(page)
    steps.go(page, "Leave the team…")
    steps.set_up(page, DORA)
    steps.sees(page, "Leave the team of Calc")
    inspector.visit(page.url)
    steps.press(page, "Leave the team of Calc")
    steps.sees(page, "Your apps")
    expect(page.get_by_role("heading", name="Calc")).to_have_count(0)
