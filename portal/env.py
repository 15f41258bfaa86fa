"""Reads the portal's settings from the environment (or `.env`) and refuses odd values with a sentence."""

import re
import secrets
from datetime import time
from pathlib import Path
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.prefix = ""
environ.Env.read_env(env.str("PORTAL_ENV_FILE", str(BASE_DIR / ".env")))


def mode() -> str:
    """Give `demo` or `production`; production unless said otherwise, so that nothing is open by oversight."""
    value: str = env.str("PORTAL_MODE", "production")
    if value not in ("demo", "production"):
        raise ImproperlyConfigured(f"PORTAL_MODE is '{value}'. Use 'demo' or 'production'.")
    return value


def folder(name: str, default: Path) -> Path:
    """Give an absolute folder; it need not exist yet."""
    return Path(env.str(name, str(default))).expanduser().resolve()


def port(name: str, default: int) -> int:
    value: int = env.int(name, default)
    if not 1 <= value <= 65535:
        raise ImproperlyConfigured(f"{name} is {value}. Use a port between 1 and 65535.")
    return value


def time_of_day(name: str, default: str) -> time:
    """Give a time such as 02:00."""
    value: str = env.str(name, default)
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ImproperlyConfigured(f"{name} is '{value}'. Use a time from 00:00 to 23:59.")
    return time.fromisoformat(value)


def url(name: str, default: str) -> str:
    """Give an http(s) URL without path or trailing slash."""
    value: str = env.str(name, default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
        raise ImproperlyConfigured(f"{name} is '{value}'. Use an address such as https://portal.example.org.")
    return value


def database_server(name: str) -> str:
    """Give the URL of one PostgreSQL server, empty where there is none. What it is never stands in a message."""
    value: str = env.str(name, "")
    if not value:
        return ""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = conninfo_to_dict(value)
    except ProgrammingError:
        found = {}
    host, number = str(found.get("host", "")), str(found.get("port", "5432"))
    if not re.fullmatch(r"[^,]+", host) or not number.isdecimal() or not {"user", "dbname"} <= found.keys():
        example = "postgresql://keeper:password@db.example.org:5432/postgres"
        raise ImproperlyConfigured(
            f"{name} has to name one server with role and database, such as {example}. A sign such as @, : or / in the"
            " password is written as %40, %3A or %2F."
        )
    return value


def secret(name: str, var: Path, demo: bool) -> str:
    """Give a secret from the environment; the demo makes its own once and keeps it in `var/keys`."""
    return env.str(name, "") or _kept(name, var, demo, lambda: secrets.token_urlsafe(50))


def encryption_keys(var: Path, demo: bool) -> list[str]:
    """Give the Fernet keys, newest first (the first one encrypts, all of them decrypt)."""
    keys: list[str] = env.list("ENCRYPTION_KEYS", default=[])
    keys = keys or [_kept("ENCRYPTION_KEYS", var, demo, lambda: Fernet.generate_key().decode())]
    for key in keys:
        try:
            Fernet(key)
        except ValueError as error:
            raise ImproperlyConfigured(
                "ENCRYPTION_KEYS holds something that is not a key. docs/settings.md says how to make one."
            ) from error
    return keys


def _kept(name: str, var: Path, demo: bool, make) -> str:  # type: ignore[no-untyped-def]
    if not demo:
        raise ImproperlyConfigured(f"{name} is not set. A production portal needs it; docs/settings.md says how.")
    path = var / "keys" / name.lower()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(make())
    return path.read_text()
