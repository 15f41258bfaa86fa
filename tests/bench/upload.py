"""How long it takes until a large package is in the repository, against copying and hashing the same file.

The floor is what can't be left out: `cp` to the same disk, then `openssl dgst -sha256`. The portal takes the file
through its own web server, checks every entry's checksum and hashes it.
"""

import http.client
import os
import secrets
import subprocess
import time
import zipfile
from pathlib import Path
from statistics import median

from django.conf import settings

from accounts.actor import Actor
from accounts.models import User
from deployments.models import Package
from environments.flows import create_app
from tests.bench.browser import Browser
from tests.bench.report import Line, seconds
from tests.bench.served import PORTAL, Server, serving
from tests.cast import make_person, signed_in

ROUNDS = 5
GIB = 1024**3
PIECE = 8 * 1024**2
MOST_TIMES = 2
PATIENCE = 300
UPLOAD = "/apps/large/packages/upload/"


def measure(size: int = GIB) -> list[Line]:
    """Copy and upload in turns; nothing of either is left."""
    person = make_person("uploader")
    create_app(Actor(person), "Large", "large")
    archive = settings.VAR / "large.zip"
    make_archive(archive, size)
    by_hand, by_portal = [], []
    try:
        with serving(PORTAL) as server:
            browser = browser_of(person, server)
            for _ in range(ROUNDS):
                by_hand.append(copied_and_hashed(archive))
                by_portal.append(uploaded(browser, archive))
                for package in Package.objects.filter(app__slug="large"):
                    package.file.delete(save=False)
                    package.delete()
    finally:
        archive.unlink()
    bare, portal = median(by_hand), median(by_portal)
    times = portal / bare
    goal = f"at most {MOST_TIMES}x"
    what = f"Upload of {size / GIB:.0f} GiB"
    return [Line(what, seconds(bare), seconds(portal), f"{times:.2f}x", goal, times <= MOST_TIMES)]


def make_archive(target: Path, size: int) -> None:
    """Make a package of so many bytes that can't be compressed, as those of images or jars can't."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("Procfile", "web: python3 app.py\n")
        with archive.open(zipfile.ZipInfo("data.bin"), "w", force_zip64=True) as place:
            for _ in range(size // PIECE):
                place.write(os.urandom(PIECE))


def browser_of(person: User, server: Server) -> Browser:
    browser = Browser(f"http://127.0.0.1:{server.port}")
    for name, cookie in signed_in(person).cookies.items():
        browser.cookies[name] = cookie.value
    return browser


def copied_and_hashed(archive: Path) -> float:
    copy = archive.with_name("copy.zip")
    began = time.perf_counter()
    subprocess.run(["cp", archive, copy], check=True)
    subprocess.run(["openssl", "dgst", "-sha256", copy], check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    copy.unlink()
    return took


def uploaded(browser: Browser, archive: Path) -> float:
    """Send the form and give the seconds until the page of the package is what comes next."""
    edge = secrets.token_hex(16)
    field = f'--{edge}\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    head = field % "csrfmiddlewaretoken" + browser.token(UPLOAD) + "\r\n"
    head += field % f'file"; filename="{archive.name}'
    tail = f"\r\n--{edge}--\r\n"
    length = len(head) + archive.stat().st_size + len(tail)
    connection = http.client.HTTPConnection(browser.host, timeout=PATIENCE)
    began = time.perf_counter()
    connection.putrequest("POST", UPLOAD)
    connection.putheader("Cookie", "; ".join(f"{name}={each.value}" for name, each in browser.cookies.items()))
    connection.putheader("Content-Type", f"multipart/form-data; boundary={edge}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(head.encode())
    with archive.open("rb") as file:
        connection.sock.sendfile(file)
    connection.sock.sendall(tail.encode())
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - began
    connection.close()
    if answer.status != 302:
        raise AssertionError(f"The upload answered {answer.status}.")
    return took
