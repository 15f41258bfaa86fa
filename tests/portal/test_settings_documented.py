"""An operator finds every setting in docs/settings.md, and nothing there that the portal no longer reads."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READERS = ("portal/settings.py", "portal/env.py")
NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def read_by(source: str) -> set[str]:
    """Give the names that a module reads through `env.…("NAME")` or `read.…("NAME")`."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args)
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("env", "read")
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and NAME.fullmatch(call.args[0].value)
    }


def read_by_the_portal() -> set[str]:
    return set().union(*(read_by((ROOT / reader).read_text()) for reader in READERS))


def described() -> set[str]:
    text = (ROOT / "docs/settings.md").read_text()
    return set(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", text, re.MULTILINE))


def test_every_setting_is_described() -> None:
    assert read_by_the_portal() - described() == set()


def test_nothing_else_is_described() -> None:
    assert described() - read_by_the_portal() == set()


def test_the_production_example_names_only_settings() -> None:
    example = (ROOT / "docs/production.env").read_text()
    names = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))
    assert names
    assert names - described() == set()


def test_it_sees_what_is_read() -> None:
    assert read_by('A = env.int("A_NAME", 3)\nB = read.port("PORT", 1)\nC = other.int("C", 1)') == {"A_NAME", "PORT"}
