"""Bodies whose length nobody announces: Node's `http.request`, Go's `io.Pipe` and `curl -T -` send them in chunks."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as portal
from django.test import Client

from deployments.models import Package
from tests.deployments.api.client import DeployClient, Reply
from tests.deployments.api.conftest import Replied, World
from tests.deployments.api.test_calls import refused
from tests.deployments.fakes import archive


class Broken(BytesIO):
    """A body that breaks off, as gunicorn says it."""

    def read(self, size: int | None = -1, /) -> bytes:
        if piece := super().read(size):
            return piece
        raise OSError("No more data")


def in_chunks(stream: type[BytesIO] = BytesIO) -> Any:
    def send(method: str, path: str, headers: Mapping[str, str], body: bytes, kind: str) -> Reply:
        as_gunicorn: dict[str, Any] = {
            "wsgi.input": stream(body),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_TYPE": kind,
        }
        reply: Any = Client().generic(method, path, headers=dict(headers), **as_gunicorn)
        return Replied(reply.status_code, dict(reply.headers), reply.getvalue())

    return send


@pytest.fixture
def client(world: World) -> DeployClient:
    return DeployClient(in_chunks(), world.cast.alice.email, world.key()[1])


def test_json_in_chunks_is_read(world: World, client: DeployClient) -> None:
    assert client.transport("calc", "Test", str(world.old.key)) == {}
    wanted = {"Constants": [{"Name": "NOT_THERE", "Value": "1"}]}
    refused(lambda: client.set_settings("calc", "Test", wanted), 400, "CONSTANT_NOT_FOUND")


@pytest.mark.parametrize("way", ["form", "bare"])
def test_an_upload_in_chunks_is_taken_as_a_form_or_bare(world: World, client: DeployClient, way: str) -> None:
    content = archive("3.0.0").read()
    upload = client.upload if way == "form" else client.upload_bare
    key = upload("calc", "calc-3.0.0.mda", content)
    assert world.client().download("calc", key) == content


def test_too_much_in_chunks_is_refused(client: DeployClient, settings: Any) -> None:
    refused(lambda: client.set_tag("calc", "Test", "a" * portal.FORM_MAX_BYTES), 413, "TOO_LARGE")
    settings.PACKAGE_MAX_BYTES = settings.FORM_MAX_BYTES = 100
    for upload in (client.upload, client.upload_bare):
        refused(lambda upload=upload: upload("calc", "a.zip", bytes(1000)), 413, "TOO_LARGE")
    assert Package.objects.count() == 2


def test_chunks_that_break_off_are_a_bad_request(client: DeployClient) -> None:
    client.send = in_chunks(Broken)
    refused(lambda: client.upload_bare("calc", "a.zip", bytes(1000)), 400, "INVALID_REQUEST")
    refused(
        lambda: client.ask("POST", "apps/calc/packages/upload", b"--e\r\n", "multipart/form-data; boundary=e"),
        400,
        "INVALID_REQUEST",
    )


def test_the_reserve_is_kept_though_nobody_said_how_much_comes(
    client: DeployClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DISK_RESERVE_BYTES = 500
    monkeypatch.setattr("deployments.repository.shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    for upload in (client.upload, client.upload_bare):
        refused(lambda upload=upload: upload("calc", "a.zip", bytes(1000)), 500, "UPLOAD_COPY_FAILED")
