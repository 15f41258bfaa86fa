"""Instances as they start, run, end and come back, with real processes."""

import contextlib
import os
import signal
import socket
import threading
import time
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from deployments.packages import PackageRefused
from deployments.runtimes import files, ports, processes
from deployments.runtimes.base import Instance, InstanceState, RuntimeFailure, Spec
from deployments.runtimes.process import ProcessRuntime
from tests.deployments.node import HOST, SERVER, LocalNode, processes_with, running_node, wait_until

RUNNING, ENDED, ABSENT = InstanceState.RUNNING, InstanceState.ENDED, InstanceState.ABSENT


def mark(name: str) -> str:
    """Give a word for command lines that no other run of the tests on this machine has."""
    return f"{name}-{os.getpid()}"


def empty(node: LocalNode) -> str:
    return node.release({"app.py": ""})


def test_it_switches_under_load_without_a_failed_request(node: LocalNode) -> None:
    old = node.serve(ANSWER="old")
    node.runtime.route(HOST, old)
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            answers.append(node.get())

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    new = node.serve(ANSWER="new")
    node.runtime.route(HOST, new)
    node.runtime.stop(old, 5)
    before = len(answers)
    wait_until(lambda: len(answers) > before + 50)
    over.set()
    for visitor in visitors:
        visitor.join()
    assert {status for status, _ in answers} == {200}
    assert [text for _, text in answers[before:]].count("old") == 0
    assert {text for _, text in answers} == {"old", "new"}
    assert node.runtime.instances() == [new]


def test_it_lets_a_request_under_way_finish_on_the_old_version(node: LocalNode) -> None:
    slow = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            print("asked", flush=True)
            time.sleep(3)
        self.send_response(200); self.end_headers(); self.wfile.write(b"old")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
    old = node.start(node.release({"app.py": slow}))
    assert node.healthy(old).healthy
    node.runtime.route(HOST, old)
    answers: list[tuple[int, str]] = []
    visitor = threading.Thread(target=lambda: answers.append(node.get(path="/slow")))
    visitor.start()
    wait_until(lambda: "asked" in node.runtime.output(old))
    node.runtime.route(HOST, node.serve(ANSWER="new"))
    assert node.get() == (200, "new")
    visitor.join()
    assert answers == [(200, "old")]


def test_it_starts_beside_what_runs_and_each_has_its_own_port(node: LocalNode) -> None:
    first, second = node.serve(ANSWER="1"), node.serve(ANSWER="2")
    assert node.runtime.instances() == [first, second]
    assert node.runtime.status(first).state is node.runtime.status(second).state is RUNNING
    chosen = {record.spec["port"] for record in node.runtime.layout.all_records()}
    assert len(chosen) == 2


def test_starting_what_runs_already_changes_nothing(node: LocalNode) -> None:
    instance = node.serve(ANSWER="1")
    before = node.runtime.layout.record(instance.environment, instance.number).state
    node.runtime.start(Spec(instance, node.release({"app.py": ""}), "true"))
    assert node.runtime.layout.record(instance.environment, instance.number).state == before
    assert node.healthy(instance).healthy


def test_stopping_leaves_no_process_behind(node: LocalNode) -> None:
    instance = node.start(node.release("forks"), f"python3 app.py {mark('leaves-one-behind')}")
    assert node.healthy(instance).healthy
    wait_until(lambda: len(processes_with(mark("leaves-one-behind"))) >= 2)
    node.runtime.stop(instance, 0.5)
    assert processes_with(mark("leaves-one-behind")) == []
    assert node.runtime.status(instance).state is ABSENT
    assert node.runtime.instances() == []
    assert processes.descendants(node.node.pid) == _portal_processes(node)


def _portal_processes(node: LocalNode) -> list[int]:
    return [
        pid
        for pid in processes.descendants(node.node.pid)
        if not Path(f"/proc/{pid}/comm").read_text().startswith("bwrap")
    ]


def test_an_instance_that_ends_by_itself_takes_everything_along(node: LocalNode) -> None:
    release = node.release({"app.py": ""})
    instance = node.start(release, f"(sleep 600; : {mark('outlives-its-parent')}) & sleep 0.2; exit 3")
    wait_until(lambda: node.runtime.status(instance).state is ENDED)
    assert node.runtime.status(instance).ended == "exit code 3"
    assert processes_with(mark("outlives-its-parent")) == []


def test_it_ends_what_takes_no_notice_of_being_asked(node: LocalNode) -> None:
    instance = node.start(node.release("ignores_term"), f"exec python3 app.py {mark('does-not-listen')}")
    assert node.healthy(instance).healthy
    began = time.monotonic()
    node.runtime.stop(instance, 0.7)
    assert 0.6 < time.monotonic() - began < 20
    assert processes_with(mark("does-not-listen")) == []
    assert "Asked to end; staying." in node.runtime.output(instance)


def test_it_gives_an_app_the_time_to_say_goodbye(node: LocalNode) -> None:
    app = """
import os, signal, sys, time
def end(*_):
    time.sleep(0.5)
    print("goodbye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(1)
"""
    instance = node.start(node.release({"app.py": app}), "true && python3 app.py && echo after")
    wait_until(lambda: "ready" in node.runtime.output(instance))
    node.runtime.stop(instance, 5)
    assert node.runtime.output(instance).splitlines() == ["ready", "goodbye", "after"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("exit 3", "exit code 3"),
        ("true", "exit code 0"),
        ("kill -9 $$", "signal 9"),
        ("no-such-program", "exit code 127"),
    ],
)
def test_it_says_how_an_instance_ended(node: LocalNode, command: str, words: str) -> None:
    instance = node.start(empty(node), command)
    wait_until(lambda: node.runtime.status(instance).state is ENDED)
    assert node.runtime.status(instance).ended == words
    health = node.runtime.check(instance, "/", 1)
    assert not health.healthy
    assert health.detail == f"It ended: {words}."


def test_it_shows_what_an_instance_wrote(node: LocalNode) -> None:
    instance = node.start(node.release("crashes"))
    wait_until(lambda: node.runtime.status(instance).state is ENDED)
    assert node.runtime.status(instance).ended == "exit code 3"
    expected = ["Reading the settings.", "The price list is missing, so the app can't start."]
    assert node.runtime.output(instance).splitlines() == expected
    assert node.runtime.output(instance, lines=1) == expected[-1]
    node.runtime.stop(instance, 1)
    assert node.runtime.output(instance, lines=1) == expected[-1]


def test_it_reads_the_end_of_a_long_output_only_and_survives_odd_bytes(node: LocalNode) -> None:
    app = r"""
import sys
for number in range(200000):
    print("line", number)
sys.stdout.flush()
sys.stdout.buffer.write(bytes([255]) + b"\x1b[31mend\n")
"""
    instance = node.start(node.release({"app.py": app}))
    wait_until(lambda: node.runtime.status(instance).state is ENDED)
    wait_until(lambda: node.runtime.output(instance, 1).endswith("end"))
    lines = node.runtime.output(instance, 3).splitlines()
    assert lines == ["line 199998", "line 199999", "\ufffd\x1b[31mend"]


def test_it_follows_no_link_to_read_output(node: LocalNode) -> None:
    (node.var / "secret").write_text("secret")
    path = node.runtime.layout.output(1, 12345)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(node.var / "secret")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        node.runtime.output(Instance(1, 12345))
    path.unlink()


def test_it_is_not_fooled_by_a_stranger_on_the_instance_s_port(shared_node: LocalNode) -> None:
    node = shared_node
    waiting = node.start(empty(node), "sleep 600")
    port = node.runtime.layout.record(waiting.environment, waiting.number).spec["port"]
    thief = node.start(node.release({"app.py": SERVER}), f"PORT={port} python3 app.py", environment=2)

    def stranger_answers() -> bool:
        return node.runtime.check(waiting, "/", 5).detail == "Another process listens on its port."

    wait_until(stranger_answers)
    assert not node.runtime.check(waiting, "/", 5).healthy
    assert node.runtime.status(thief).state is RUNNING


def test_it_keeps_data_from_one_instance_to_the_next(node: LocalNode) -> None:
    first = node.start(empty(node), 'echo kept > "$DATA_DIR/note"', environment=6)
    wait_until(lambda: node.runtime.status(first).state is ENDED)
    second = node.start(empty(node), "cat /data/note", environment=6)
    wait_until(lambda: node.runtime.status(second).state is ENDED)
    assert node.runtime.output(second) == "kept"


def test_a_killed_launcher_takes_its_sandbox_along_and_is_started_again(node: LocalNode) -> None:
    instance = node.serve(command=f"python3 app.py {mark('orphaned')}", ANSWER="1")
    record = node.runtime.layout.record(instance.environment, instance.number)
    launcher, marked = record.state["launcher"], set(processes_with(mark("orphaned")))
    os.kill(launcher, signal.SIGKILL)
    wait_until(lambda: not marked & set(processes_with(mark("orphaned"))))
    wait_until(lambda: record.state["launcher"] != launcher)
    assert node.healthy(instance).healthy


def test_everything_comes_back_after_supervision_was_killed(tmp_path: Path) -> None:
    with running_node(tmp_path / "var") as node:
        instance = node.serve(command=f"python3 app.py {mark('comes-back')}", ANSWER="here")
        gone = node.start(node.release({"app.py": ""}), "sleep 600")
        node.runtime.stop(gone, 1)
        node.runtime.route(HOST, instance)
        before = set(processes_with(mark("comes-back")))
        os.kill(node.node.pid, signal.SIGKILL)
        wait_until(lambda: not before & set(processes_with(mark("comes-back"))))
        wait_until(lambda: node.runtime.status(instance).state is ENDED)
        wait_until(node.node.has_ended)
        with pytest.raises(RuntimeFailure, match="not running"):
            node.start(node.release({"app.py": ""}), "true")
        node.node.start()
        assert node.runtime.instances() == [instance]
        assert node.healthy(instance).healthy
        assert node.get() == (200, "here")
    assert processes_with(mark("comes-back")) == []
    assert processes_with(str(tmp_path)) == []


def test_after_the_machine_was_cut_off_what_ran_comes_back_and_nothing_else(tmp_path: Path) -> None:
    """Everything is killed at once, as by a power cut; what the app had left behind is not there twice."""
    word = mark("forks-twice")
    with running_node(tmp_path / "var") as node:
        instance = node.start(node.release("forks"), f"python3 app.py {word}")
        stopped = node.start(node.release("forks"), f"python3 app.py {word}", environment=2)
        assert node.healthy(instance).healthy
        assert node.healthy(stopped).healthy
        node.runtime.route(HOST, instance)
        node.runtime.stop(stopped, 1)
        everything = [node.node.pid, *processes.descendants(node.node.pid)]
        assert len(everything) > 8
        for pid in everything:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(processes.is_alive, everything)))
        assert processes_with(word) == []
        wait_until(node.node.has_ended)
        node.node.start()
        assert node.runtime.instances() == [instance]
        assert node.healthy(instance).healthy
        assert node.get()[0] == 204
        wait_until(lambda: len(processes_with(word)) >= 2)
        node.runtime.stop(instance, 0.5)
        assert processes_with(word) == []


@pytest.mark.parametrize("helper", ["relay", "slirp4netns"])
def test_an_instance_does_without_no_helper_and_leaves_none(node: LocalNode, helper: str) -> None:
    instance = node.serve(ANSWER="1")
    node.runtime.route(HOST, instance)
    launcher = node.runtime.layout.record(instance.environment, instance.number).state["launcher"]
    children = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in processes.descendants(launcher)}
    relay = next(
        pid for pid, name in children.items() if name.startswith("python") and processes.parent(pid) == launcher
    )
    carrier = [pid for pid, name in children.items() if name == "slirp4netns"]
    assert bool(carrier) == node.runtime._found.separate
    os.kill(relay if helper == "relay" else (carrier or [relay])[0], signal.SIGKILL)
    wait_until(lambda: not any(map(processes.is_alive, children)))
    wait_until(lambda: node.runtime.status(instance).state is ENDED)


def test_an_instance_whose_port_was_taken_comes_back_on_another_one(tmp_path: Path) -> None:
    with running_node(tmp_path / "var", shared_network=True) as node:
        instance = node.serve(ANSWER="here")
        node.runtime.route(HOST, instance)
        port = node.runtime.layout.record(instance.environment, instance.number).spec["port"]
        node.node.stop()
        with socket.create_server(("127.0.0.1", port)):
            node.node.start()
            assert node.healthy(instance).healthy
            assert node.get() == (200, "here")
        assert node.runtime.layout.record(instance.environment, instance.number).spec["port"] != port


def test_an_instance_can_be_stopped_while_nothing_runs(tmp_path: Path) -> None:
    with running_node(tmp_path / "var") as node:
        instance = node.serve(ANSWER="here")
        node.node.stop()
        node.runtime.stop(instance, 1)
        node.node.start()
        assert node.runtime.instances() == []
        assert node.runtime.status(instance).state is ABSENT


def test_stopping_twice_is_stopping_once(node: LocalNode) -> None:
    instance = node.serve(ANSWER="1")
    threads = [threading.Thread(target=node.runtime.stop, args=(instance, 1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    node.runtime.stop(instance, 1)
    assert node.runtime.instances() == []


def test_many_start_at_once(node: LocalNode) -> None:
    release = empty(node)
    started: list[Instance] = []
    threads = [threading.Thread(target=lambda: started.append(node.start(release, "sleep 600"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert node.runtime.instances() == sorted(started)
    assert {node.runtime.status(instance).state for instance in started} == {RUNNING}
    assert len({record.spec["port"] for record in node.runtime.layout.all_records()}) == 6


def test_a_package_is_unpacked_as_a_whole_or_not_at_all(node: LocalNode) -> None:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("Procfile", "web: true\n")
        archive.writestr("../outside", "x")
    release = "b" * 64
    with pytest.raises(PackageRefused):
        node.runtime.prepare(release, buffer)
    assert not node.runtime.has_release(release)
    assert not any(release in path.name for path in node.runtime.layout.releases.iterdir())


def test_what_a_killed_worker_unpacked_is_unpacked_again(node: LocalNode) -> None:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("Procfile", "web: true\n")
    release = "c" * 64
    half = node.runtime.layout.releases / f".{release}"
    half.mkdir()
    (half / "half").write_text("x")
    node.runtime.prepare(release, buffer)
    assert [path.name for path in (node.runtime.layout.releases / release).iterdir()] == ["Procfile"]
    assert not half.exists()


def test_a_release_in_use_is_not_removed(node: LocalNode) -> None:
    release = empty(node)
    instance = node.start(release, "sleep 600")
    with pytest.raises(RuntimeFailure, match="in use"):
        node.runtime.remove_release(release)
    node.runtime.stop(instance, 0.5)
    node.runtime.remove_release(release)
    assert not node.runtime.has_release(release)


def start_openly(node: LocalNode, source: str, command: str) -> Instance:
    """Start without a sandbox, as on a host that can make none."""
    node.count += 1
    instance = Instance(8, node.count)
    record = node.runtime.layout.record(instance.environment, instance.number)
    files.make_private(record.folder)
    files.make_private(node.runtime.layout.data(instance.environment))
    known = {"release": node.release(source), "command": command, "variables": {}, "host": "", "hidden": []}
    record.spec = known | {"port": ports.choose(), "user": None, "sandboxed": False}
    node.runtime.supervision.describe(record)
    node.runtime.supervision.start(record)
    return instance


def test_without_a_sandbox_it_still_ends_everything(node: LocalNode) -> None:
    instance = start_openly(node, "forks", f"python3 app.py {mark('in-the-open')}")
    assert node.healthy(instance).healthy
    wait_until(lambda: len(processes_with(mark("in-the-open"))) >= 3)
    node.runtime.stop(instance, 0.5)
    assert processes_with(mark("in-the-open")) == []
    assert node.runtime.status(instance).state is ABSENT


def test_without_a_sandbox_the_portal_s_variables_stay_with_the_portal(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a-secret")
    instance = start_openly(node, "crashes", "env")
    wait_until(lambda: node.runtime.status(instance).state is ENDED)
    names = {line.partition("=")[0] for line in node.runtime.output(instance).splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"DATABASE_URL", "DATA_DIR", "HOME", "LANG", "PATH", "PORT"}


def test_a_root_portal_runs_nothing_without_a_sandbox(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = empty(node)
    monkeypatch.setenv("PATH", str(tmp_path))
    runtime = ProcessRuntime(node.var, node.port)
    assert not runtime.isolation().complete
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(RuntimeFailure, match="no package runs while the portal is root"):
        runtime.start(Spec(Instance(1, 99), release, "true"))
    assert runtime.instances() == []


def test_it_works_below_a_long_and_odd_path(tmp_path: Path) -> None:
    var = tmp_path / "a folder, 100% odd {env.HOME} $HOME é" / ("long" * 30)
    var.mkdir(parents=True)
    with running_node(var) as node:
        instance = node.serve(ANSWER="here")
        node.runtime.route(HOST, instance)
        assert node.get() == (200, "here")
        wait_until(lambda: (node.runtime.layout.log / "access.log").exists())


def test_the_node_ends_in_time_whatever_its_apps_do(tmp_path: Path) -> None:
    with running_node(tmp_path / "var") as node:
        release = node.release("ignores_term")
        for environment in (1, 2, 3):
            assert node.healthy(node.start(release, f"python3 app.py {mark('stays-on')}", environment)).healthy
        began = time.monotonic()
        node.node.stop()
        assert time.monotonic() - began < 10
        assert processes_with(mark("stays-on")) == []


@pytest.mark.parametrize("name", ["it's", 'a"b', "a;b", "a #b", "a[b]", "a\nb"])
def test_it_says_which_paths_it_cannot_work_below(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RuntimeFailure, match="supervisord can't read the path"), running_node(tmp_path / name):
        pass
