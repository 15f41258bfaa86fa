"""What holds for every test: a folder of its own that is gone afterwards, and no way off this machine."""

import ipaddress
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

# Who asks for one of these has a database; `portal` is a whole portal with its own (tests/journeys)
WITH_DATABASE = {"db", "transactional_db", "portal"}


def pytest_configure(config: pytest.Config) -> None:
    for name in ("", "static", "storage", "uploads", "run"):
        (settings.VAR / name).mkdir(parents=True, exist_ok=True, mode=0o700)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(Path(settings.VAR).parent, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run what asks for a database. pytest-django keeps it from all others: they have run on SQLite."""
    if "JOURNEYS_DATABASE_URL" not in os.environ:
        return
    alike = [item for item in items if not _asks_for_a_database(item)]
    config.hook.pytest_deselected(items=alike)
    items[:] = [item for item in items if _asks_for_a_database(item)]


def _asks_for_a_database(item: pytest.Item) -> bool:
    asks = not WITH_DATABASE.isdisjoint(getattr(item, "fixturenames", ()))
    return asks or item.get_closest_marker("django_db") is not None


def _is_here(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _stay_here(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple) and not _is_here(args[1][0]):
        raise RuntimeError(f"A test tried to reach {args[1]}; only this machine is allowed.")
    if event == "socket.getaddrinfo" and not _is_here(args[0]):
        raise RuntimeError(f"A test tried to look up {args[0]!r}; only this machine is allowed.")


sys.addaudithook(_stay_here)


@pytest.fixture
def cast(db: None) -> Any:
    """The app `calc` and its people (tests/cast.py)."""
    from tests.cast import make_cast

    return make_cast()
