"""Every page for everybody: screen readers, keyboards, small screens, dark rooms, strict browsers, slow lines."""

from collections.abc import Iterator
from typing import Any

import html5lib
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import ConsoleMessage, Page, Response, expect

from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

LARGEST_PAGE = 50_000  # bytes of HTML: under a second on a slow mobile line (400 kbit/s), styles being cached
NARROWEST = 320  # WCAG 2.2, 1.4.10
MOST_TABS = 60
AXE_RUN = "async (options) => { const { url, violations } = await axe.run(options); return { url, violations }; }"
EVERYTHING = {"resultTypes": ["violations"], "preload": False}
COLOURS = EVERYTHING | {"runOnly": ["color-contrast"]}
APP = "/apps/calc/"
TEST, PRODUCTION = APP + "environments/test/", APP + "environments/production/"

BEFORE_SIGN_IN = ("/sign-in/", "/account/password/reset/", "/account/password/reset/sent/")
OF_A_PERSON = (
    *("/", "/apps/new/", "/account/", "/account/password/", "/account/e-mail/", "/account/history/"),
    *("/authenticator/help/", "/authenticator/"),
)
OF_AN_APP = (
    *("", "packages/", "packages/?q=nothing", "packages/upload/", "activity/", "alerts/", "team/", "team/leave/"),
    *("permissions/test/", "permissions/acceptance/", "permissions/production/?q=bob", "production-access/", "team/2/"),
    *("technical-contact/", "technical-contact/2/"),
)
OF_AN_ENVIRONMENT = (
    *("", "transport/", "stop/", "restart/", "start/", "deployments/", "deployments/1/"),
    *("logs/", "logs/?q=listens", "logs/days/", "metrics/?range=hour", "backups/"),
)
OF_TEST = (TEST + "clear/", TEST + "deployments/1/cancel/")
OF_PRODUCTION = tuple(
    PRODUCTION + each for each in ("options/", "options/events/Trim%20history/", "deployments/1/roll-back/")
)
OF_SUPPORT = (
    *("", "accounts/user/", "accounts/user/2/change/", "accounts/activity/", "accounts/resetrequest/"),
    *("accounts/user/disable/?people=1,2", "environments/app/", "environments/app/1/appoint/"),
)


class Inspector:
    """Looks at one page after the other and writes down all that is wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self._listens = True
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))

    def visit(self, *addresses: str, status: int = 200, ours: bool = True) -> None:
        for address in addresses:
            answer = self.page.goto(address)
            assert answer
            assert answer.status == status, address
            self.look(answer, ours)

    def look(self, answer: Response, ours: bool = True) -> None:
        """Look at the page that the browser shows; markup and width of what Django's admin writes are left to it."""
        where = self.page.url
        self.problems += [f"{where}: {problem}" for problem in self._of_the_picture(ours)]
        if ours:
            self.problems += [f"{where}: {problem}" for problem in _of_the_markup(answer.body())]
            self.problems += [f"{where}: {problem}" for problem in self._of_the_width()]

    def look_at_what_opened(self) -> None:
        self.problems += [f"{self.page.url}, opened: {problem}" for problem in self._of_the_picture(True)]

    def _of_the_picture(self, ours: bool) -> Iterator[str]:
        yield from self._by_axe(EVERYTHING)
        self.page.emulate_media(color_scheme="dark")
        if not ours:
            self.page.reload()  # the admin's links change their colour slowly
        yield from self._by_axe(COLOURS)
        self.page.emulate_media(color_scheme="light")

    def _by_axe(self, options: dict[str, Any]) -> Iterator[str]:
        self._listens = False  # what axe tries is not the page's doing
        if self.page.evaluate("window.axe === undefined"):
            self.page.evaluate(AXE_SCRIPT)
        found = AxeResults(self.page.evaluate(AXE_RUN, options))
        self._listens = True
        if found.violations_count:
            yield found.generate_report()

    def _of_the_width(self) -> Iterator[str]:
        size = self.page.viewport_size
        assert size
        self.page.set_viewport_size({"width": NARROWEST, "height": 700})
        width = self.page.evaluate("document.documentElement.scrollWidth")
        if width > NARROWEST:
            yield f"{width} pixels wide"
        self.page.set_viewport_size(size)

    def _console(self, message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource") and message.location.get("url") == self.page.url
        if self._listens and message.type in ("error", "warning") and not refused:
            self.problems.append(f"{self.page.url}: {message.text}")


def _of_the_markup(body: bytes) -> Iterator[str]:
    if len(body) > LARGEST_PAGE:
        yield f"{len(body)} bytes"
    parser = html5lib.HTMLParser()
    parser.parse(body)
    yield from (f"{code} at {place}: {facts}" for place, code, facts in parser.errors)


def test_every_page_is_for_everybody(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context().new_page()
    alice = portal.person("Alice")
    inspector = Inspector(page)
    inspector.visit(*BEFORE_SIGN_IN)
    steps.sign_in(page, alice)
    inspector.visit("/", APP, TEST, TEST + "options/")  # while nothing is there yet
    steps.transport(page, "Calc 1.0.0", "Test")

    answer = page.goto(PRODUCTION)
    assert answer
    inspector.look(answer)  # set-up, before the password
    page.get_by_label("Your password").fill(alice.password)
    with page.expect_navigation() as scanning:
        steps.press(page, "Continue")
    inspector.look(scanning.value)
    steps.scan(page)
    steps.transport(page, "Calc 1.1.0", "Production")

    inspector.visit(*OF_A_PERSON, *(APP + each for each in OF_AN_APP))
    inspector.visit(*(TEST + each for each in OF_AN_ENVIRONMENT), *(PRODUCTION + each for each in OF_AN_ENVIRONMENT))
    inspector.visit(*OF_TEST, *OF_PRODUCTION)
    inspector.visit("/apps/no-such-app/", status=404)
    steps.open_package(page, "Calc 1.0.0")
    inspector.visit(page.url + "delete/")
    steps.open_package(page, "Calc 1.1.0")
    inspector.visit(page.url)
    inspector.visit(page.get_by_role("link", name="Transport to Production").get_attribute("href") or "")

    other_tab = page.context.new_page()
    other_tab.goto("/")
    steps.end_production_access(other_tab)
    steps.press(page, "Transport 1.1.0 to Production")
    expect(page.get_by_role("dialog")).to_be_visible()
    inspector.look_at_what_opened()
    inspector.visit(APP, PRODUCTION)
    assert not inspector.problems, "\n".join(inspector.problems)


def test_support_and_the_refused_see_pages_for_everybody(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context().new_page()
    inspector = Inspector(page)
    steps.sign_in(page, portal.person("Sam"))
    page.goto("/admin/")
    steps.set_up(page, portal.person("Sam"))
    inspector.visit(*("/admin/" + each for each in OF_SUPPORT), ours=False)

    page = new_context().new_page()
    refused = Inspector(page)
    steps.sign_in(page, portal.person("Charlie"))
    refused.visit("/")
    refused.visit(APP, status=404)
    page.get_by_role("banner").get_by_role("button", name="Sign out").click()
    steps.sign_in(page, portal.person("Bob"))
    refused.visit("/", APP, TEST, APP + "team/", APP + "permissions/test/")
    refused.visit(PRODUCTION + "transport/", status=403)
    assert not inspector.problems + refused.problems, "\n".join(inspector.problems + refused.problems)


def test_the_keyboard_leads_from_sign_in_to_production(portal: LivePortal, new_context: NewContext) -> None:
    page = new_context().new_page()
    bob = portal.person("Bob")
    page.goto("/sign-in/")
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(bob.email)
    page.keyboard.press("Tab")
    page.keyboard.type(bob.password)
    page.keyboard.press("Enter")
    steps.sees(page, "Your apps")
    page.keyboard.press("Tab")
    assert _focused(page) == "Skip to content"

    _tabs_to(page, "Calc")
    steps.sees(page, "Calc")
    _tabs_to(page, "Production")
    steps.sees(page, "Set up your authenticator")
    expect(page.get_by_label("Your password")).to_be_focused()
    page.keyboard.type(bob.password)
    page.keyboard.press("Enter")
    phone = steps.Phone(steps.read_qr(page))
    expect(page.get_by_label("Code from your authenticator")).to_be_focused()
    page.keyboard.type(phone.code())
    steps.sees(page, "Production")

    _tabs_to(page, "End production access")
    expect(page.get_by_text("Production access ended.")).to_be_visible()
    page.goto(PRODUCTION)
    steps.sees_that_a_code_is_needed(page)
    expect(page.get_by_label("Code from your authenticator")).to_be_focused()
    page.keyboard.type(phone.code())
    steps.sees(page, "Production")


def _tabs_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus, then Enter."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        assert _shows_its_focus(page), f"{_focused(page)} has the focus and doesn't show it"
        if _focused(page) == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"No Tab leads to {name}")


def _focused(page: Page) -> str:
    words = "(document.activeElement.ariaLabel || document.activeElement.innerText || '').trim()"
    return str(page.evaluate(words))


def _shows_its_focus(page: Page) -> bool:
    return bool(page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'"))
