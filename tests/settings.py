"""The portal's settings with a throw-away folder, independent of `.env` and of what the shell has set."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_FOLDER = os.environ.get("PORTAL_TESTS")
if _FOLDER is None:
    # The first process makes it and removes it; pytest-xdist's workers inherit the name.
    _FOLDER = os.environ["PORTAL_TESTS"] = tempfile.mkdtemp(prefix="portal-tests.")
    atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_VAR = Path(_FOLDER) / os.environ.get("PYTEST_XDIST_WORKER", "main")
for _name in ("static", "storage", "uploads", "mail", "run"):
    (_VAR / _name).mkdir(parents=True, exist_ok=True, mode=0o700)

os.environ |= {
    "PORTAL_ENV_FILE": os.devnull,
    "PORTAL_MODE": "demo",
    "PORTAL_VAR": str(_VAR),
    "PORTAL_URL": "http://localhost:8000",
    "APPS_DOMAIN": "apps.localhost",
}
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_VAR / 'portal.sqlite3'}")

from portal.settings import *  # noqa: E402, F403
from portal.settings import DATABASES, STORAGES  # noqa: E402

if "sqlite3" in DATABASES["default"]["ENGINE"]:
    # A file, since the threads of a race test each need a connection of their own to the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(_VAR / "test.sqlite3")}
PASSWORD_HASHERS = ["tests.hashers.QuickArgon2"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
