"""`manage.py demo` fills an empty portal once, and nothing else; production begins without an account."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.password_validation import validate_password
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import User
from deployments.models import Package
from environments.access import may
from environments.models import App
from environments.permissions import Permission
from tests.cast import make_person, signed_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def var(settings: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings.VAR = tmp_path
    settings.STATIC_ROOT = tmp_path_factory.mktemp("static")
    return tmp_path


@pytest.fixture
def demo(db: None, var: Path) -> dict[str, Any]:
    call_command("demo", verbosity=0)
    found: dict[str, Any] = json.loads((var / "demo.json").read_text())
    return found


def manage(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as an operator does, in a process of its own."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=clean | {"PORTAL_ENV_FILE": os.devnull} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def production(var: Path) -> dict[str, str]:
    return {
        "PORTAL_MODE": "production",
        "PORTAL_VAR": str(var),
        "PORTAL_URL": "https://portal.example.org",
        "SECRET_KEY": "a-secret-key-that-is-only-here-for-this-test-and-long-enough",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }


def people_in(var: Path) -> list[tuple[str, str, int]]:
    with sqlite3.connect(var / "portal.sqlite3") as database:
        return list(database.execute("SELECT email, name, is_superuser FROM accounts_user"))


def test_it_writes_down_what_programs_need(demo: dict[str, Any], var: Path) -> None:
    assert list(demo) == ["url", "app", "environments", "people", "packages"]
    assert demo["app"] == "calc"
    assert [each["slug"] for each in demo["environments"]] == ["test", "acceptance", "production"]
    assert all(list(each) == ["name", "slug", "url"] for each in demo["environments"])
    assert all(list(each) == ["name", "email", "password", "role"] for each in demo["people"])
    assert [each["name"].split()[0] for each in demo["people"]] == ["Alice", "Bob", "Charlie", "Sam"]
    assert stat.S_IMODE((var / "demo.json").stat().st_mode) == 0o600


def test_everybody_signs_in_with_the_printed_password(demo: dict[str, Any]) -> None:
    for each in demo["people"]:
        person = User.objects.get(email=each["email"])
        validate_password(each["password"], person)
        assert person.check_password(each["password"])


def test_each_stands_where_the_story_needs_them(demo: dict[str, Any]) -> None:
    alice, bob, charlie, sam = (User.objects.get(email=each["email"]) for each in demo["people"])
    app = App.objects.get(slug="calc")
    assert app.technical_contact == alice
    rights = {e.slug: may(bob, e, Permission.TRANSPORT) for e in app.environments.all()}
    assert rights == {"test": True, "acceptance": True, "production": False}
    assert not app.memberships.filter(user__in=(charlie, sam)).exists()
    assert (sam.is_staff, sam.is_superuser) == (True, False)
    assert sam.has_perm("accounts.disable_authenticator")
    assert not User.objects.filter(is_superuser=True).exists()


def test_two_versions_are_in_the_repository_and_a_third_waits_to_be_uploaded(demo: dict[str, Any]) -> None:
    assert sorted(Package.objects.values_list("version", flat=True)) == ["1.0.0", "1.1.0"]
    assert [Path(path).name for path in demo["packages"]] == [f"calc-1.{n}.0.zip" for n in range(3)]
    assert all(Path(path).is_file() for path in demo["packages"])


def test_a_second_run_keeps_everything_but_addresses_that_changed(
    demo: dict[str, Any], var: Path, settings: Any
) -> None:
    passwords = list(User.objects.order_by("pk").values_list("password", flat=True))
    call_command("demo")
    assert json.loads((var / "demo.json").read_text()) == demo
    settings.PORTAL_URL = "http://localhost:8001"
    call_command("demo")
    assert json.loads((var / "demo.json").read_text()) == demo | {"url": "http://localhost:8001"}
    assert list(User.objects.order_by("pk").values_list("password", flat=True)) == passwords
    assert Package.objects.count() == 2


def test_it_fills_nothing_when_the_settings_say_production(db: None, var: Path, settings: Any) -> None:
    settings.DEMO = False
    with pytest.raises(CommandError, match="The settings say production"):
        call_command("demo")
    assert not User.objects.exists()
    assert list(var.iterdir()) == []


def test_it_fills_nothing_where_people_are_already(db: None, var: Path) -> None:
    person = make_person("dora")
    with pytest.raises(CommandError, match="has people but no demo"):
        call_command("demo")
    assert list(User.objects.all()) == [person]
    assert not (var / "demo.json").exists()
    assert signed_in(person).get("/").status_code == 200


def test_it_fills_nothing_where_people_belong_to_another_demo(demo: dict[str, Any]) -> None:
    for person in User.objects.all():
        User.objects.filter(pk=person.pk).update(email=f"other{person.pk}@example.org")
    with pytest.raises(CommandError, match="has people but no demo"):
        call_command("demo")


def test_what_was_cut_off_is_filled_anew(db: None, var: Path) -> None:
    (var / "demo.json").write_text("{}")
    call_command("demo", verbosity=0)
    assert json.loads((var / "demo.json").read_text())["app"] == "calc"


def test_on_a_fresh_machine_it_is_one_command_and_one_line(tmp_path: Path) -> None:
    var = tmp_path / "var"
    first = manage("demo", PORTAL_MODE="demo", PORTAL_VAR=str(var))
    assert (first.returncode, first.stdout, first.stderr) == (0, "The demo is filled.\n", "")
    for private in ("demo.json", "portal.sqlite3"):
        assert stat.S_IMODE((var / private).stat().st_mode) == 0o600
    written = (var / "demo.json").read_text()
    second = manage("demo", PORTAL_MODE="demo", PORTAL_VAR=str(var))
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (var / "demo.json").read_text() == written


def test_a_fresh_production_portal_has_no_account_until_the_operator_makes_one(tmp_path: Path) -> None:
    settings = production(tmp_path)
    assert manage("migrate", "--noinput", "-v", "0", **settings).returncode == 0
    refused = manage("demo", **settings)
    assert refused.returncode != 0
    assert "The settings say production, so the demo is not filled." in refused.stderr
    assert people_in(tmp_path) == []
    operator = ["createsuperuser", "--noinput", "--email", "olga@example.org", "--name", "Olga Orlov"]
    short = manage(*operator, **settings, DJANGO_SUPERUSER_PASSWORD="too short 1234")
    assert short.returncode != 0
    assert "15 characters" in short.stderr
    assert people_in(tmp_path) == []
    made = manage(*operator, **settings, DJANGO_SUPERUSER_PASSWORD="nine lazy green bottles")
    assert made.returncode == 0, made.stderr
    assert people_in(tmp_path) == [("olga@example.org", "Olga Orlov", 1)]


def test_settings_that_make_no_sense_are_refused_with_a_sentence(tmp_path: Path) -> None:
    refused = manage("demo", **production(tmp_path) | {"PORTAL_URL": "http://portal.example.org"})
    assert refused.returncode == 1
    assert refused.stderr == "PORTAL_URL must begin with https:// in production.\n"
