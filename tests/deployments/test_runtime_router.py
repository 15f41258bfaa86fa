"""Where host names lead, and what a browser is told where they lead nowhere."""

import http.client
import socket

import pytest

from deployments.runtimes import files, ports, processes
from deployments.runtimes.base import Instance, InstanceState, RuntimeFailure
from tests.deployments.node import HOST, LocalNode, wait_until


def test_it_tells_apart_what_is_unknown_stopped_ended_and_silent(node: LocalNode) -> None:
    status, page = node.get("nobody--knows")
    assert (status, "There is nothing at this address" in page) == (404, True)

    node.runtime.route(HOST, None)
    status, page = node.get()
    assert (status, "This environment is stopped" in page) == (503, True)

    release = node.release({"app.py": ""})
    ending = node.start(release, "sleep 0.3")
    node.runtime.route(HOST, ending)
    wait_until(lambda: node.runtime.status(ending).state is InstanceState.ENDED)
    wait_until(lambda: "This environment does not run" in node.get()[1])

    silent = node.start(release, "sleep 600")
    node.runtime.route(HOST, silent)
    status, page = node.get()
    assert (status, "This environment does not answer" in page) == (503, True)

    node.runtime.stop(silent, 1)
    assert "This environment is stopped" in node.get()[1]


def test_it_answers_on_every_loopback_address_and_nowhere_else(node: LocalNode) -> None:
    node.runtime.route(HOST, node.serve(ANSWER="here"))
    for address in ports.loopback():
        assert node.get(address=address.strip("[]")) == (200, "here")
    with socket.socket() as other:
        other.bind(("127.0.0.2", node.port))


def test_it_remembers_every_route(node: LocalNode) -> None:
    one, two = node.serve(1, ANSWER="1"), node.serve(2, ANSWER="2")
    node.runtime.route("test--calc", one)
    node.runtime.route("production--calc", two)
    assert node.get("test--calc") == (200, "1")
    assert node.get("production--calc") == (200, "2")
    routes = node.runtime.routes()
    assert (routes["test--calc"], routes["production--calc"]) == (one, two)
    assert node.runtime.address("test--calc") == f"http://test--calc.apps.localhost:{node.port}"


def test_a_restarted_router_leads_to_the_same(own_node: LocalNode) -> None:
    own_node.runtime.route(HOST, own_node.serve(ANSWER="here"))
    own_node.node.stop()
    own_node.node.start()
    instance = own_node.runtime.routes()[HOST]
    assert instance is not None
    assert own_node.healthy(instance).healthy
    assert own_node.get() == (200, "here")


def test_nothing_is_switched_while_the_router_is_not_there(own_node: LocalNode) -> None:
    old = own_node.serve(ANSWER="old")
    own_node.runtime.route(HOST, old)
    new = own_node.serve(ANSWER="new")
    own_node.node.stop()
    with pytest.raises(RuntimeFailure, match="nothing was switched"):
        own_node.runtime.route(HOST, new)
    assert own_node.runtime.routes() == {HOST: old}
    own_node.node.start()
    assert own_node.healthy(old).healthy
    assert own_node.get() == (200, "old")


@pytest.mark.parametrize(
    "host", ["*", "production--*", "PRODUCTION--CALC", "production--calc.x", "", "..", "{env.HOME}"]
)
def test_a_host_name_is_no_pattern(node: LocalNode, host: str) -> None:
    node.runtime.route(HOST, node.serve(ANSWER="the app"))
    status, page = node.get(host)
    assert status in (400, 404)
    assert "the app" not in page


def test_an_open_connection_outlives_the_switch(node: LocalNode) -> None:
    node.runtime.route(HOST, node.serve(ANSWER="old"))
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    headers = {"Host": f"{HOST}.apps.localhost:{node.port}"}
    answers = []
    for version in ("new", "newer"):
        connection.request("GET", "/", headers=headers)
        answers.append(connection.getresponse().read())
        node.runtime.route(HOST, node.serve(ANSWER=version))
    connection.request("GET", "/", headers=headers)
    answers.append(connection.getresponse().read())
    connection.close()
    assert answers == [b"old", b"new", b"newer"]


@pytest.mark.parametrize("label", ["", "-a", "a-", "A", "a.b", "a" * 64, "a b", "*", "{env.HOME}", "é"])
def test_it_refuses_what_is_no_host_name(node: LocalNode, label: str) -> None:
    with pytest.raises(RuntimeFailure):
        node.runtime.route(label, None)
    assert label not in node.runtime.routes()


def test_it_leads_only_to_what_was_started(node: LocalNode) -> None:
    with pytest.raises(RuntimeFailure):
        node.runtime.route(HOST, Instance(9, 9))


def test_its_control_socket_is_for_the_portal_only(node: LocalNode) -> None:
    run = node.runtime.layout.run
    assert run.stat().st_mode & 0o777 == 0o700
    assert files.read_json(run / "caddy.json")["admin"]["listen"] == "unix/caddy.sock"
    everything = processes.descendants(node.node.pid)
    assert processes.listens(node.port, everything)
    assert not processes.listens(2019, everything)  # where Caddy listens if it is not told otherwise


def test_visits_are_logged_for_the_portal_only(node: LocalNode) -> None:
    log = node.runtime.layout.log / "access.log"
    node.get("nobody--knows", "/a-visit")
    wait_until(lambda: "/a-visit" in log.read_text())
    assert log.stat().st_mode & 0o077 == 0
    assert node.runtime.layout.log.stat().st_mode & 0o777 == 0o700
