"""What the Backups tab says of an environment's data: what they are, what they take, what room is left."""

import re
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from deployments.backups.overview import DATABASES
from deployments.models import Watch
from deployments.runtimes import get_runtime
from deployments.runtimes.base import DatabaseKind, RuntimeFailure
from environments.models import Environment
from environments.permissions import Permission
from tests.cast import Cast, signed_in
from tests.deployments.backups.stage import on
from tests.deployments.fakes import FakeRuntime
from tests.deployments.monitoring.test_metrics_page import fill

PAGE = "/apps/calc/environments/test/backups/"
METRICS = "/apps/calc/environments/test/metrics/"
GIB = 1024**3


@pytest.fixture
def test(cast: Cast) -> Environment:
    on(cast, FakeRuntime(), cast.test)
    return cast.test


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """41 GiB are free, one of them is the portal's reserve."""
    settings.DISK_RESERVE_BYTES = GIB
    monkeypatch.setattr(get_runtime(), "room", lambda environment: 41 * GIB, raising=False)


def counted(environment: Environment, database: int, files: int, minutes: int = 3) -> None:
    at = timezone.now() - timedelta(minutes=minutes)
    values = {"database_bytes": database, "files_bytes": files, "counted_at": at}
    Watch.objects.update_or_create(environment=environment, defaults=values)


def rows(client: Any) -> dict[str, tuple[str, str]]:
    """The rows of the section by their names: what it is, how much."""
    html = client.get(PAGE).content.decode()
    section = re.search(r'<section class="panel" aria-labelledby="data">(.*?)</section>', html, re.S)
    assert section, "there is no such section"
    found = re.findall(r'<th scope="row">(.*?)<br>(.*?)</th><td [^>]*>(.*?)</td>', section[1], re.S)
    return {name: (re.sub("<.*?>", "", what), re.sub("<.*?>", "", size)) for name, what, size in found}


def test_it_says_what_the_data_are_what_they_take_and_what_is_left(cast: Cast, test: Environment, free: None) -> None:
    counted(test, 12 * 1024**2, 3 * GIB)
    alice = signed_in(cast.alice)
    found = rows(alice)
    assert found["Database"] == (
        "SQLite, a file among the data. The app finds it by DATABASE_URL.",
        "12.0 MB",
    )
    assert "DATA_DIR. One file may take 8.0 GB." in found["Files"][0]
    assert found["Files"][1] == "3.0 GB"
    assert found["Room left"] == ("For both, shared with the other environments here.", "40.0 GB")
    html = alice.get(PAGE).content.decode()
    assert re.search(r"Counted\s+<time .*?>3 minutes ago<", html, re.S), html[html.index("Counted") :][:300]
    assert "Storage nearly full" not in html


def test_it_says_when_nobody_has_counted_yet(cast: Cast, test: Environment, free: None) -> None:
    found = rows(signed_in(cast.alice))
    assert found["Database"][1] == found["Files"][1] == "not counted yet"
    assert found["Room left"][1] == "40.0 GB"


def test_it_warns_as_the_alert_does(cast: Cast, test: Environment, free: None) -> None:
    alice = signed_in(cast.alice)
    counted(test, 0, 359 * GIB)
    assert "Storage nearly full" not in alice.get(PAGE).content.decode()
    counted(test, 1 * GIB, 359 * GIB)
    assert "Storage nearly full" in alice.get(PAGE).content.decode()


def test_nothing_is_counted_for_a_page(
    cast: Cast, test: Environment, free: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **options: Any) -> Any:
        raise AssertionError(f"{args[0]} was started")

    monkeypatch.setattr(subprocess, "Popen", never)
    monkeypatch.setattr(get_runtime(), "storage", never, raising=False)
    assert "Room left" in rows(signed_in(cast.alice))
    fill(cast, "day")
    assert signed_in(cast.alice).get(METRICS).status_code == 200


def test_a_place_that_does_not_answer_leaves_the_rest_of_the_page(
    cast: Cast, test: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(environment: int) -> int:
        raise RuntimeFailure("The place does not answer.")

    monkeypatch.setattr(get_runtime(), "room", away, raising=False)
    answer = signed_in(cast.alice).get(PAGE)
    assert answer.status_code == 200
    assert 'id="data"' not in answer.content.decode()


def test_an_empty_environment_has_none(cast: Cast) -> None:
    assert 'id="data"' not in signed_in(cast.alice).get(PAGE).content.decode()


def test_every_kind_of_database_has_its_words() -> None:
    assert set(DATABASES) == set(DatabaseKind)


def test_it_leads_to_the_metrics_and_back_whoever_may_see_both(cast: Cast, test: Environment, free: None) -> None:
    fill(cast, "day")
    cast.grant(cast.bob, cast.test, Permission.BACKUPS)
    assert METRICS not in section_of(cast)
    cast.grant(cast.bob, cast.test, Permission.MONITORING)
    assert f"{METRICS}?range=week" in section_of(cast)
    html = signed_in(cast.bob).get(METRICS).content.decode()
    assert f"{PAGE}#data" in html
    assert "Files and database, room for 40.0 GB more" in html
    assert "Of all processes of the app, 2.0 GB at most" in html


def section_of(cast: Cast) -> str:
    html = signed_in(cast.bob).get(PAGE).content.decode()
    return str(html[html.index('id="data"') : html.index("</section>")])
