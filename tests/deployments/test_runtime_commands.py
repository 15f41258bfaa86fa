"""Single commands beside an instance, and what is removed for good, with real processes."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.runtimes import commands, files
from deployments.runtimes.base import Finished, Instance, RuntimeFailure, Spec
from tests.deployments.node import HOST, LocalNode, processes_with, wait_until
from tests.deployments.test_runtime_process import mark

# Deeper than Python's own removal can go
DIG = """
import os
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
"""


@pytest.fixture
def instance(node: LocalNode) -> Instance:
    return node.start(node.release({"app.py": "print('a file of the release')"}), "sleep 600", environment=3)


def spec_of(node: LocalNode, instance: Instance, **variables: str) -> Spec:
    release = node.release({"app.py": "print('a file of the release')"})
    return Spec(instance, release, "sleep 600", variables, HOST)


def run(node: LocalNode, instance: Instance, command: str, timeout: float = 20, **variables: str) -> Finished:
    return node.runtime.run(spec_of(node, instance, **variables), command, timeout)


def test_a_command_has_the_release_the_variables_and_the_data_but_no_port(node: LocalNode, instance: Instance) -> None:
    line = 'python3 app.py; echo "$GREETING"; echo kept > /data/note; echo "port:$PORT"; id -u; ls -d /proc/[0-9]*'
    done = run(node, instance, line, GREETING="$(id) é")
    assert (done.succeeded, done.ended) == (True, "exit code 0")
    said = done.output.splitlines()
    assert said[:3] == ["a file of the release", "$(id) é", "port:"]
    record = node.runtime.layout.record(3, instance.number)
    assert said[3] == str(record.spec["user"] or Path("/proc/self").stat().st_uid)
    assert len(said[4:]) <= 4
    assert (node.runtime.layout.data(3) / "note").read_text() == "kept\n"
    assert 0 < done.seconds < 10
    assert list(node.runtime.layout.commands.iterdir()) == []


def test_it_says_how_a_command_ended(node: LocalNode, instance: Instance) -> None:
    done = run(node, instance, "echo no >&2; exit 3")
    assert (done.succeeded, done.ended, done.output) == (False, "exit code 3", "no\n")
    assert run(node, instance, "kill -9 $$").ended == "signal 9"


def test_a_command_that_takes_too_long_is_ended_with_all_it_forked(node: LocalNode, instance: Instance) -> None:
    word = mark("too-long")
    began = time.monotonic()
    line = f"setsid sh -c 'trap \"\" TERM; sleep 600; : {word}' & echo begun; exec sleep 600; : {word}"
    done = run(node, instance, line, timeout=0.5)
    assert time.monotonic() - began < 20
    assert (done.succeeded, done.ended) == (False, "ended after 0.5 seconds, which is all it had")
    assert done.output == "begun\n"
    assert processes_with(word) == []


def test_of_a_long_output_the_end_is_kept(node: LocalNode, instance: Instance) -> None:
    done = run(node, instance, "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end")
    assert done.output.endswith("x\nthe end\n")
    assert len(done.output) == commands.OUTPUT


def in_thread(act: Callable[[], Finished]) -> tuple[threading.Thread, list[Finished]]:
    answers: list[Finished] = []
    thread = threading.Thread(target=lambda: answers.append(act()))
    thread.start()
    return thread, answers


def test_stopping_the_instance_ends_its_commands_but_not_those_of_another(node: LocalNode, instance: Instance) -> None:
    other = node.start(node.release({"app.py": ""}), "sleep 600", environment=3)
    words = mark("beside-it"), mark("beside-the-other")
    first, answers = in_thread(lambda: run(node, instance, f"sleep 600; : {words[0]}"))
    second, others = in_thread(lambda: run(node, other, f"sleep 2; : {words[1]}"))
    wait_until(lambda: processes_with(words[0]) and processes_with(words[1]))
    node.runtime.stop(instance, 0.5)
    assert processes_with(words[0]) == []
    first.join()
    assert answers[0].ended == "ended because the environment's app was stopped or replaced"
    second.join()
    assert others[0].succeeded


def test_no_command_begins_beside_what_is_not_there(node: LocalNode, instance: Instance) -> None:
    spec = spec_of(node, instance)
    node.runtime.layout.record(3, instance.number).ask_to_stop(1)
    with pytest.raises(RuntimeFailure, match="Nothing runs"):
        node.runtime.run(spec, "true", 5)
    node.runtime.stop(instance, 0.5)
    with pytest.raises(RuntimeFailure, match="Nothing runs"):
        node.runtime.run(spec, "true", 5)


def test_a_command_is_checked_like_a_web_line(node: LocalNode, instance: Instance) -> None:
    with pytest.raises(RuntimeFailure):
        run(node, instance, "true\0")
    with pytest.raises(RuntimeFailure):
        run(node, instance, "true", LD_PRELOAD="x")


def test_clearing_removes_the_data_and_nothing_that_it_links_to(node: LocalNode, instance: Instance) -> None:
    outside = node.var / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    neighbour = node.runtime.layout.data(4)
    neighbour.mkdir(parents=True)
    (neighbour / "kept").write_text("x")
    (node.runtime.layout.data(3) / "dig.py").write_text(DIG)
    line = f"cd /data; ln -s {outside} out; ln -s / root; python3 dig.py; mkdir shut; touch shut/x; chmod 0 shut d"
    assert run(node, instance, line).succeeded
    with pytest.raises(RuntimeFailure, match="still runs"):
        node.runtime.clear(3)
    assert (node.runtime.layout.data(3) / "out").is_symlink()
    node.runtime.stop(instance, 0.5)
    node.runtime.clear(3)
    assert not node.runtime.layout.data(3).exists()
    assert [path.name for path in node.runtime.layout.environments.iterdir() if path.name.startswith(".")] == []
    assert (outside / "kept").exists()
    assert (neighbour / "kept").exists()
    node.runtime.clear(3)


def test_broken_off_removals_leave_nothing_that_passes_for_whole(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = node.release({"app.py": "", "more.py": ""})
    data = node.runtime.layout.data(5)
    data.mkdir(parents=True)
    (data / "row").write_text("x")
    removed: list[Path] = []

    def die(folder: Path) -> None:
        if folder.exists():
            removed.append(folder)
            raise OSError(5, "the worker was killed here")

    with monkeypatch.context() as broken:
        broken.setattr(files, "remove_tree", die)
        with pytest.raises(RuntimeFailure, match="Not everything"):
            node.runtime.remove_release(release)
        with pytest.raises(RuntimeFailure, match="Not everything"):
            node.runtime.clear(5)
    assert not node.runtime.has_release(release)
    assert release not in node.runtime.releases()
    assert not data.exists()
    assert all(folder.exists() for folder in removed)
    assert len(removed) == 2
    node.runtime.remove_release(release)
    node.runtime.clear(5)
    assert not any(folder.exists() for folder in removed)


def test_releases_are_listed_by_name(node: LocalNode) -> None:
    release = node.release({"app.py": "listed"})
    (node.runtime.layout.releases / ".half").mkdir(exist_ok=True)
    assert release in node.runtime.releases()
    assert ".half" not in node.runtime.releases()
    node.runtime.remove_release(release)
    assert release not in node.runtime.releases()
