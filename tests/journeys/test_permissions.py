"""Who may do what where: an outside developer is limited to Acceptance, and two browsers save the same page."""

import csv
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal
from tests.journeys.test_accessibility import Inspector

TEST = "/apps/calc/permissions/test/"


def box(page: Page, permission: str, who: str = "Bob Brown") -> Locator:
    return page.get_by_role("checkbox", name=f"{permission} for {who}")


def says(page: Page, sentence: str) -> None:
    expect(page.get_by_role("status").filter(has_text=sentence)).to_be_visible()


def test_an_outside_developer_is_limited_to_acceptance(portal: LivePortal, new_context: NewContext) -> None:
    page, bobs = new_context().new_page(), new_context().new_page()
    steps.sign_in(page, portal.person("Alice"))
    steps.open_app(page)
    steps.go(page, "Permissions")
    steps.sees(page, "Permissions on Test")
    for permission in ("Transport Rights", "API Rights"):
        box(page, permission).uncheck()
    steps.press(page, "Save permissions on Test")
    says(page, "Saved: Bob Brown on Test.")
    steps.go(page, "Acceptance")
    steps.sees(page, "Permissions on Acceptance")
    expect(box(page, "Transport Rights")).to_be_checked()

    steps.sign_in(bobs, portal.person("Bob"))
    steps.transport(bobs, "Calc 1.0.0", "Acceptance")
    bobs.goto("/apps/calc/environments/test/transport/")
    steps.sees(bobs, "You need Transport Rights on Calc, Test")
    expect(bobs.get_by_role("link", name=portal.person("Alice").email)).to_be_visible()
    bobs.goto("/apps/calc/permissions/acceptance/")
    expect(bobs.get_by_role("checkbox")).to_have_count(1)

    steps.go(page, "Who can reach production")
    steps.set_up(page, portal.person("Alice"))
    steps.sees(page, "Who can reach production")
    expect(page.get_by_text("1 person can reach production. Nobody can without a code.")).to_be_visible()
    with page.expect_download() as download:
        steps.go(page, "All permissions as CSV")
    bob = {row["Environment"]: row["Granted"] for row in _transport_rights_of("Bob Brown", download.value.path())}
    assert bob == {"Test": "no", "Acceptance": "yes", "Production": "no"}


def _transport_rights_of(name: str, file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = list(csv.DictReader(text, strict=True))
    return [row for row in rows if (row["Name"], row["Permission"]) == (name, "Transport Rights")]


def test_two_browsers_save_the_same_page(portal: LivePortal, new_context: NewContext) -> None:
    plain, page = new_context(java_script_enabled=False).new_page(), new_context().new_page()
    for each in (plain, page):
        steps.sign_in(each, portal.person("Alice"))
        each.goto(TEST)
    box(plain, "Access to Backups").check()
    steps.press(plain, "Save permissions on Test")
    says(plain, "Saved: Bob Brown on Test.")

    inspector = Inspector(page)
    box(page, "Access to Monitoring").check()
    with page.expect_navigation() as told:
        steps.press(page, "Save permissions on Test")
    assert told.value.status == 409
    says(page, "The permissions of Bob Brown were changed since you opened this page. Nothing was saved.")
    expect(box(page, "Access to Backups")).to_have_accessible_description(
        re.compile(r"^Was off when you opened the page\. Alice Adams turned it on at \d\d:\d\d\.$")
    )
    expect(box(page, "Access to Backups")).to_be_checked()
    expect(box(page, "Access to Monitoring")).to_be_checked()
    inspector.look(told.value)
    assert not inspector.problems, "\n".join(inspector.problems)

    box(page, "Access to Backups").uncheck()
    steps.press(page, "Save permissions on Test")
    says(page, "Saved: Bob Brown on Test.")
    plain.reload()
    expect(box(plain, "Access to Backups")).not_to_be_checked()
    expect(box(plain, "Access to Monitoring")).to_be_checked()
