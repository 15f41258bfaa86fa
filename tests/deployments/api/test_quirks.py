"""What public clients do, one test for each note of the interface."""

import json

import pytest
from django.test import Client

from deployments.api.table import CALLS
from environments.models import Environment
from tests.deployments.api.client import ApiError
from tests.deployments.api.conftest import World
from tests.deployments.fakes import archive


def test_start_right_after_transport_queues(world: World) -> None:
    client = world.client()
    client.transport("calc", "Test", str(world.old.key))
    assert client.start("calc", "Test") == "2"
    assert world.jobs() == ["transport queued", "start queued"]
    world.work()
    assert world.jobs() == ["transport done", "start done"]


def test_every_answer_to_a_post_is_json(world: World) -> None:
    client = world.client()
    for path, body in (
        ("environments/Test/stop", None),
        ("environments/Test/clean", None),
        ("environments/Test/transport", {"PackageId": str(world.old.key)}),
        ("environments/Test/start", {}),
        ("environments/Test/settings/", {}),
        ("environments/Test/tags", {"Tag": "a"}),
    ):
        assert isinstance(client.call("POST", f"apps/calc/{path}", body), dict)


def test_trailing_slashes_come_and_go_without_a_redirect(world: World) -> None:
    client = world.client()
    sent = {"Mendix-Username": client.username, "Mendix-ApiKey": client.key}
    for call in CALLS:
        path = "/api/1/" + call.text.replace("{AppId}", "calc").replace("{Mode}", "Test").rstrip("/")
        path = path.replace("{PackageId}", str(world.old.key)).replace("{JobId}", "1")
        method = next(iter(call.by_method))
        bare, slash = (Client().generic(method, path + end, headers=sent) for end in ("", "/"))
        assert bare.getvalue() is not None  # read to its end, so that no file stays open
        assert slash.getvalue() is not None
        assert bare.status_code == slash.status_code, path
        assert bare.status_code not in (301, 302, 307, 308), path
        assert "html" not in bare.headers["Content-Type"], path


def test_posts_come_without_a_proper_content_type(world: World) -> None:
    client = world.client()
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "junk"):
        client.kind = kind
        assert client.transport("calc", "Test", str(world.old.key)) == {}
        assert client.set_tag("calc", "Test", f"é {kind}") == {"Tag": f"é {kind}".strip()}


def test_a_start_may_have_no_body_at_all(world: World) -> None:
    client = world.client()
    for body in (b"", b"  \n", b"{}", b"\xef\xbb\xbf{}"):
        client.transport("calc", "Test", str(world.old.key))
        assert json.loads(client.ask("POST", "apps/calc/environments/Test/start", body))["JobId"]
        world.work()
        client.stop("calc", "Test")
        world.work()


def test_a_body_that_can_not_be_used_is_a_bad_request(world: World) -> None:
    client = world.client()
    useless = [b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b'{"Tag": 5}', b'{"Tag": ""}', b'{"Tag": "\\u0000"}']
    for body in [*useless, b'{"Tag": "\\ud800"}', b'{"Tag": null}']:
        with pytest.raises(ApiError, match="400 INVALID_REQUEST"):
            client.ask("POST", "apps/calc/environments/Test/tags", body)


def test_a_mode_is_matched_without_regard_to_case(world: World) -> None:
    client = world.client()
    assert {client.environment("calc", mode)["Mode"] for mode in ("Test", "test", "TEST", "tEsT")} == {"Test"}


def test_a_mode_never_falls_back_to_another_one(world: World) -> None:
    client = world.client()
    for mode in ("Tes", "Test1", "Production1", "Sandbox", "Acc", "Test%20"):
        with pytest.raises(ApiError, match="404 ENVIRONMENT_NOT_FOUND"):
            client.environment("calc", mode)


def test_an_environments_own_name_and_its_short_name_both_work(world: World) -> None:
    Environment.objects.filter(pk=world.cast.acceptance.pk).update(name="Staging")
    client = world.client()
    assert client.environment("calc", "staging") == client.environment("calc", "Acceptance")


def test_a_mode_that_means_two_environments_is_refused(world: World) -> None:
    """Acceptance was renamed to what Test is called in its address."""
    Environment.objects.filter(pk=world.cast.test.pk).update(name="Sandbox")
    Environment.objects.filter(pk=world.cast.acceptance.pk).update(name="Test")
    client = world.client()
    with pytest.raises(ApiError, match="400 INVALID_ENVIRONMENT: test means two environments"):
        client.environment("calc", "test")
    assert client.environment("calc", "sandbox")["Mode"] == "Sandbox"
    assert client.environment("calc", "acceptance")["Mode"] == "Test"


def test_a_good_package_is_called_succeeded_and_times_are_milliseconds(world: World) -> None:
    shown = world.client().package("calc", str(world.old.key))
    assert shown["Status"] == "Succeeded"
    assert shown["CreationDate"] == int(world.old.created_at.timestamp() * 1000)


def test_a_transport_right_after_a_stop_works(world: World) -> None:
    world.running(world.cast.test, world.old)
    client = world.client()
    client.stop("calc", "Test")
    client.transport("calc", "Test", str(world.new.key))
    world.work()
    assert client.environment("calc", "Test")["Status"] == "Stopped"
    assert client.deployed("calc", "Test")["Version"] == "1.1.0"


def test_a_transport_after_a_stop_that_fails_is_never_half(world: World) -> None:
    """The stop did not work, so at its turn the transport leaves everything as it is."""
    world.running(world.cast.test, world.old)
    client = world.client()
    client.stop("calc", "Test")
    client.transport("calc", "Test", str(world.new.key))
    world.runtime.failing.add("stop")
    world.runtime.failing.add("route")
    world.work()
    assert client.environment("calc", "Test")["Status"] == "Running"
    assert client.deployed("calc", "Test")["Version"] == "1.0.0"
    assert world.jobs()[-1] == "transport cancelled"


def test_a_retried_transport_is_one(world: World) -> None:
    client = world.client()
    for _ in range(2):
        assert client.transport("calc", "Test", str(world.old.key)) == {}
    assert world.jobs() == ["transport queued"]


def test_the_name_of_an_upload_may_hold_blanks_and_signs(world: World) -> None:
    key = world.client().upload_bare("calc", "Main%20line-2.5.4.63.mda", archive("2.5.4").read())
    assert world.client().package("calc", key)["Version"] == "2.5.4"
