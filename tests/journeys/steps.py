"""What people do in front of the portal, in their own words: sign in, scan, type, press, and look."""

import http.client
import io
import re
import threading
import time
from base64 import b32decode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import zxingcpp
from django_otp.oath import hotp
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.journeys.live import Person

STEP = 30  # seconds, RFC 6238
JOB_MS = 30_000


class Phone:
    """An authenticator app: it has what the QR code said, and shows each code once.

    A code is accepted once, so somebody who needs a second one in the same half minute waits. A story
    doesn't: its phone is one step ahead then, which is tolerated. Only for a third one it waits.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
        self.label = unquote(parts.path.removeprefix("/"))
        self.secret_text = parse_qs(parts.query)["secret"][0]
        self.secret = b32decode(self.secret_text)
        self._last = 0

    def code(self) -> str:
        now = time.time()
        step = max(self._last + 1, int(now // STEP))
        if (wait := (step - 1) * STEP - now) > 0:
            time.sleep(wait)
        self._last = step
        return self._at(step)

    def code_ahead(self, minutes: int) -> str:
        """Give the code of a phone whose clock is ahead."""
        return self._at(int(time.time() // STEP) + minutes * 60 // STEP)

    def wrong_code(self) -> str:
        """Give a code that is not right within an hour."""
        now = int(time.time() // STEP)
        right = {self._at(step) for step in range(now - 120, now + 120)}
        return next(code for code in (f"{number:06d}" for number in range(1000)) if code not in right)

    def _at(self, step: int) -> str:
        return f"{hotp(self.secret, step):06d}"


def heading(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def sees(page: Page, title: str) -> None:
    """Wait for the page with this heading."""
    expect(heading(page)).to_have_text(title)


def sees_that_a_code_is_needed(page: Page) -> None:
    expect(heading(page)).to_have_text(re.compile("Production.* needs your code$"))


def go(page: Page, link: str) -> None:
    page.get_by_role("link", name=link, exact=True).first.click()


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def sign_in(page: Page, person: Person) -> None:
    try_to_sign_in(page, person.email, person.password)
    sees(page, "Your apps")


def try_to_sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    press(page, "Sign in")


def open_app(page: Page, name: str = "Calc") -> None:
    page.goto("/")
    page.get_by_role("heading", name=name, exact=True).get_by_role("link").click()
    sees(page, name)


def read_qr(page: Page) -> str:
    """Give what a camera reads off the page."""
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(page.screenshot(full_page=True))))
    assert len(found) == 1, f"{len(found)} QR codes on the page"
    return str(found[0].text)


def set_up(page: Page, person: Person, scripted: bool = True) -> Phone:
    """Go through the page that sets up an authenticator; give the phone that has it now."""
    sees(page, "Set up your authenticator")
    page.get_by_label("Your password").fill(person.password)
    press(page, "Continue")
    return scan(page, scripted)


def scan(page: Page, scripted: bool = True) -> Phone:
    """Scan the QR code and type the first code."""
    phone = Phone(read_qr(page))
    enter_code(page, phone, "Set up and unlock production", scripted)
    expect(page.get_by_text("Your authenticator is set up.", exact=True)).to_be_visible()
    return phone


def enter_code(
    page: Page, phone: Phone, button: str = "Unlock production for eight hours", scripted: bool = True
) -> None:
    """Type six digits; the page sends them by itself, unless it has no scripts."""
    type_code(page, phone.code(), button, scripted)


def type_code(
    page: Page,
    code: str,
    button: str = "Unlock production for eight hours",
    scripted: bool = True,
    label: str = "Code from your authenticator",
) -> None:
    page.get_by_label(label).fill(code)
    if not scripted:
        press(page, button)


def set_up_from_account(page: Page, person: Person, scripted: bool = True) -> Phone:
    page.goto("/account/")
    go(page, "Set it up now")
    phone = set_up(page, person, scripted)
    expect(production_access(page)).to_be_visible()
    return phone


def production_access(page: Page) -> Locator:
    return page.get_by_role("banner").get_by_text("Production access until")


def end_production_access(page: Page) -> None:
    press(page, "End production access")
    expect(page.get_by_role("status").filter(has_text="Production access ended.")).to_be_visible()
    expect(production_access(page)).to_have_count(0)


def open_package(page: Page, package: str, app: str = "Calc") -> None:
    open_app(page, app)
    page.get_by_role("rowheader").get_by_role("link", name=package, exact=True).click()
    expect(heading(page)).to_have_text(package)


def upload(page: Page, archive: Path, package: str, app: str = "Calc") -> None:
    open_app(page, app)
    go(page, "Upload a package")
    page.get_by_label("Package").set_input_files(archive)
    press(page, "Upload the package")
    sees(page, package)


def confirm_transport(page: Page, package: str, environment: str) -> None:
    sees(page, f"Transport {package} to {environment}")
    press(page, f"Transport {package.rpartition(' ')[2]} to {environment}")
    expect(page).to_have_url(re.compile(r"/deployments/\d+/$"))


def transport(page: Page, package: str, environment: str, app: str = "Calc") -> None:
    """Bring a package to an environment, from the package's page, and wait until it runs there."""
    open_package(page, package, app)
    go(page, f"Transport to {environment}")
    confirm_transport(page, package, environment)
    runs(page, package, environment)


def runs(page: Page, package: str, environment: str) -> None:
    """Wait until the page of a job says that all is well."""
    sentence = page.get_by_role("status").get_by_text(f"{package} runs on {environment} since")
    expect(sentence).to_be_visible(timeout=JOB_MS)


def card(page: Page, environment: str) -> Locator:
    """Give what an app's page says of an environment."""
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=environment, exact=True))


def calculate(page: Page, calculation: str, result: str) -> None:
    """Use Calc, on the page that the browser shows."""
    page.get_by_label("Calculation").fill(calculation)
    press(page, "equals")
    expect(page.get_by_role("listitem").first).to_have_text(f"{calculation} = {result}")


def ask(address: str, path: str = "/version") -> tuple[int, str]:
    """Ask an app for a page as anybody may; Python's resolver doesn't know *.localhost, so by the Host header."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": parts.netloc})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@contextmanager
def visitors(address: str) -> Iterator[Counter[str]]:
    """Let requests come in all the while; gives how often each answer was given, whatever it was."""
    answers: Counter[str] = Counter()
    leave = threading.Event()

    def visit() -> None:
        while not leave.wait(0.01):
            try:
                status, text = ask(address)
                answers[text.strip() if status == 200 else f"{status}"] += 1
            except (OSError, http.client.HTTPException) as failure:
                answers[repr(failure)] += 1

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield answers
    finally:
        leave.set()
        thread.join()
