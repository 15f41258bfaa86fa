"""Uploads to the real web server: dropped on the page, cancelled, cut off, refused; memory stays flat."""

import base64
import os
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from deployments.runtimes.processes import descendants
from tests.bench.browser import Browser
from tests.journeys import steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal

UPLOAD = "/apps/calc/packages/upload/"
MIB = 1024 * 1024
EDGE = "edge-of-the-form"
PATIENCE = 20  # seconds
SETTINGS = {"PACKAGE_MAX_BYTES": str(400 * MIB)}
DROP = """async ([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt());
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragover", "drop"]) {
    document.querySelector("h1").dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""


def package_of(folder: Path, megabytes: int, name: str = "large") -> Path:
    """Make a package of so many MiB that are stored as they are; random ones in front, so that no two are the same."""
    path = folder / f"{name}-1.0.{time.monotonic_ns()}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Procfile", "web: python3 app.py\n")
        with archive.open(zipfile.ZipInfo("data.bin"), "w", force_zip64=True) as place:
            place.write(os.urandom(MIB))
            for _ in range(megabytes - 1):
                place.write(bytes(MIB))
    return path


def kept(portal: LivePortal) -> set[Path]:
    return {path for folder in ("storage", "uploads") for path in (portal.var / folder).rglob("*") if path.is_file()}


def until(condition: object, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture
def page(portal: LivePortal, new_context: NewContext) -> Page:
    page = new_context().new_page()
    steps.sign_in(page, portal.person("Alice"))
    page.goto(UPLOAD)
    return page


@pytest.fixture
def alice(portal: LivePortal) -> Iterator[Browser]:
    browser, person = Browser(portal.url), portal.person("Alice")
    fields = {"username": person.email, "password": person.password}
    browser.send("/sign-in/", fields | {"csrfmiddlewaretoken": browser.token("/sign-in/")})
    yield browser
    browser.connection.close()


def send_slowly(page: Page, kilobytes_a_second: int) -> None:
    """Let the browser's connection be as slow as this."""
    network = page.context.new_cdp_session(page)
    rate = kilobytes_a_second * 1024
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    network.send("Network.emulateNetworkConditions", conditions)


def test_a_file_is_dropped_on_the_page_and_its_way_is_shown(page: Page, tmp_path: Path) -> None:
    archive = package_of(tmp_path, 3, "dropped")
    page.evaluate(DROP, [archive.name, base64.b64encode(archive.read_bytes()).decode()])
    page.get_by_label("Description").fill("Fell from above")
    send_slowly(page, 2048)
    steps.press(page, "Upload the package")
    expect(page.get_by_text(re.compile(r"^[0-3]\.\d of 3\.0 MB$"))).to_be_visible()
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()
    expect(steps.heading(page)).to_contain_text("dropped")
    expect(page.get_by_text("is in the repository. Transport it")).to_be_visible()
    expect(page.get_by_text("Fell from above")).to_be_visible()


def test_progress_is_what_has_arrived_and_cancelling_keeps_nothing(
    page: Page, portal: LivePortal, tmp_path: Path
) -> None:
    before = kept(portal)
    page.get_by_label("Package").set_input_files(package_of(tmp_path, 30))
    page.get_by_label("Description").fill("Too early")
    send_slowly(page, 2048)
    steps.press(page, "Upload the package")
    expect(page.get_by_text(re.compile(r"^[1-9]\d*\.\d of 30\.0 MB$"))).to_be_visible()
    done, total = page.get_by_role("progressbar", name="Upload").evaluate("(bar) => [bar.value, bar.max]")
    assert 0 < done < total
    steps.press(page, "Cancel the upload")
    expect(page.get_by_role("alert")).to_have_text("You cancelled the upload. Nothing was kept.")
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_label("Description")).to_have_value("Too early")
    expect(page.get_by_label("Package")).to_be_focused()
    until(lambda: kept(portal) == before, "Something was kept")


def test_what_is_refused_is_said_at_the_field_and_the_page_stays(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no archive, but long enough to be one")
    page.get_by_label("Package").set_input_files(bad)
    page.get_by_label("Description").fill("Kept")
    steps.press(page, "Upload the package")
    expect(page.get_by_role("alert")).to_have_text("The file is not a zip archive.")
    expect(page.get_by_label("Description")).to_have_value("Kept")
    assert page.get_by_label("Package").evaluate("(field) => field.files[0].name") == "bad.zip"
    steps.press(page, "Upload the package")
    expect(page.get_by_role("alert")).to_have_text("The file is not a zip archive.")


def test_a_file_beyond_the_limit_is_not_sent(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    large.touch()
    os.truncate(large, 401 * MIB)
    page.get_by_label("Package").set_input_files(large)
    steps.press(page, "Upload the package")
    expect(page.get_by_role("alert")).to_contain_text("This file is larger than 400 MB. Nothing was sent.")


def test_a_sign_in_that_ended_loses_nothing(page: Page, portal: LivePortal) -> None:
    """Signed out in another tab, in again there: the page that waited goes on, with the token of now."""
    page.get_by_label("Package").set_input_files(portal.packages[0])
    tab = page.context.new_page()
    tab.goto("/account/")
    steps.press(tab, "Sign out")
    steps.press(page, "Upload the package")
    expect(page.get_by_role("alert")).to_contain_text("You are signed out")
    steps.sign_in(tab, portal.person("Alice"))
    steps.press(page, "Upload the package")
    expect(page.get_by_text("The very same file is in the repository already")).to_be_visible()


def head_of(alice: Browser, length: int) -> bytes:
    """The beginning of an upload of so many bytes, as a browser would send it."""
    cookies = "; ".join(f"{name}={each.value}" for name, each in alice.cookies.items())
    field = f'--{EDGE}\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    form = field % "csrfmiddlewaretoken" + alice.token(UPLOAD) + "\r\n" + field % 'file"; filename="large-1.zip'
    lines = [
        f"POST {UPLOAD} HTTP/1.1",
        f"Host: {alice.host}",
        f"Cookie: {cookies}",
        f"Content-Type: multipart/form-data; boundary={EDGE}",
        f"Content-Length: {len(form) + length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + form).encode()


def connected(portal: LivePortal) -> socket.socket:
    parts = urlsplit(portal.url)
    return socket.create_connection(("127.0.0.1", parts.port or 80), timeout=PATIENCE)


def test_a_dropped_connection_leaves_nothing(portal: LivePortal, alice: Browser) -> None:
    before = kept(portal)
    with connected(portal) as connection:
        connection.sendall(head_of(alice, 100 * MIB) + bytes(20 * MIB))
        until(lambda: kept(portal) - before, "Nothing arrived")
    until(lambda: kept(portal) == before, "Something was kept")


def test_too_large_a_body_is_refused_unread(portal: LivePortal, alice: Browser) -> None:
    before = kept(portal)
    with connected(portal) as connection:
        connection.sendall(head_of(alice, 402 * MIB))
        answer = connection.recv(64 * 1024)
    assert b" 413 " in answer.splitlines()[0]
    assert kept(portal) == before


def test_memory_stays_flat_while_a_large_package_comes_and_goes(
    portal: LivePortal, alice: Browser, tmp_path: Path
) -> None:
    small, large = package_of(tmp_path, 2), package_of(tmp_path, 300)
    download(portal, alice, send(portal, alice, small))
    before = most_memory(portal)
    address = send(portal, alice, large)
    assert download(portal, alice, address) == large.stat().st_size
    assert most_memory(portal) - before < 16 * MIB


def send(portal: LivePortal, alice: Browser, archive: Path) -> str:
    tail = f"\r\n--{EDGE}--\r\n".encode()
    with connected(portal) as connection, archive.open("rb") as file:
        connection.sendall(head_of(alice, archive.stat().st_size + len(tail)))
        connection.sendfile(file)
        connection.sendall(tail)
        answer = connection.recv(64 * 1024).decode()
    found = re.search(r"Location: (\S+)", answer)
    assert found, answer
    return found[1]


def download(portal: LivePortal, alice: Browser, address: str) -> int:
    """Download a package and give how many bytes came."""
    cookies = "; ".join(f"{name}={each.value}" for name, each in alice.cookies.items())
    with connected(portal) as connection:
        lines = [f"GET {address}download/ HTTP/1.0", f"Host: {alice.host}", f"Cookie: {cookies}"]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = connection.makefile("rb")
        assert b" 200 " in answer.readline()
        while answer.readline().strip():
            pass
        return sum(iter(lambda: len(answer.read(MIB)), 0))


def most_memory(portal: LivePortal) -> int:
    """Give the most memory that a process of the web server has ever had, in bytes (proc(5), VmHWM)."""
    port = urlsplit(portal.url).port
    servers = [pid for pid in descendants(os.getpid()) if f":{port}" in command_of(pid)]
    found = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in servers]
    assert len(servers) >= 2
    return max(int(each[1]) for each in found if each) * 1024


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
