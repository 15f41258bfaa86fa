"""Becomes a program that a private file describes, so that supervisord's files need not hold its environment."""

import os
import sys
from pathlib import Path

from deployments.runtimes import files


def main() -> None:
    command, environment, folder = files.read_json(Path(sys.argv[1]))
    os.chdir(folder)
    os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is wanted
