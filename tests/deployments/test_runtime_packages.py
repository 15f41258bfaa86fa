"""Packages of every kind as they come to life; what goes wrong with some of them is in the other files."""

import os
import time
from pathlib import Path

from deployments.runtimes.base import Instance, Spec
from tests.deployments.node import HOST, PACKAGES, LocalNode, wait_until

TICK = os.sysconf("SC_CLK_TCK")
FILES = 16 * 1024**2  # bytes; three of 5 MB and what is being written


def serve(node: LocalNode, source: str, command: str, **variables: str) -> Instance:
    node.count += 1
    instance = Instance(9, node.count)
    node.runtime.start(Spec(instance, node.release(source), command, variables, HOST))
    assert node.healthy(instance).healthy, node.runtime.output(instance)
    node.runtime.route(HOST, instance)
    return instance


def web_line(source: str) -> str:
    lines = (PACKAGES / source / "Procfile").read_text().splitlines()
    return next(line.removeprefix("web: ") for line in lines if line.startswith("web: "))


def test_static_files(node: LocalNode) -> None:
    serve(node, "static", web_line("static"))
    status, page = node.get()
    assert (status, "Every day from nine to five." in page) == (200, True)
    assert node.get(path="/../../etc/passwd")[0] == 404


def test_a_shell_script(node: LocalNode) -> None:
    first = serve(node, "script", web_line("script"), GREETING="good day")
    assert node.get(path="/visits.txt") == (200, "first start\nstarted by app in /app with good day\n")
    second = serve(node, "script", web_line("script"))
    node.runtime.stop(first, 5)
    assert node.get(path="/visits.txt")[1].splitlines()[2:] == ["started by app in /app with no greeting"]
    assert node.runtime.output(second).startswith("Ready, listening on ")


def seconds_used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    """Give what the process ever had in memory at once, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_a_line_of_a_gigabyte_and_a_flood_of_lines_are_borne(node: LocalNode) -> None:
    bystander = node.serve(environment=2, ANSWER="quick")
    node.runtime.route("test--calc", bystander)
    launcher_of = node.runtime.layout.record
    before = seconds_used(node.node.pid)
    began = time.monotonic()
    instance = serve(node, "prints_a_gigabyte", web_line("prints_a_gigabyte"))
    launcher = launcher_of(9, instance.number).state["launcher"]
    slowest = 0.0
    output = node.runtime.layout.output(9, instance.number)
    while "The flood is over." not in node.runtime.output(instance):
        asked = time.monotonic()
        assert node.get("test--calc") == (200, "quick")
        assert node.get() == (200, "here")
        slowest = max(slowest, time.monotonic() - asked)
        assert sum(path.stat().st_size for path in output.parent.glob(f"{output.name}*")) < FILES
        assert asked - began < 60
        time.sleep(0.1)
    took = time.monotonic() - began
    print(f"{took:.1f} s; supervisord {seconds_used(node.node.pid) - before:.2f} s, {memory(node.node.pid) >> 20} MB")
    print(f"launcher {seconds_used(launcher):.2f} s, {memory(launcher) >> 20} MB; slowest {slowest:.2f} s")
    assert seconds_used(node.node.pid) - before < took / 4
    assert seconds_used(launcher) < took / 2
    assert memory(node.node.pid) < 100 * 1024**2
    assert memory(launcher) < 60 * 1024**2
    assert slowest < 3
    everything = b"".join(path.read_bytes() for path in output.parent.glob(f"{output.name}*")).decode()
    assert "… cut, 10737" in everything
    assert "The line is over." in everything
    assert "lines were dropped here: they came faster than a log can take." in everything


def test_every_package_here_is_tried_by_a_test() -> None:
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.name for path in PACKAGES.iterdir() if f'"{path.name}' not in texts] == []


def test_what_floods_can_be_stopped_at_once(node: LocalNode) -> None:
    instance = node.start(node.release({"app.py": ""}), "yes 'A line.'", environment=9)
    wait_until(lambda: "A line." in node.runtime.output(instance))
    began = time.monotonic()
    node.runtime.stop(instance, 60)
    assert time.monotonic() - began < 20
