"""An upload to production that began in time is accepted when it ends late."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.utils import timezone

from accounts.models import ProductionWindow
from tests.cast import Cast, unlocked

UPLOAD = "/apps/calc/environments/production/upload/"


@pytest.fixture
def uploads(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.undeclared_urls"


class WhileItRunsOut(TemporaryFileUploadHandler):
    """The eight hours run out while the bytes arrive."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        ProductionWindow.objects.update(ends_at=timezone.now())
        super().receive_data_chunk(raw_data, start)


def large(size: int = 300_000) -> dict[str, SimpleUploadedFile]:
    return {"file": SimpleUploadedFile("data", b"x" * size)}


@pytest.mark.usefixtures("uploads")
def test_it_is_accepted_when_the_window_runs_out_while_it_arrives(cast: Cast, settings: Any) -> None:
    settings.FILE_UPLOAD_HANDLERS = [f"{__name__}.{WhileItRunsOut.__name__}"]
    client = unlocked(cast.alice)
    assert client.post(UPLOAD, large()).content == b"arrived"
    assert client.get("/apps/calc/permissions/production/").status_code == 302, "it did run out"


@pytest.mark.usefixtures("uploads")
def test_it_is_not_begun_with_a_closed_window(cast: Cast) -> None:
    client = unlocked(cast.alice)
    client.post("/authenticator/end/")
    answer = client.post(UPLOAD, large())
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/authenticator/?next=")


@pytest.mark.usefixtures("uploads")
def test_a_large_body_is_refused_unread_by_whoever_may_not_upload(cast: Cast) -> None:
    assert unlocked(cast.charlie).post(UPLOAD, large()).status_code == 404
    assert unlocked(cast.alice).post("/account/", large()).status_code == 413
    assert unlocked(cast.bob).post(UPLOAD, large(1_100_000)).status_code == 413
