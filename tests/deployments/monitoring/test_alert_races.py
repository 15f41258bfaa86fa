"""Workers that find the same at the same instant, with real threads on a real database: one of them tells."""

from datetime import timedelta
from functools import partial

import pytest
from django.core import mail
from django.utils import timezone

from deployments.models import Alert
from deployments.monitoring.alert_flow import settle
from deployments.monitoring.alert_kinds import AlertKind
from deployments.monitoring.alerts import Finding
from environments.models import Environment
from tests.cast import make_cast
from tests.deployments.test_job_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 6
OFFLINE = Finding(AlertKind.OFFLINE, "It ended by itself: exit code 3.", "Restart it.")
LOGGED = Finding(AlertKind.LOGGED, "It wrote a line.", "Read it.")


def test_six_workers_tell_once_that_it_began_and_once_that_it_is_over() -> None:
    test, now = make_cast().test, timezone.now()

    def find(found: list[Finding], seconds: int) -> None:
        environment = Environment.objects.select_related("app").get(pk=test.pk)
        settle(environment, found, now + timedelta(seconds=seconds))

    mail.outbox.clear()
    for found, seconds in (([OFFLINE, LOGGED], 0), ([OFFLINE, LOGGED], 30), ([], 60), ([], 300)):
        assert at_once([partial(find, found, seconds)] * WORKERS) == [None] * WORKERS
    assert sorted(str(each.subject) for each in mail.outbox) == [
        "Calc, Test: Logged CRITICAL",
        "Calc, Test: Went offline",
        "Calc, Test: over after 1 min 0 s: Logged CRITICAL",
        "Calc, Test: over after 1 min 0 s: Went offline",
    ]
    assert Alert.objects.count() == 2
