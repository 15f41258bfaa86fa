"""The calculations of all visitors, in the SQLite database that DATABASE_URL names."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

KEPT = 100
TABLE = "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, expression TEXT NOT NULL, result TEXT NOT NULL)"


def database() -> str:
    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    if url.scheme == "sqlite" and url.path:
        return unquote(url.path.removeprefix("/"))
    return os.path.join(os.environ.get("DATA_DIR", "."), "calc.sqlite3")


@contextmanager
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(database(), timeout=10)
    try:
        with opened:
            yield opened
    finally:
        opened.close()


def prepare() -> None:
    with connection() as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(TABLE)


def remember(expression: str, result: str) -> None:
    with connection() as database:
        database.execute("INSERT INTO history (expression, result) VALUES (?, ?)", (expression, result))


def latest(count: int = 10) -> list[tuple[str, str]]:
    with connection() as database:
        return database.execute("SELECT expression, result FROM history ORDER BY id DESC LIMIT ?", (count,)).fetchall()


def trim() -> int:
    """Forgets all but the latest calculations; returns how many were forgotten."""
    with connection() as database:
        newest = "SELECT id FROM history ORDER BY id DESC LIMIT ?"
        return database.execute(f"DELETE FROM history WHERE id NOT IN ({newest})", (KEPT,)).rowcount
