"""Puts lines into the log of an environment as an app's launcher does."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import time_machine

from deployments.runtimes import files, get_runtime
from deployments.runtimes.lines import Lines
from deployments.runtimes.process import ProcessRuntime
from environments.models import Environment


def folder_of(environment: Environment) -> Path:
    runtime = get_runtime()
    assert isinstance(runtime, ProcessRuntime)
    return runtime.layout.lines(environment.pk)


@contextmanager
def empty_logs(*environments: Environment) -> Iterator[None]:
    """Numbers of environments come again from test to test; their logs must not."""
    for environment in environments:
        files.remove_tree(folder_of(environment))
    try:
        yield
    finally:
        for environment in environments:
            files.remove_tree(folder_of(environment))


def write(environment: Environment, *texts: str, at: datetime | None = None, instance: int = 17) -> None:
    """Write lines; at a moment, or now."""
    lines = Lines(folder_of(environment), instance)
    text = "".join(f"{each}\n" for each in texts).encode()
    if at is None:
        lines.take(text)
        return
    with time_machine.travel(at, tick=False):
        lines.take(text)
