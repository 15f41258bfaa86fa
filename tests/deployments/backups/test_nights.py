"""Nights with the clock moved: a year of them, one that fails, some in which the portal was away; mails read back."""

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from deployments.backups import nightly
from deployments.backups.taking import make_row
from deployments.models import Alert, Backup
from deployments.monitoring.watch import look
from deployments.nights import night_of
from deployments.states import BackupKind, BackupState
from tests.cast import Cast
from tests.deployments.backups.stage import on
from tests.deployments.backups.test_retention import night
from tests.deployments.fakes import FakeRuntime

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def kept_by_contract(made: datetime, now: datetime) -> bool:
    """Every night for two weeks, Sundays for three months, the first Sunday of a month for a year (PORTAL, Operate)."""
    months = (12 if made.day <= 7 else 3) if made.weekday() == calendar.SUNDAY else 0
    year, month = divmod(made.month - 1 + months, 12)
    last = calendar.monthrange(made.year + year, month + 1)[1]
    return now < max(made.replace(year=made.year + year, month=month + 1, day=min(made.day, last)), made + 14 * DAY)


def test_after_each_night_of_a_year_there_is_what_the_contract_says_and_nothing_else(cast: Cast) -> None:
    made: list[datetime] = []
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(400):
            clock.shift(DAY)
            backup = make_row(cast.test, BackupKind.NIGHTLY, None, "The portal")
            Backup.objects.filter(pk=backup.pk).update(state=BackupState.COMPLETED, completed_at=timezone.now())
            made.append(timezone.now())
            while nightly._remove_expired(nightly.PORTION):
                pass
            there = list(Backup.objects.order_by("pk").values_list("created_at", flat=True))
            assert there == [each for each in made if kept_by_contract(each, timezone.now())]
    assert len(there) == 14 + 11 + 9  # nights, Sundays of three months before them, first Sundays of the year before


@pytest.fixture
def pass_time(cast: Cast, django_capture_on_commit_callbacks: Any, settings: Any) -> Any:
    """A function that lets hours pass, in each of which a worker does what it does, if there is one."""
    settings.PACKAGE_KEPT_DAYS = 4000
    runtime = FakeRuntime()
    with time_machine.travel(NOON, tick=False) as clock:
        on(cast, runtime, cast.production)
        mail.outbox.clear()
        nightly.look_after()

        def act(until: datetime, spoiled: bool = False, away: bool = False) -> list[str]:
            runtime.spoiled = {cast.production.pk} if spoiled else set()
            before = len(mail.outbox)
            while timezone.now() < until:
                clock.shift(HOUR)
                if not away:
                    with django_capture_on_commit_callbacks(execute=True):
                        night(runtime)
                        look(runtime, timezone.now())
            return [f"{each.to}: {each.subject}\n{each.body}" for each in mail.outbox[before:]]

        yield act


Passing = Callable[..., list[str]]


def nights() -> list[tuple[int, str]]:
    backups = Backup.objects.filter(kind=BackupKind.NIGHTLY).order_by("pk")
    return [(night_of(backup.created_at).day, backup.state) for backup in backups]


def test_a_night_that_fails_is_told_by_one_mail_and_the_next_good_one_by_another(
    cast: Cast, pass_time: Passing
) -> None:
    assert pass_time(NOON + 2 * DAY) == []
    (opened,) = pass_time(NOON + 3 * DAY, spoiled=True)
    assert opened.startswith(f"['{cast.alice.email}']: Calc, Production: No good backup\n")
    assert "since 4 March 2026, 04:00 UTC: No good backup." in opened
    assert "There has been no good backup of it since 3 March, 02:00 UTC." in opened
    (closed,) = pass_time(NOON + 4 * DAY)
    assert closed.startswith(f"['{cast.alice.email}']: Calc, Production: over after 22 h 0 min: No good backup\n")
    assert "since 5 March 2026, 02:00 UTC" in closed
    assert pass_time(NOON + 5 * DAY) == []
    assert nights() == [(2, "completed"), (3, "completed"), (4, "failed"), (5, "completed"), (6, "completed")]
    assert "malformed" in Backup.objects.get(state="failed").reason


def test_nights_in_which_nobody_worked_are_made_up_for_by_one_backup_and_no_mail(pass_time: Passing) -> None:
    pass_time(NOON + DAY)
    assert pass_time(NOON + 4 * DAY, away=True) == []
    assert pass_time(NOON + 5 * DAY) == []
    assert nights() == [(2, "completed"), (5, "completed"), (6, "completed")]
    assert Backup.objects.get(number=2).created_at == NOON + 4 * DAY + HOUR
    assert not Alert.objects.exists()


def test_one_that_was_late_is_kept_as_that_of_its_night(pass_time: Passing) -> None:
    sunday = datetime(2026, 3, 8, tzinfo=UTC)
    pass_time(sunday)
    pass_time(sunday + DAY, away=True)
    pass_time(sunday + DAY + HOUR)
    backup = Backup.objects.latest("pk")
    assert backup.created_at.date() == date(2026, 3, 9)
    assert backup.expires_at == sunday.replace(month=6, day=9, hour=1)
