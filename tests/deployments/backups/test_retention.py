"""How long backups are kept, and a month of nights with the clock moved."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.actor import Actor
from accounts.models import Activity
from deployments.backups import nightly
from deployments.backups.flows import request_restore
from deployments.backups.retention import kept_until, months_after
from deployments.deletion import delete_environment
from deployments.models import Backup, Job, Live, Nightly
from deployments.nights import night_of
from deployments.states import BackupKind
from deployments.worker import Worker
from tests.cast import Cast
from tests.deployments.backups.stage import backed_up, on, stored_of
from tests.deployments.fakes import FakeRuntime, actor_with_window

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
KINDS = st.sampled_from(BackupKind)


@given(MOMENTS, KINDS)
def test_nothing_is_kept_for_less_than_two_weeks_or_more_than_a_year(created: datetime, kind: BackupKind) -> None:
    kept = kept_until(kind, created, created.date()) - created
    assert timedelta(weeks=2) <= kept <= timedelta(days=366)


@given(MOMENTS)
def test_each_night_is_kept_as_the_contract_says(created: datetime) -> None:
    kept = kept_until(BackupKind.NIGHTLY, created, created.date())
    if created.isoweekday() != 7:
        assert kept == created + timedelta(weeks=2)
    elif created.day > 7:
        assert kept == months_after(created, 3)
    else:
        assert kept == months_after(created, 12)


@given(MOMENTS, st.integers(1, 24))
def test_months_later_is_the_same_day_or_the_last_of_the_month(moment: datetime, months: int) -> None:
    later = months_after(moment, months)
    assert (later.year - moment.year) * 12 + later.month - moment.month == months
    assert later.time() == moment.time()
    assert later.day == moment.day or (later.day < moment.day and (later + timedelta(days=1)).day == 1)


@given(MOMENTS)
def test_at_every_moment_the_last_two_weeks_and_thirteen_sundays_are_there(now: datetime) -> None:
    nights = [now - timedelta(days=days) for days in range(92)]
    kept = [night for night in nights if kept_until(BackupKind.NIGHTLY, night, night.date()) > now]
    assert kept[:14] == nights[:14]
    assert len([night for night in kept if night.isoweekday() == 7]) >= 12


def test_one_that_was_late_counts_for_its_night() -> None:
    sunday, monday = date(2026, 2, 1), datetime(2026, 2, 2, 1, 0, tzinfo=UTC)
    assert kept_until(BackupKind.NIGHTLY, monday, sunday) == datetime(2027, 2, 2, 1, 0, tzinfo=UTC)


def night(runtime: FakeRuntime) -> None:
    """What a worker does within a night."""
    for _ in range(20):
        nightly.look_after()
        if not Worker(runtime, "tester").run_once():
            return


@pytest.fixture
def runtime(settings: Any) -> FakeRuntime:
    settings.PACKAGE_KEPT_DAYS = 4000
    return FakeRuntime()


def test_a_month_of_nights(cast: Cast, runtime: FakeRuntime, django_capture_on_commit_callbacks: Any) -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, 0, tzinfo=UTC), tick=False) as clock:
        for environment in (cast.test, cast.production):
            on(cast, runtime, environment)
        nightly.look_after()
        assert not Job.objects.filter(kind="backup").exists()  # a new portal begins with the next night
        for _ in range(31):
            clock.shift(timedelta(days=1))
            with django_capture_on_commit_callbacks(execute=True):
                night(runtime)
                night(runtime)
        nights = [backup.created_at.date() for backup in Backup.objects.filter(environment=cast.production)]
        assert set(Backup.objects.values_list("state", flat=True)) == {"completed"}
        assert Backup.objects.filter(environment=cast.test).count() == len(nights)
        # April 1st at noon: 14 nights, and the Sundays before them
        early = [date(2026, 3, 8), date(2026, 3, 15)]
        assert sorted(nights) == [*early, *(date(2026, 3, 19) + timedelta(days=days) for days in range(14))]
        assert len(stored_of(cast)) == 4 * len(nights)
        # The list of backups says how the nights went; the activity is for what people do, and for what fails
        assert not Activity.objects.filter(act__in=("backup.expired", "job.backup-asked")).exists()
        assert not Activity.objects.filter(act="job.done", target__startswith="Back up").exists()


def test_a_night_that_fails_is_in_the_activity(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    runtime.spoiled.add(cast.test.pk)
    Nightly.objects.create(name=nightly.TAKING, night=date.min)
    night(runtime)
    entry = Activity.objects.get(act="job.failed")
    assert (entry.target, entry.actor_name) == ("Back up Test", "The portal")


def test_one_that_somebody_made_goes_with_a_record(
    cast: Cast, runtime: FakeRuntime, django_capture_on_commit_callbacks: Any
) -> None:
    on(cast, runtime, cast.test)
    backed_up(cast, runtime, cast.test)
    backed_up(cast, runtime, cast.test)
    Backup.objects.update(expires_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        nightly._remove_expired(20)
    entry = Activity.objects.get(act="backup.expired")
    assert (entry.target, entry.actor_name) == ("backup 1 of Test", "The portal")
    assert len(stored_of(cast)) == 2


def test_a_night_that_was_missed_is_made_up_for_once(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    Nightly.objects.create(name=nightly.TAKING, night=night_of(timezone.now()) - timedelta(days=3))
    night(runtime)
    night(runtime)
    assert Backup.objects.count() == 1


def test_a_night_in_which_the_worker_ended_is_made_up_for_a_few_times(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    Nightly.objects.create(name=nightly.TAKING, night=date.min)
    for tried in range(1, nightly.TRIES + 1):
        nightly.look_after()
        assert Worker(runtime, "tester").claim()
        nightly.look_after()
        assert Backup.objects.count() == tried
        Worker(runtime, "tester").begin()
    night(runtime)
    assert Backup.objects.count() == nightly.TRIES
    assert not Job.objects.active().exists()
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        night(runtime)
        night(runtime)
    assert list(Backup.objects.values_list("state", flat=True)) == ["completed", *["failed"] * nightly.TRIES]


def test_a_night_whose_first_worker_ended_has_its_backup(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    Nightly.objects.create(name=nightly.TAKING, night=date.min)
    nightly.look_after()
    assert Worker(runtime, "tester").claim()
    Worker(runtime, "tester").begin()
    night(runtime)
    night(runtime)
    assert list(Backup.objects.values_list("state", flat=True)) == ["completed", "failed"]


def test_an_empty_environment_has_no_nightly_backup(cast: Cast, runtime: FakeRuntime) -> None:
    Nightly.objects.create(name=nightly.TAKING, night=date.min)
    night(runtime)
    assert Backup.objects.count() == 0


def test_a_few_at_a_time_and_all_in_the_end(cast: Cast, runtime: FakeRuntime) -> None:
    for environment in (cast.test, cast.acceptance, cast.production):
        on(cast, runtime, environment)
    Nightly.objects.create(name=nightly.TAKING, night=date.min)
    nightly.look_after()
    nightly.look_after()
    assert Job.objects.active().count() == nightly.AT_ONCE
    night(runtime)
    assert Backup.objects.completed().count() == 3


def test_the_last_good_one_is_kept_however_old_and_so_is_what_is_being_restored(
    cast: Cast, runtime: FakeRuntime
) -> None:
    on(cast, runtime, cast.test)
    first, second, third = (backed_up(cast, runtime, cast.test) for _ in range(3))
    job = request_restore(cast.test, Actor(cast.alice), first)
    Backup.objects.update(expires_at=timezone.now())
    nightly._remove_expired(20)
    assert set(Backup.objects.values_list("pk", flat=True)) == {first.pk, third.pk}
    Job.objects.filter(pk=job.pk).update(state="failed")
    assert nightly._remove_expired(20) is False
    assert [backup.pk for backup in Backup.objects.all()] == [third.pk]
    assert second.pk


def test_the_last_good_one_is_kept_where_something_was_uploaded_since(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    first, uploaded = (backed_up(cast, runtime, cast.test) for _ in range(2))
    Backup.objects.filter(pk=uploaded.pk).update(kind=BackupKind.UPLOADED)
    Backup.objects.update(expires_at=timezone.now())
    nightly._remove_expired(20)
    assert set(Backup.objects.values_list("pk", flat=True)) == {first.pk, uploaded.pk}


def test_what_nothing_knows_is_removed_and_the_rest_is_not(cast: Cast, runtime: FakeRuntime) -> None:
    on(cast, runtime, cast.test)
    backup = backed_up(cast, runtime, cast.test)
    name = default_storage.save(f"backups/{cast.app.project_id}/left/files.tar", ContentFile(b"x"))
    nightly._remove_unknown_files()
    assert default_storage.exists(name)
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        nightly._remove_unknown_files()
    assert not default_storage.exists(name)
    assert default_storage.exists(str(backup.files.name))


def test_backups_go_with_their_environment(
    cast: Cast, runtime: FakeRuntime, django_capture_on_commit_callbacks: Any
) -> None:
    on(cast, runtime, cast.test)
    backed_up(cast, runtime, cast.test)
    Live.objects.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        delete_environment(cast.test, actor_with_window(cast.alice))
    assert (Backup.objects.count(), stored_of(cast)) == (0, [])
