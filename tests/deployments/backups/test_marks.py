"""Data of production keep their mark, whatever waits for what."""

import pytest

from accounts.actor import Actor
from deployments.backups.access import is_guarded
from deployments.backups.bundle import Choice
from deployments.backups.flows import note_download, request_backup, request_nightly, request_restore
from deployments.backups.models import Backup
from environments.authority import NotPermitted
from tests.cast import Cast
from tests.deployments.backups.stage import backed_up, may_all, on, work
from tests.deployments.fakes import FakeRuntime, actor_with_window


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def production(cast: Cast, runtime: FakeRuntime) -> Backup:
    for environment in (cast.test, cast.production):
        on(cast, runtime, environment)
    runtime.write(cast.production.pk, "secret")
    may_all(cast, cast.bob, cast.test)
    return backed_up(cast, runtime, cast.production)


def test_a_backup_that_waits_for_a_restore_of_productions_data_is_guarded_as_they_are(
    cast: Cast, runtime: FakeRuntime, production: Backup
) -> None:
    request_restore(cast.test, actor_with_window(cast.alice), production)
    waiting = request_backup(cast.test, Actor(cast.bob))
    for _ in range(2):
        work(runtime)
    assert runtime.read(cast.test.pk) == "secret"
    waiting.refresh_from_db()
    assert (waiting.state, waiting.production, is_guarded(waiting)) == ("completed", cast.production, True)
    with pytest.raises(NotPermitted, match="Access to Backups on Production"):
        note_download(waiting, Actor(cast.bob), Choice.FULL, resumed=False)


def test_that_of_the_night_is_guarded_too(cast: Cast, production: Backup) -> None:
    request_restore(cast.test, actor_with_window(cast.alice), production)
    assert request_nightly(cast.test).from_production


def test_one_that_waits_for_other_data_is_not(cast: Cast, runtime: FakeRuntime, production: Backup) -> None:
    own = backed_up(cast, runtime, cast.test, Actor(cast.bob))
    request_restore(cast.test, Actor(cast.bob), own)
    assert not request_backup(cast.test, Actor(cast.bob)).from_production
