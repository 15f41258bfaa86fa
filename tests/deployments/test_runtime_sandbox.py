"""A package that tries to read what is not its own, and what it gets to see."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from deployments.runtimes.base import Instance, RuntimeFailure, Spec
from deployments.runtimes.isolation import try_sandbox
from deployments.runtimes.process import FIRST_USER
from tests.deployments.node import LocalNode, wait_until

SECRET = "a-secret-of-the-portal"
SNOOPER, VICTIM = 1, 2
OWN_VARIABLES = {"DATABASE_URL", "DATA_DIR", "HOME", "LANG", "LOOK_FOR", "PATH", "PORT"}
SET_BY_SHELL = {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.fixture
def found(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the package found, next to another environment and below a portal with secrets."""
    monkeypatch.setenv("SECRET_KEY", SECRET)
    (node.var / "portal.sqlite3").write_text(SECRET)
    victim = node.serve(VICTIM, ANSWER="victim")
    data = node.runtime.layout.data(VICTIM)
    (data / "database.sqlite3").write_text(SECRET)
    record = node.runtime.layout.record(VICTIM, victim.number)
    run = node.runtime.layout.run
    own_code = Path(__file__).resolve().parents[2]
    targets = [node.var, node.var / "portal.sqlite3", own_code, own_code / "portal/settings.py", Path.home()]
    targets += [data, data / "database.sqlite3", record.folder / "spec.json", node.runtime.layout.log]
    targets += [
        run / "supervisord.sock",
        run / "caddy.sock",
        Path("/etc/shadow"),
        Path("/etc/ssl/private"),
        Path("/root"),
    ]
    pids = [os.getpid(), node.node.pid, record.state["launcher"]]
    asked = json.dumps({"targets": [str(path) for path in targets], "pids": pids})
    snooper = node.start(node.release("snoops"), environment=SNOOPER, LOOK_FOR=asked)
    assert node.healthy(snooper).healthy, node.runtime.output(snooper)
    node.runtime.route("test--calc", snooper)
    answer: dict[str, Any] = json.loads(node.get("test--calc", "/look")[1])
    assert node.runtime.check(victim, "/", 5).healthy
    return answer


def test_it_keeps_a_hostile_package_to_itself(found: dict[str, Any]) -> None:
    asked = json.loads(found["environment"]["LOOK_FOR"])
    assert found["read"] == dict.fromkeys(asked["targets"], "refused: No such file or directory")
    assert found["connected"] == dict.fromkeys(asked["targets"], "refused: No such file or directory")
    assert found["killed"] == {str(pid): "refused: No such process" for pid in asked["pids"]}
    assert found["sockets"] == []
    assert SECRET not in json.dumps(found)

    assert set(found["environment"]) - SET_BY_SHELL == OWN_VARIABLES
    assert found["environment"]["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert found["environment"]["HOME"] == found["environment"]["DATA_DIR"] == "/data"
    assert found["environment"]["DATABASE_URL"] == "sqlite:////data/database.sqlite3"

    assert all("bwrap" in line or "app.py" in line or "start" in line for line in found["processes"].values())
    assert len(found["processes"]) <= 3
    assert found["host"] == "app"
    assert set(found["root"]) <= {
        "app",
        "bin",
        "data",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "proc",
        "run",
        "sbin",
        "tmp",
        "usr",
    }
    assert not {"shadow", "sudoers", "ssh", "environment", "cron.d"} & set(found["etc"])

    assert all(said.startswith("refused") for said in found["written"].values()), found["written"]
    assert all(said.startswith("done") for said in found["kept"].values()), found["kept"]
    assert found["mounted"] != 0
    assert found["became"] != 0
    assert found["status"]["NoNewPrivs"] == ["1"]
    assert {int(found["status"][name][0], 16) for name in ("CapEff", "CapPrm")} == {0}


def test_it_gives_each_environment_a_user_of_its_own_where_the_portal_is_root(
    node: LocalNode, found: dict[str, Any]
) -> None:
    user = FIRST_USER + SNOOPER if os.geteuid() == 0 else os.geteuid()
    assert found["status"]["Uid"] == [str(user)] * 4
    data = node.runtime.layout.data(SNOOPER)
    assert data.stat().st_uid == user
    assert data.stat().st_mode & 0o777 == 0o700
    if os.geteuid() == 0:
        assert found["status"]["Groups"] == []
        assert found["status"]["CapBnd"] == ["0000000000000000"]
        assert node.runtime.layout.data(VICTIM).stat().st_uid == FIRST_USER + VICTIM
        assert all(said.startswith("refused: Permission") for said in found["others"].values()), found["others"]


def test_it_says_that_packages_are_kept_apart_here(node: LocalNode) -> None:
    assert node.runtime.isolation().complete, node.runtime.isolation().reason


def test_it_says_what_is_missing_where_there_is_no_bubblewrap(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    isolation = try_sandbox(node.var, None)
    assert not isolation.complete
    assert isolation.reason == "The program bwrap is missing. Install it, then start the portal again."


def test_it_says_why_a_host_cannot_keep_packages_apart(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    isolation = try_sandbox(node.var, None)
    assert not isolation.complete
    assert "can't make a sandbox on this host" in isolation.reason


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "PORT", "lower", "A B", "A\nB", "A;id", "", "1A"])
def test_it_refuses_variables_that_lead_programs_astray(node: LocalNode, name: str) -> None:
    release = node.release("snoops")
    with pytest.raises(RuntimeFailure):
        node.runtime.start(Spec(Instance(1, 99), release, "true", {name: "x"}))
    assert node.runtime.instances() == []


def test_it_hands_over_values_as_they_are_and_runs_nothing_of_them(node: LocalNode) -> None:
    value = "100% $(touch /data/a) `touch /data/b` '; touch /data/c; ' \"\\ \n é"
    instance = node.serve(environment=7, ANSWER=value)
    node.runtime.route("test--calc", instance)
    assert node.get("test--calc") == (200, value)
    assert list(node.runtime.layout.data(7).iterdir()) == []


def test_it_shows_no_value_to_other_users_of_the_host(node: LocalNode) -> None:
    node.serve(ANSWER="sesame-opens")
    lines = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert b"sesame-opens" not in lines
    spec = node.runtime.layout.all_records()[0].folder / "spec.json"
    assert spec.stat().st_mode & 0o777 == 0o600
    assert not any("sesame" in path.read_text() for path in node.runtime.layout.programs.iterdir())


def test_it_limits_what_one_package_takes_of_the_host(node: LocalNode) -> None:
    instance = node.start(node.release({"app.py": "x"}), "ulimit -n; ulimit -p; ulimit -c")
    wait_until(lambda: node.runtime.status(instance).ended)
    assert node.runtime.output(instance).splitlines() == ["8192", "1024", "0"]


def test_it_starts_nothing_but_unpacked_releases(node: LocalNode) -> None:
    for release in ("0" * 64, "../environments", "", "A" * 64):
        with pytest.raises(RuntimeFailure):
            node.runtime.start(Spec(Instance(1, 99), release, "true"))
