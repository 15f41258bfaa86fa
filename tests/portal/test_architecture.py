"""Holds docs/architecture.md: imports run deployments → environments → accounts, and pieces stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "environments", "deployments")
ROOMS = ("portal", *APPS)
# Each may import itself and what stands here.
ALLOWED = {
    "accounts": {"portal"},
    "environments": {"portal", "accounts"},
    "deployments": {"portal", "accounts", "environments"},
    "portal": set(),
}
# Every view declares who may see it, the portal's own few as well; a declaration is not a rule.
DECLARATIONS = {"accounts.guards"}
# Commands are where the whole is put together for an operator.
COMMANDS = "portal/management/"
MODULE_LINES = 450
FUNCTION_LINES = 60

SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if "migrations" not in path.parts
)


def parse(source: str) -> ast.Module:
    return ast.parse((ROOT / source).read_text(), source)


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def forbidden(source: str, tree: ast.Module) -> list[str]:
    """Give the modules of another room that a source file imports and may not."""
    room = source.split("/")[0]
    if source.startswith(COMMANDS):
        return []
    open_to_it = {room, *ALLOWED[room]}
    others = [name for name in imported(tree) if name.split(".")[0] in ROOMS]
    return [name for name in others if name.split(".")[0] not in open_to_it and name not in DECLARATIONS]


@pytest.mark.parametrize("source", SOURCES)
def test_it_imports_only_downwards(source: str) -> None:
    assert forbidden(source, parse(source)) == []


@pytest.mark.parametrize("source", SOURCES)
def test_it_has_no_relative_imports(source: str) -> None:
    relative = [node.lineno for node in ast.walk(parse(source)) if isinstance(node, ast.ImportFrom) and node.level]
    assert relative == []


@pytest.mark.parametrize("source", SOURCES)
def test_it_can_be_read_in_one_sitting(source: str) -> None:
    tree = parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES]
    assert long == []
    assert len((ROOT / source).read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("accounts/window.py", "from environments.models import App"),
        ("accounts/window.py", "import deployments.states"),
        ("environments/flows.py", "def late():\n    from deployments import flows"),
        ("portal/context.py", "from accounts.window import current"),
    ],
)
def test_it_notices_an_import_upwards(source: str, line: str) -> None:
    assert len(forbidden(source, ast.parse(line))) == 1


def test_every_room_is_looked_at() -> None:
    assert {source.split("/")[0] for source in SOURCES} == set(ROOMS)
