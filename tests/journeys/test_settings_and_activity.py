"""Alice dresses her app, adds an environment, renames, moves and deletes it, and finds all of it in the activity."""

import csv
import re

from playwright.sync_api import Locator, Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal
from tests.journeys.test_accessibility import Inspector

PAGE = "/apps/calc/settings/"


def test_alice_sets_up_her_app_and_finds_what_she_did(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context().new_page()
    inspector = Inspector(page)
    steps.sign_in(page, portal.person("Alice"))
    steps.set_up_from_account(page, portal.person("Alice"))
    _dresses_the_app(page)
    inspector.visit(PAGE, PAGE + "add-environment/")
    _adds_and_renames(page)
    inspector.visit(PAGE + "environments/demo/", PAGE + "environments/demo/delete/", PAGE + "delete/")
    _moves(page)
    _deletes(page)
    _finds_it(page, inspector)
    _downloads(page)
    assert not inspector.problems, "\n".join(inspector.problems)


def _dresses_the_app(page: Page) -> None:
    steps.open_app(page)
    steps.go(page, "Settings")
    page.get_by_label("Description").fill("Adds up what the office spends.")
    page.get_by_label("Teal").check()
    steps.press(page, "Save")
    _says(page, "Saved.")
    steps.open_app(page)
    expect(page.locator(".lead")).to_have_text("Adds up what the office spends.")
    expect(page.get_by_role("main").locator(".picture.teal")).to_be_visible()


def _adds_and_renames(page: Page) -> None:
    page.goto(PAGE)
    steps.go(page, "Add an environment")
    steps.sees(page, "Add an environment")
    page.get_by_label("Name").fill("test")
    steps.press(page, "Add environment")
    expect(page.get_by_text("The app has an environment of this name.")).to_be_visible()
    page.get_by_label("Name").fill("Demo")
    steps.press(page, "Add environment")
    _says(page, "Demo is there.")
    expect(_row(page, "Demo")).to_contain_text("demo--calc")

    steps.go(page, "Rename Demo")
    steps.sees(page, "Rename Demo")
    page.get_by_label("Name").fill("Showcase")
    steps.press(page, "Rename")
    _says(page, "Demo is called Showcase now.")
    expect(_row(page, "Showcase")).to_contain_text("demo--calc")


def _moves(page: Page) -> None:
    page.goto(PAGE)
    assert _order(page) == ["Test", "Acceptance", "Production", "Showcase"]
    steps.press(page, "Move Showcase Up")
    _says(page, "Showcase was moved up.")
    page.get_by_role("button", name="Move Showcase Up", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("rowheader").nth(1)).to_have_text("Showcase")
    assert _order(page) == ["Test", "Showcase", "Acceptance", "Production"]


def _deletes(page: Page) -> None:
    steps.go(page, "Delete… Showcase")
    page.get_by_label("Type Showcase to confirm").fill("Demo")
    steps.press(page, "Delete Showcase")
    expect(page.get_by_text("This is not the name. Type Showcase.")).to_be_visible()
    page.get_by_label("Type Showcase to confirm").fill("showcase")
    steps.press(page, "Delete Showcase")
    _says(page, "Showcase was deleted.")
    assert _order(page) == ["Test", "Acceptance", "Production"]


def _finds_it(page: Page, inspector: Inspector) -> None:
    steps.go(page, "Activity")
    page.get_by_label("Kind").select_option("Settings")
    page.get_by_label("Environment").select_option("Showcase (deleted)")
    page.get_by_label("Person").fill("alice adams")
    steps.press(page, "Filter")
    expect(page).to_have_url(re.compile(r"person=alice\+adams&.*kind=settings"))
    entries = page.get_by_role("main").get_by_role("listitem")
    expect(entries).to_have_count(3)
    expect(entries.first).to_contain_text("Alice Adams deleted the environment Showcase")
    expect(entries.nth(1)).to_contain_text("Name: Demo")
    inspector.visit(
        page.url, "/apps/calc/activity/?person=nobody", "/apps/calc/activity/?since=2026-03-04&until=2026-03-01"
    )
    inspector.visit("/apps/calc/environments/test/activity/", "/apps/calc/environments/production/activity/")


def _downloads(page: Page) -> None:
    page.goto("/apps/calc/activity/?kind=settings")
    with page.expect_download() as downloading:
        steps.go(page, "Download as CSV")
    with downloading.value.path().open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [row["What"] for row in rows][:2] == ["deleted the environment", "changed the order of the environments"]
    assert rows[-1]["What"] == "created the app"


def _row(page: Page, environment: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=environment, exact=True))


def _order(page: Page) -> list[str]:
    return [text.strip() for text in page.get_by_role("rowheader").all_inner_texts()]


def _says(page: Page, sentence: str) -> None:
    expect(page.get_by_role("status").filter(has_text=sentence)).to_be_visible()
