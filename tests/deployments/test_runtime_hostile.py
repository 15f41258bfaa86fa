"""A package that tries to get out, to get rights and to use up the host."""

import fcntl
import json
import os
import resource
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.runtimes import ports, sandbox
from deployments.runtimes.base import Instance
from tests.deployments.node import HOST, LocalNode, wait_until

MEMORY = 400 * 1024**2
SIOCGIFADDR = 0x8915  # <linux/sockios.h>
ATTACKER, VICTIM = 1, 2


@pytest.fixture
def weak_node(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> LocalNode:
    """A node on which an app has little memory."""
    monkeypatch.setattr(node.runtime, "_memory", MEMORY)
    return node


def attacker(node: LocalNode, **variables: str) -> Instance:
    instance = node.start(node.release("hostile"), environment=ATTACKER, **variables)
    assert node.healthy(instance).healthy, node.runtime.output(instance)
    node.runtime.route(HOST, instance)
    return instance


def attack(node: LocalNode, name: str) -> Any:
    status, answer = node.get(path=f"/{name}")
    assert status == 200, answer
    return json.loads(answer)


def test_it_gets_no_rights(node: LocalNode) -> None:
    attacker(node)
    tried = attack(node, "rights")
    if os.getuid():
        # The first process is bubblewrap's, with no more rights than the app; only another user could be kept off it
        del tried["trace the first process"]
    assert len(tried) > 20
    assert {name: said for name, said in tried.items() if not said.startswith("refused: ")} == {}
    own = node.runtime.layout.record(ATTACKER, node.count).spec["user"] or os.getuid()
    assert set(attack(node, "setuid").split()) == {str(own)}


def address_of(interface: str) -> str:
    """Give the IPv4 address of one of this machine's interfaces; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", interface.encode()))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


@pytest.fixture
def outside() -> Iterator[tuple[str, int]]:
    """A server on an address of this machine that is not a loopback one, as anything in the world is to an app."""
    found = filter(None, (address_of(name) for _, name in socket.if_nameindex()))
    address = next((each for each in found if not each.startswith("127.")), "127.0.0.1")
    with socket.create_server((address, 0)) as server:
        yield address, int(server.getsockname()[1])


METADATA = ("169.254.169.254", 80)  # where clouds keep the keys of a machine


def test_it_reaches_nothing_of_the_host_but_the_world(node: LocalNode, outside: tuple[str, int]) -> None:
    victim = node.serve(VICTIM, ANSWER="victim")
    port = node.runtime.layout.record(VICTIM, victim.number).spec["port"]
    with socket.create_server(("127.0.0.1", 0)) as portal, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind(f"\0of-the-host-{os.getpid()}")
        hidden.listen()
        places = [
            (host, number)
            for host in ("127.0.0.1", "10.0.2.2", "::1")
            for number in (node.port, port, portal.getsockname()[1])
        ]
        attacker(node, PLACES=json.dumps([*places, METADATA, outside]))
        found = attack(node, "network")
    if not node.runtime._found.separate:
        assert "share the network" in node.runtime.isolation().gaps[0]
        return
    world = found["reached"].pop(f"{outside[0]}:{outside[1]}")
    # Refused here and at once, whatever the host would find there
    assert found["reached"].pop("169.254.169.254:80") == "refused: No route to host"
    assert all(said.startswith("refused: ") for said in found["reached"].values()), found["reached"]
    assert len(found["reached"]) == len(places)
    # Its own relay is seen by name, and not reached by it
    assert [name for name in found["unix"] if not name.endswith("/app.sock")] == []
    assert len(found["listening"]) == 1
    assert found["interfaces"] == ["lo", "tap0"]
    assert world.startswith("done") or outside[0] == "127.0.0.1"
    assert node.runtime.check(victim, "/", 5).healthy


def test_where_the_network_is_shared_the_host_says_so(
    shared_node: LocalNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from deployments.runtimes import network
    from deployments.runtimes.isolation import try_host

    monkeypatch.setattr(network, "PROGRAM", "no-such-program")
    found = try_host(shared_node.var, shared_node.runtime._user(0))
    assert found.isolation.complete
    assert not found.separate
    assert "no-such-program is missing" in found.isolation.gaps[0]
    attacker(shared_node, PLACES=json.dumps([("127.0.0.1", shared_node.port)]))
    assert attack(shared_node, "network")["reached"][f"127.0.0.1:{shared_node.port}"].startswith("done")


def test_it_does_not_use_up_the_host(weak_node: LocalNode) -> None:
    instance = attacker(weak_node)
    record = weak_node.runtime.layout.record(ATTACKER, instance.number)
    assert 1000 < attack(weak_node, "files") < 8192
    assert attack(weak_node, "memory").startswith(("killed: -9", "refused: out of memory"))
    space = attack(weak_node, "space")
    assert space["big file"] == "refused: File too large"
    assert space["shared memory"] == "refused: No space left on device"
    assert space["temporary files"] <= sandbox.TMP_BYTES
    attack(weak_node, "kill")
    assert weak_node.healthy(instance).healthy
    assert record.state["launcher"]


def test_the_memory_of_an_app_is_counted_as_a_whole_where_the_host_says_so(weak_node: LocalNode) -> None:
    whole = not any("for each process" in gap for gap in weak_node.runtime.isolation().gaps)
    take = "import time; x = b'x' * (200 * 1024**2); time.sleep(1); print('got it')"
    line = f'for _ in 1 2 3; do python3 -c "{take}" & done; wait; echo over; exec sleep 600'
    instance = weak_node.start(weak_node.release({"app.py": ""}), line)
    wait_until(lambda: "over" in weak_node.runtime.output(instance))
    assert (weak_node.runtime.output(instance).count("got it") < 3) == whole


def test_one_app_s_processes_do_not_count_for_another(node: LocalNode) -> None:
    attacker(node)
    victim = node.serve(VICTIM, ANSWER="victim")
    assert 50 < attack(node, "forks") < sandbox.PROCESSES
    assert node.runtime.check(victim, "/", 5).healthy


def test_the_portal_s_own_limits_stay_as_they_are(node: LocalNode) -> None:
    before = resource.getrlimit(resource.RLIMIT_NPROC), os.getpriority(os.PRIO_PROCESS, 0)
    node.serve(ANSWER="x")
    assert (resource.getrlimit(resource.RLIMIT_NPROC), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_ports_of_the_host_are_free_for_others_while_apps_run(node: LocalNode) -> None:
    instance = node.serve(ANSWER="x")
    port = node.runtime.layout.record(1, instance.number).spec["port"]
    assert ports.is_free(port) == node.runtime._found.separate
