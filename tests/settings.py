"""The portal's settings in a throw-away folder, independent of `.env` and of what the shell has set.

Importing them touches no file: tests/conftest.py makes the folder and removes it.
"""

import os
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

# pytest-xdist's workers inherit the folder of the process that starts them, and use one each in it.
_FOLDER = os.environ.setdefault("PORTAL_TESTS", f"{tempfile.gettempdir()}/portal-tests.{secrets.token_hex(8)}")
_VAR = Path(_FOLDER) / os.environ.get("PYTEST_XDIST_WORKER", "main")

os.environ |= {
    "PORTAL_ENV_FILE": os.devnull,
    "PORTAL_MODE": "demo",
    "PORTAL_VAR": str(_VAR),
    "PORTAL_URL": "http://localhost:8000",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")

from portal.settings import *  # noqa: E402, F403
from portal.settings import DATABASES, STORAGES  # noqa: E402

if "sqlite3" in DATABASES["default"]["ENGINE"]:
    # A file, since the threads of a race test each need a connection of their own to the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(_VAR / "test.sqlite3")}
PASSWORD_HASHERS = ["tests.hashers.QuickArgon2"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
