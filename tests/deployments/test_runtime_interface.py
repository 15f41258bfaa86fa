"""The interface to the place where packages run names no paths, ports or process ids."""

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deployments.runtimes import base
from deployments.runtimes.process import ProcessRuntime
from tests.deployments.fakes import FakeRuntime

DEPLOYMENTS = Path(base.__file__).resolve().parents[1]
METHODS = [name for name, member in inspect.getmembers(base.Runtime, inspect.isfunction) if not name.startswith("_")]
SPOKEN = {
    base.DatabaseKind,
    base.DatabaseServer,
    base.Finished,
    base.Health,
    base.Instance,
    base.InstanceState,
    base.Isolation,
    base.Limits,
    base.LogDay,
    base.LogPart,
    base.Measured,
    base.Part,
    base.Room,
    base.Spec,
    base.Staged,
    base.Status,
    base.Stored,
    base.Traffic,
    base.Visits,
}
PLAIN = {str, int, float, bool, bytes, date, type(None), typing.BinaryIO}
LOCAL = re.compile(r"\b(pid|pids|port|ports|folder|file|socket|uid|process|localhost|unix)\b")


def types_in(hint: Any) -> Iterator[Any]:
    arguments = typing.get_args(hint)
    if arguments:
        for argument in arguments:
            if argument is not Ellipsis:
                yield from types_in(argument)
    else:
        yield hint


@pytest.mark.parametrize("name", METHODS)
def test_a_method_speaks_of_environments_instances_and_releases_only(name: str) -> None:
    method = getattr(base.Runtime, name)
    hints = typing.get_type_hints(method)
    assert {each for hint in hints.values() for each in types_in(hint)} <= SPOKEN | PLAIN
    assert not LOCAL.search(" ".join(hints))
    assert method.__doc__


@pytest.mark.parametrize("kind", sorted(SPOKEN - {base.DatabaseKind, base.InstanceState, base.Part}, key=repr))
def test_what_it_speaks_of_has_no_trace_of_a_machine(kind: Any) -> None:
    hints = typing.get_type_hints(kind)
    assert {each for hint in hints.values() for each in types_in(hint)} <= SPOKEN | PLAIN
    assert not LOCAL.search(" ".join(hints))


@pytest.mark.parametrize("runtime", [ProcessRuntime, FakeRuntime])
def test_every_runtime_has_the_same_methods(runtime: type) -> None:
    for name in METHODS:
        wanted, given = (inspect.signature(getattr(each, name)) for each in (base.Runtime, runtime))
        assert str(given) == str(wanted), name


def test_nobody_but_the_node_itself_knows_more_than_the_interface() -> None:
    found = {
        (path.name, module)
        for path in DEPLOYMENTS.glob("*.py")
        for module in imported(path)
        if module.startswith("deployments.runtimes") and module not in ("deployments.runtimes", base.__name__)
    }
    assert found == set()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "deployments.runtimes":
                yield from (
                    f"{node.module}.{each.name}" for each in node.names if each.name not in ("get_runtime", "base")
                )
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
