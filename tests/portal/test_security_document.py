"""SECURITY.md names a test for each attack and each decision; every one of them is there, under that name."""

import re

import pytest

from portal.env import BASE_DIR

DOCUMENT = (BASE_DIR / "SECURITY.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("|") and "::" in line]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", DOCUMENT)
# Attacks with a line of their own, and the decisions below them
LEAST_ROWS = 45


def test_every_test_that_it_names_is_there() -> None:
    sources = {file: (BASE_DIR / "tests" / file).read_text() for file, _ in NAMED}
    assert [f"{file}::{name}" for file, name in NAMED if f"def {name}(" not in sources[file]] == []
    assert len(NAMED) >= len(ROWS) >= LEAST_ROWS


@pytest.mark.parametrize("row", ROWS)
def test_every_line_names_a_test_and_nothing_that_is_none(row: str) -> None:
    shown_by = row.strip("| ").rpartition(" | ")[2]
    assert re.fullmatch(r"(`[\w/]+\.py::test_\w+` ?)+", shown_by), row


def test_every_file_that_a_yardstick_names_is_there() -> None:
    files = re.findall(r"`([\w/]+\.py)`", DOCUMENT.partition("## Yardsticks")[2])
    assert files
    assert [file for file in files if not (BASE_DIR / "tests" / file).exists() and not (BASE_DIR / file).exists()] == []
