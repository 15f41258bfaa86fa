"""A portal whose settings are missing or odd says so in a sentence, whatever command is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("command", ["check", "makemigrations", "migrate", "worker", "run"])
def test_no_command_begins_with_settings_that_are_refused(command: str) -> None:
    bare = {"PATH": os.environ["PATH"], "PORTAL_ENV_FILE": os.devnull}
    answer = subprocess.run(
        [sys.executable, "manage.py", command], cwd=ROOT, env=bare, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr == "PORTAL_URL must begin with https:// in production.\n"
