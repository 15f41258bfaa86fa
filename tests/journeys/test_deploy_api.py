"""A CI system deploys: the examples of docs/deploy-api.md against the real portal, and its description held to it."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from deployments.api.table import CALLS
from tests.journeys import ci, steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person
from tests.journeys.test_accessibility import Inspector
from tests.journeys.test_upload import MIB, connected, kept, most_memory, package_of, until

SETTINGS = {"API_CALLS_PER_MINUTE": "1000000", "API_WRONG_KEYS_PER_MINUTE": "1000000"}
EXAMPLES = 6
OPERATIONS = sum(len(call.by_method) for call in CALLS)
# The interface answers with 500 where nothing is wrong with the portal: which codes those are stands in the
# description, and that no other one comes is checked with it. What is not there is a 400 for some of its calls.
ALLOWED = """
[checks]
not_a_server_error.enabled = false

[[operations]]
include-path = [
    "/apps/{AppId}/environments/{Mode}/settings/",
    "/apps/{AppId}/environments/{Mode}/restore/{SnapshotId}",
    "/apps/{AppId}/environments/{Mode}/snapshots",
]
checks.positive_data_acceptance.enabled = false
"""


@pytest.fixture(scope="module")
def variables(portal: LivePortal) -> dict[str, str]:
    """What a CI system knows of the portal."""
    alice = portal.person("Alice")
    key = ci.make_key(portal, alice)
    return {"DEPLOY_URL": portal.url, "DEPLOY_APP": "calc", "DEPLOY_USER": alice.email, "DEPLOY_KEY": key}


def answers(portal: LivePortal, slug: str) -> str:
    return steps.ask(portal.environment_url(slug))[1]


def test_the_script_for_the_shell_brings_a_package_and_then_the_next_one(
    portal: LivePortal, variables: dict[str, str], tmp_path: Path
) -> None:
    for version in ("1.0", "1.1"):
        folder = tmp_path / version
        ci.sources(folder, version)
        commands = ["python3 -m zipfile -c calc.zip Procfile app.py model", "sh deploy.sh calc.zip test"]
        done = ci.run(commands, folder, variables)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("calc.zip runs on test.\n")
        assert answers(portal, "test") == version
        assert variables["DEPLOY_KEY"] not in done.stdout + done.stderr


def test_the_script_says_what_went_wrong_and_fails(variables: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    ci.sources(folder, "1.2")
    (folder / "app.py").write_text("raise SystemExit('no database')")
    done = ci.run(["python3 -m zipfile -c calc.zip Procfile app.py", "sh deploy.sh calc.zip test"], folder, variables)
    assert done.returncode != 0
    assert "START_FAILED" in done.stderr
    done = ci.run(["sh deploy.sh Procfile test"], folder, variables)
    assert done.returncode != 0
    assert "INVALID_PACKAGE" in done.stderr
    done = ci.run(["sh deploy.sh calc.zip test"], folder, variables | {"DEPLOY_KEY": "dp_00000000_0"})
    assert done.returncode != 0
    assert "UNAUTHORIZED" in done.stderr


@pytest.mark.parametrize(
    ("system", "environment", "from_secrets"),
    [("GitHub Actions", "acceptance", "${{ secrets.DEPLOY_KEY }}"), ("GitLab CI", "test", None)],
)
def test_the_example_for_a_ci_system(
    portal: LivePortal,
    variables: dict[str, str],
    tmp_path: Path,
    system: str,
    environment: str,
    from_secrets: str | None,
) -> None:
    example = ci.example_of(system)
    assert example.variables.get("DEPLOY_KEY") == from_secrets
    assert set(example.variables) | {"DEPLOY_KEY"} == set(variables)
    ci.sources(tmp_path / "repository", f"2.0-{environment}")
    done = ci.run(example.commands, tmp_path / "repository", example.variables | variables)
    assert done.returncode == 0, done.stderr
    assert answers(portal, environment) == f"2.0-{environment}"


def head_of(variables: dict[str, str], length: str, path: str = "packages/upload?name=large.zip") -> bytes:
    """Give the first lines of a call with a body; `length` is the header that announces it."""
    lines = [
        f"POST /api/1/apps/calc/{path} HTTP/1.1",
        f"Host: {urlsplit(variables['DEPLOY_URL']).netloc}",
        f"Mendix-Username: {variables['DEPLOY_USER']}",
        f"Mendix-ApiKey: {variables['DEPLOY_KEY']}",
        *(length, "Connection: close"),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_to(portal: LivePortal, *parts: bytes) -> str:
    with connected(portal) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.makefile("rb").read().decode()


def test_a_large_body_is_refused_before_it_is_sent(portal: LivePortal, variables: dict[str, str]) -> None:
    """By its length alone, by a wrong key, by an address that takes no files."""
    before, one_gib = kept(portal), f"Content-Length: {1024 * MIB}"
    for sent, code in (
        (head_of(variables, f"Content-Length: {4096 * MIB}"), "TOO_LARGE"),
        (head_of(variables | {"DEPLOY_KEY": "dp_00000000_0"}, one_gib), "UNAUTHORIZED"),
        (head_of(variables, one_gib, "environments/Test/tags"), "TOO_LARGE"),
        (head_of(variables, one_gib).replace(b"calc", b"other"), "APP_NOT_FOUND"),
    ):
        assert f'"errorCode": "{code}"' in answer_to(portal, sent)
    assert kept(portal) == before


def test_who_sends_on_gets_the_answer_of_a_body_that_is_refused(portal: LivePortal, variables: dict[str, str]) -> None:
    """Most clients read no answer before they sent all; hung up on, they see a broken pipe instead of it."""
    head = head_of(variables | {"DEPLOY_KEY": "dp_00000000_0"}, f"Content-Length: {8 * MIB}")
    with connected(portal) as connection:
        connection.sendall(head.replace(b"Connection: close\r\n", b"") + bytes(8 * MIB))
        assert b"401 Unauthorized" in connection.recv(1000)


def test_a_bare_body_is_streamed_whether_its_length_is_known_or_not(
    portal: LivePortal, variables: dict[str, str], tmp_path: Path
) -> None:
    small, large, chunked = (package_of(tmp_path, megabytes) for megabytes in (2, 100, 100))
    for archive in (small, large):
        head = head_of(variables, f"Content-Length: {archive.stat().st_size}")
        if archive is large:
            before = most_memory(portal)
        assert "PackageId" in answer_to(portal, head, archive.read_bytes())
    content = chunked.read_bytes()
    pieces = [content[start : start + MIB] for start in range(0, len(content), MIB)]
    body = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
    assert "PackageId" in answer_to(portal, head_of(variables, "Transfer-Encoding: chunked"), *body, b"0\r\n\r\n")
    assert most_memory(portal) - before < 16 * MIB


def test_an_upload_that_breaks_off_leaves_nothing(portal: LivePortal, variables: dict[str, str]) -> None:
    before = kept(portal)
    with connected(portal) as connection:
        connection.sendall(head_of(variables, f"Content-Length: {100 * MIB}") + bytes(20 * MIB))
        until(lambda: kept(portal) - before, "Nothing arrived")
    until(lambda: kept(portal) == before, "Something was kept")


def test_alice_makes_a_key_that_reaches_production_and_revokes_it(
    portal: LivePortal, variables: dict[str, str], new_context: NewContext, tmp_path: Path
) -> None:
    page, alice = new_context().new_page(), portal.person("Alice")
    steps.sign_in(page, alice)
    page.goto("/account/keys/")
    expect(page.get_by_text("You hold API Rights on no production environment")).to_be_visible()
    page.goto("/apps/calc/permissions/production/")
    steps.set_up(page, alice)
    steps.sees(page, "Permissions on Production")
    page.get_by_role("checkbox", name=f"API Rights for {alice.name}").check()
    steps.press(page, "Save permissions on Production")
    expect(page.get_by_text(f"Saved: {alice.name} on Production.")).to_be_visible()
    key = _makes_a_key(page, alice)

    ci.sources(tmp_path / "repository", "3.0")
    commands = ["python3 -m zipfile -c calc.zip Procfile app.py model", "sh deploy.sh calc.zip Production"]
    refused = ci.run(commands, tmp_path / "repository", variables)
    assert "does not reach Production of Calc" in refused.stderr
    done = ci.run(commands, tmp_path / "repository", variables | {"DEPLOY_KEY": key})
    assert done.returncode == 0, done.stderr
    assert answers(portal, "production") == "3.0"

    _sees_who_has_it_and_what_it_did(page, key)
    _revokes_it(page)
    done = ci.run(commands, tmp_path / "repository", variables | {"DEPLOY_KEY": key})
    assert "UNAUTHORIZED" in done.stderr


def _makes_a_key(page: Page, alice: Person) -> str:
    page.goto("/account/keys/")
    steps.go(page, "Make a key that reaches production")
    steps.sees(page, "Make an API key that reaches production")
    page.get_by_label("Name").fill("Release pipeline")
    page.get_by_label("Production of Calc").check()
    page.get_by_label("Your password").fill(alice.password)
    steps.press(page, "Make the key")
    steps.sees(page, "Release pipeline is made")
    key = page.locator("#key").inner_text()
    inspector = Inspector(page)
    inspector.visit("/api/", "/account/keys/new/", "/account/keys/new/production/", "/account/keys/")
    assert inspector.problems == [], "\n".join(inspector.problems)
    assert key not in page.content()
    return key


def _sees_who_has_it_and_what_it_did(page: Page, key: str) -> None:
    page.goto("/apps/calc/production-access/")
    expect(page.get_by_text("Key Release pipeline")).to_be_visible()
    expect(page.get_by_text("Yes, by the Deploy API")).to_be_visible()
    page.goto("/apps/calc/environments/production/activity/")
    expect(page.get_by_text(f"by the Deploy API, key Release pipeline ({key[:11]}…)").first).to_be_visible()


def _revokes_it(page: Page) -> None:
    page.goto("/account/keys/")
    row = page.get_by_role("row").filter(has_text="Release pipeline")
    expect(row.get_by_text(re.compile("from (127.0.0.1|::1)"))).to_be_visible()
    row.get_by_role("link", name="Revoke").click()
    steps.press(page, "Revoke Release pipeline")
    expect(page.get_by_text("Release pipeline is revoked. It never works again.")).to_be_visible()


def test_everything_behaves_as_its_description_says(
    portal: LivePortal, variables: dict[str, str], tmp_path: Path
) -> None:
    """Schemathesis tries what it can think of by the description; a 500 is allowed where its code is documented."""
    with urllib.request.urlopen(f"{portal.url}/api/1/openapi.json", timeout=10) as answer:
        assert json.loads(answer.read())["openapi"].startswith("3.1")
    (tmp_path / "schemathesis.toml").write_text(ALLOWED)
    program = Path(sys.executable).with_name("st")
    command = [
        *(str(program), "run", f"{portal.url}/api/1/openapi.json"),
        *("-H", f"Mendix-Username: {variables['DEPLOY_USER']}", "-H", f"Mendix-ApiKey: {variables['DEPLOY_KEY']}"),
        *("--phases", "examples,fuzzing", "--max-examples", str(EXAMPLES)),
        *("--no-shrink", "--seed", "1"),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert f"Tested: {OPERATIONS}\n" in done.stdout
