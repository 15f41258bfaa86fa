"""Data that take long to upload to production: what began in time is accepted, unless the window was withdrawn."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.utils import timezone

from accounts.models import ProductionWindow
from deployments.models import Backup
from tests.cast import Cast, unlocked
from tests.deployments.backups.stage import on
from tests.deployments.fakes import FakeRuntime

UPLOAD = "/apps/calc/environments/production/backups/upload/"
End = ProductionWindow.End


class Slow(TemporaryFileUploadHandler):
    """Something happens while the bytes arrive."""

    happens: Callable[[], object]

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        type(self).happens()
        super().receive_data_chunk(raw_data, start)


def ends(why: str) -> Callable[[], object]:
    return lambda: ProductionWindow.objects.filter(ended_at=None).update(ended_at=timezone.now(), ended_why=why)


@pytest.fixture
def answer_when(cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    settings.FILE_UPLOAD_HANDLERS = [f"{__name__}.{Slow.__name__}"]
    on(cast, FakeRuntime(), cast.production)
    client = unlocked(cast.alice)

    def upload(happens: Callable[[], object]) -> int:
        monkeypatch.setattr(Slow, "happens", staticmethod(happens), raising=False)
        data = SimpleUploadedFile("data", b"SQLite format 3\0" + bytes(90_000))
        return client.post(UPLOAD, {"file": data, "comment": ""}).status_code

    return upload


Answer = Callable[[Callable[[], object]], int]


def test_it_is_kept_when_the_window_runs_out(answer_when: Answer) -> None:
    assert answer_when(lambda: ProductionWindow.objects.update(ends_at=timezone.now())) == 302
    assert Backup.objects.get().kind == "uploaded"


def test_it_is_kept_when_a_new_code_is_entered(cast: Cast, answer_when: Answer) -> None:
    # As the same browser does in another tab: the window ends for a new one
    def renew() -> None:
        ends(End.NEW_CODE)()
        unlocked(cast.alice)

    assert answer_when(renew) == 302
    assert Backup.objects.count() == 1


@pytest.mark.parametrize("why", [End.BY_PERSON, End.SIGNED_OUT, End.NEW_CODE, End.PASSWORD, End.DISABLED, End.BLOCKED])
def test_it_is_not_kept_when_the_window_is_withdrawn(answer_when: Answer, why: str) -> None:
    assert answer_when(ends(why)) == 403
    assert not Backup.objects.exists()
