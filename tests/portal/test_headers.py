"""What every answer carries, and what the settings of a production portal make of cookies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from tests.cast import Cast, signed_in, unlocked

ROOT = Path(__file__).resolve().parents[2]


def test_every_page_carries_the_security_headers(cast: Cast) -> None:
    client = unlocked(cast.alice)
    for path in ("/", "/apps/calc/", "/authenticator/", "/nothing/", "/account/"):
        headers = client.get(path).headers
        policy = {part.split()[0]: part.split()[1:] for part in headers["Content-Security-Policy"].split(";")}
        assert policy["default-src"] == ["'self'"]
        assert policy["img-src"] == ["'self'", "data:"]
        assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
        assert policy["form-action"] == ["'self'"]
        assert "script-src" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/authenticator/", "/authenticator/set-up/", "/account/", "/account/password/"])
def test_pages_with_codes_and_secrets_are_not_stored(cast: Cast, path: str) -> None:
    assert "no-store" in signed_in(cast.alice).get(path).headers["Cache-Control"]


def test_cookies_are_for_the_server_only(cast: Cast) -> None:
    client = signed_in(cast.alice)
    client.get("/account/")
    for name in ("session", "csrf"):
        assert client.cookies[name]["httponly"]
        assert client.cookies[name]["samesite"] == "Lax"


def test_in_production_cookies_belong_to_this_host_and_to_https(tmp_path: Path) -> None:
    names = ["SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_NAME", "CSRF_COOKIE_SECURE"]
    names += ["SECURE_HSTS_SECONDS", "SECURE_SSL_REDIRECT", "ENROLMENT_MAIL_CODE", "DEMO", "DEBUG"]
    code = f"import json; from portal import settings; print(json.dumps([getattr(settings, n) for n in {names}]))"
    env = {
        "PATH": os.environ["PATH"],
        "PORTAL_ENV_FILE": str(ROOT / "docs" / "production.env"),
        "PORTAL_VAR": str(tmp_path),
    }
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env | SECRETS, capture_output=True, text=True, check=True
    )
    values = json.loads(answer.stdout)
    assert values == ["__Host-session", True, "__Host-csrf", True, 31_536_000, True, True, False, False]


SECRETS = {"SECRET_KEY": "x" * 60, "ENCRYPTION_KEYS": "A" * 43 + "="}


def test_the_sign_in_page_is_small_and_its_files_are_hashed_and_kept(cast: Cast) -> None:
    assert len(Client().get("/sign-in/").content) < 50_000
