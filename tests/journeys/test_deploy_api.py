"""A CI system deploys: the examples of docs/deploy-api.md against the real portal, and its description held to it."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from deployments.api.table import CALLS
from tests.journeys import ci, steps
from tests.journeys.conftest import NewContext
from tests.journeys.live import LivePortal, Person
from tests.journeys.test_accessibility import Inspector

SETTINGS = {"API_CALLS_PER_MINUTE": "1000000", "API_WRONG_KEYS_PER_MINUTE": "1000000"}
SECONDS, EXAMPLES = 10, 3
OPERATIONS = sum(len(call.by_method) for call in CALLS)
# The interface answers with 500 where nothing is wrong with the portal: which codes those are stands in the
# description, and that no other one comes is checked with it. A constant that no package has is a 400 by the interface.
ALLOWED = """
[checks]
not_a_server_error.enabled = false

[[operations]]
include-path = "/apps/{AppId}/environments/{Mode}/settings/"
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
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS)),
        *("--no-shrink", "--seed", "1"),
    ]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert f"Tested: {OPERATIONS}\n" in done.stdout
