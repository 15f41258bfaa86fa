"""The main job in a browser without scripts: every page works, and a form that met a closed window is kept."""

from playwright.sync_api import BrowserContext, Page, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

NOTE = "Friday evening, because the tax office\nchanged its mind – “really”"


def test_the_main_job_needs_no_scripts(portal: LivePortal, new_context: NewContext) -> None:
    context = new_context(java_script_enabled=False)
    page = context.new_page()
    alice = portal.person("Alice")
    steps.sign_in(page, alice)
    steps.upload(page, portal.packages[2], "Calc 1.2.0")
    steps.transport(page, "Calc 1.2.0", "Test")

    steps.open_package(page, "Calc 1.2.0")
    steps.go(page, "Transport to Production")
    phone = steps.set_up(page, alice, scripted=False)
    steps.sees(page, "Transport Calc 1.2.0 to Production")
    page.get_by_label("Note").fill(NOTE)
    _ends_production_access_in_another_tab(context)
    steps.press(page, "Transport 1.2.0 to Production")
    steps.sees_that_a_code_is_needed(page)
    assert "Friday" not in page.url
    steps.enter_code(page, phone, scripted=False)
    _confirms_once_what_was_kept(page)

    steps.go(page, "Open Production")
    steps.calculate(page, "3*3", "9")


def _ends_production_access_in_another_tab(context: BrowserContext) -> None:
    tab = context.new_page()
    tab.goto("/")
    steps.end_production_access(tab)
    tab.close()


def _confirms_once_what_was_kept(page: Page) -> None:
    """Show what waits, carry it out with one button; the page that offered it has nothing to offer then."""
    steps.sees(page, "Transport Calc 1.2.0 to Production")
    expect(page.get_by_text("This has not been done yet.")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="Friday evening")).to_have_text(NOTE, use_inner_text=True)
    offer = page.url
    steps.press(page, "Transport Calc 1.2.0 to Production")
    steps.runs(page, "Calc 1.2.0", "Production")
    expect(page.get_by_role("definition").filter(has_text="Friday evening")).to_have_text(NOTE, use_inner_text=True)
    job = page.url
    page.goto(offer)
    expect(page.get_by_text("What you had begun was carried out already")).to_be_visible()
    page.goto(job)


def test_what_support_typed_in_the_admin_is_kept(portal: LivePortal, new_context: NewContext) -> None:
    bob, sam = portal.person("Bob"), portal.person("Sam")
    context = new_context(java_script_enabled=False)
    bobs, page = new_context().new_page(), context.new_page()
    steps.sign_in(bobs, bob)
    steps.set_up_from_account(bobs, bob)
    steps.sign_in(page, sam)
    steps.go(page, "Needs a code: Support")
    phone = steps.set_up(page, sam, scripted=False)
    page.goto("/admin/accounts/user/?q=bob")
    page.get_by_role("link", name=bob.name).click()
    steps.go(page, "Disable the authenticator…")
    page.get_by_label("Reason").fill(NOTE)
    page.get_by_label("How did you make sure who asks?").fill("He sits beside me.")

    other_tab = context.new_page()
    other_tab.goto("/")
    steps.end_production_access(other_tab)
    steps.press(page, "Disable 1 authenticator")
    expect(steps.heading(page)).to_contain_text("needs your code")
    steps.enter_code(page, phone, scripted=False)

    expect(page.get_by_text("This has not been done yet.")).to_be_visible()
    for typed in (f"{bob.name} ({bob.email})", NOTE, "He sits beside me."):
        expect(page.get_by_role("definition").filter(has_text=typed.splitlines()[0])).to_have_text(
            typed, use_inner_text=True
        )
    expect(steps.production_access(bobs)).to_be_visible()
    page.get_by_role("main").get_by_role("button").click()
    expect(page.get_by_text(f"Disabled the authenticator of {bob.name}.")).to_be_visible()
    bobs.goto("/")
    expect(steps.production_access(bobs)).to_have_count(0)
