"""When scheduled events are due, compared with a clock that is looked at minute by minute."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments import schedules as cron
from deployments.events import due_between
from deployments.manifests import ScheduledEvent
from deployments.schedules import FIELDS, next_after, next_interval, schedule_problem

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
HORIZON = timedelta(days=2)
patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def values_of(text: str, lowest: int, highest: int) -> set[int]:
    """What cron's manual says of a field, written down once more."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = lowest, highest
        else:
            begin, _, end = span.partition("-")
            first, last = int(begin), int(end or (highest if step else begin))
        found |= set(range(first, last + 1)[:: int(step or 1)])
    return found


def is_due(schedule: str, at: datetime) -> bool:
    texts = schedule.split(" ")
    minutes, hours, days, months, weekdays = (
        values_of(text, lowest, highest) for text, (_, lowest, highest) in zip(texts, FIELDS, strict=True)
    )
    of_month, of_week = at.day in days, bool({at.isoweekday(), at.isoweekday() % 7} & weekdays)
    limited = not texts[2].startswith("*") and not texts[4].startswith("*")
    day = of_month or of_week if limited else of_month and of_week
    return at.minute in minutes and at.hour in hours and at.month in months and day


def parts(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, max(1, highest)).map(lambda step: f"/{step}")
    one = st.one_of(
        st.just("*"),
        number.map(str),
        spans,
        st.tuples(st.one_of(st.just("*"), spans), steps).map("".join),
    )
    return st.lists(one, min_size=1, max_size=2).map(",".join)


schedules = st.tuples(*(parts(lowest, highest) for _, lowest, highest in FIELDS)).map(" ".join)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2032, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@patient
@given(schedules, moments)
def test_the_next_time_is_the_one_that_a_patient_clock_finds(schedule: str, moment: datetime) -> None:
    assert schedule_problem(schedule) is None
    found = next_after(schedule, moment)
    at = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while at < moment + HORIZON and not is_due(schedule, at):
        at += timedelta(minutes=1)
    if at < moment + HORIZON:
        assert found == at
    else:
        assert found is None or (found >= at and is_due(schedule, found))


@pytest.mark.parametrize(
    ("schedule", "after", "then"),
    [
        ("30 2 * * *", "2026-03-04 02:29:59", "2026-03-04 02:30"),
        ("30 2 * * *", "2026-03-04 02:30:00", "2026-03-05 02:30"),
        ("0 0 29 2 *", "2026-03-04 00:00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00"),
        ("0 9 * * 0", "2026-03-04 00:00:00", "2026-03-08 09:00"),
        ("0 9 * * 7", "2026-03-04 00:00:00", "2026-03-08 09:00"),
        ("0 0 13 * 5", "2026-03-04 00:00:00", "2026-03-06 00:00"),  # the 13th or a Friday, as in cron
        ("59 23 31 12 *", "2026-12-31 23:59:00", "2027-12-31 23:59"),
        ("*/20 * * * *", "2026-03-04 12:41:00", "2026-03-04 13:00"),
    ],
)
def test_it_is_as_in_cron(schedule: str, after: str, then: str) -> None:
    assert next_after(schedule, utc(after)) == utc(then)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_what_never_comes_is_none() -> None:
    assert next_after("0 0 30 2 *", NOON) is None
    assert next_after("0 0 29 2 */7", NOON) == utc("2032-02-29")


def test_what_never_comes_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred such events in one package would keep the worker's clock busy for seconds at each look."""
    monkeypatch.setattr(cron, "_next_day", lambda *_: pytest.fail("It goes through the days of 41 years."))
    for schedule in ("0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 2 */6"):
        assert next_after(schedule, NOON) is None


@patient
@given(st.integers(60, 31 * 86400), moments)
def test_an_interval_is_due_at_its_multiples_whatever_happens(seconds: int, moment: datetime) -> None:
    at = next_interval(seconds, moment)
    assert timedelta(0) < at - moment <= timedelta(seconds=seconds)
    assert at.timestamp() % seconds == 0


EVERY_MINUTE = ScheduledEvent("tick", "true", "* * * * *", None)


def test_what_is_due_is_run_once_and_what_nobody_looked_at_is_missed() -> None:
    def due(after: timedelta, now: timedelta) -> tuple[datetime | None, list[datetime]]:
        return due_between(EVERY_MINUTE, NOON + after, NOON + now)

    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    assert due(-second, timedelta(0)) == (NOON, [])
    assert due(timedelta(0), second) == (None, [])
    assert due(second, minute) == (NOON + minute, [])
    assert due(-second, 30 * second) == (NOON, []), "a little late is not missed"
    assert due(second, 5 * minute) == (NOON + 5 * minute, [NOON + minute * number for number in range(1, 5)])


@patient
@given(moments, st.integers(0, 7200), st.sampled_from(["* * * * *", "*/7 3,4 * * *", "30 2 * * *"]))
def test_each_time_is_either_run_or_missed(moment: datetime, seconds: int, schedule: str) -> None:
    event, now = ScheduledEvent("e", "true", schedule, None), moment + timedelta(seconds=seconds)
    current, missed = due_between(event, moment, now)
    every: list[datetime] = []
    while (at := next_after(schedule, every[-1] if every else moment)) and at <= now:
        every.append(at)
    assert [*missed, *([current] if current else [])] == every
