"""The page of an environment's metrics: pictures, the tables behind them, how large and how quick it is."""

import re
import time
from datetime import UTC, datetime, timedelta

import html5lib
import pytest
from django.test import Client

from deployments.models import Measurement
from deployments.monitoring.ranges import RANGES
from environments.permissions import Permission
from tests.cast import Cast, signed_in

PAGE = "/apps/calc/environments/test/metrics/"
MIB = 1024**2


def fill(cast: Cast, name: str, now: datetime | None = None) -> None:
    """A range full of measurements that differ from each other."""
    wanted, now = RANGES[name], now or datetime.now(UTC)
    first = wanted.first(now)
    Measurement.objects.bulk_create(
        Measurement(
            environment=cast.test,
            span=wanted.span,
            slot=wanted.slot_of(at := first + timedelta(seconds=wanted.span * number)),
            at=at,
            looks=4,
            seconds=60,
            processor=(number * 7 % 60) / 2,
            memory=4 * MIB * (200 + number % 90),
            memory_peak=MIB * (300 + number % 90),
            storage=MIB * (1000 + number),
            restarts=number % 50 == 0,
            checks=4,
            check_seconds=0.01 * (number % 13),
            check_slowest=0.02 * (number % 13),
            statuses=[0, number * 31 % 5000, number % 7, number % 11, number % 3],
            latencies=[number, 0, number * 3 % 100, 900, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, number % 2],
        )
        for number in range(wanted.count)
    )


def page(client: Client, **query: str) -> str:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    text = str(answer.content.decode())
    html5lib.HTMLParser(strict=True).parse(text)
    return text


def test_nothing_was_measured_yet(cast: Cast) -> None:
    assert "Nothing was measured yet" in page(signed_in(cast.alice))


@pytest.mark.parametrize("name", RANGES)
def test_each_range_has_its_pictures_and_tables(cast: Cast, name: str) -> None:
    fill(cast, name)
    text = page(signed_in(cast.alice), range=name)
    assert len(text) < 50_000
    assert re.findall("<h2 [^>]*>(.*?)</h2>", text) == [
        "Requests",
        "Answer time",
        "Health check",
        "Processor",
        "Memory",
        "Storage",
        "Restarts and failed checks",
    ]
    assert text.count("<details>") == text.count("<table>") == 7
    assert " style=" not in text
    assert f'<a href="?range={name}" aria-current="page">' in text
    rows = re.findall('<tr><th scope="row">(.*?)</th>', text)
    assert 7 * 10 <= len(rows) <= 7 * 32


def test_an_unknown_range_is_the_day(cast: Cast) -> None:
    assert '<a href="?range=day" aria-current="page">' in page(signed_in(cast.alice), range="century")


def test_numbers_are_written_as_people_read_them(cast: Cast) -> None:
    wanted, now = RANGES["hour"], datetime.now(UTC) - timedelta(minutes=1)
    Measurement.objects.create(
        environment=cast.test,
        span=60,
        slot=wanted.slot_of(now),
        at=wanted.begin_of(now),
        looks=4,
        seconds=60,
        processor=9,
        memory=4 * 150 * MIB,
        memory_peak=200 * MIB,
        storage=2048,
        restarts=1,
        checks=4,
        failures=1,
        check_seconds=0.1,
        check_slowest=2,
        statuses=[0, 1200, 0, 3, 0],
        latencies=[0, 0, 0, 1203, *[0] * 11],
    )
    text = page(signed_in(cast.alice), range="hour")
    now_lines = re.findall('</h2><p class="soft small">(.*?)</p>', text)
    assert now_lines == [
        "2xx 1,200, 3xx 0, 4xx 3, 5xx 0",
        "half within 7.5 ms, 95 % within 9.8 ms",
        "mean 25 ms, slowest 2.0 s",
        "used 15 %",
        "mean 150 MB, most 200 MB",
        "used 2.0 KB",
        "restarts 1, failed checks 1",
    ]


def test_it_needs_access_to_monitoring_and_the_window_on_production(cast: Cast) -> None:
    bob = signed_in(cast.bob)
    assert bob.get(PAGE).status_code == 403
    cast.grant(cast.bob, cast.test, Permission.MONITORING)
    cast.grant(cast.bob, cast.production, Permission.MONITORING)
    assert bob.get(PAGE).status_code == 200
    assert bob.get(PAGE.replace("test", "production"))["Location"].startswith("/authenticator/")


def test_a_month_is_drawn_in_no_time(cast: Cast) -> None:
    """The benchmark has the exact number; this holds that nothing takes ten times as long."""
    fill(cast, "month")
    alice = signed_in(cast.alice)
    page(alice, range="month")

    def used() -> float:
        begun = time.process_time()
        alice.get(PAGE, {"range": "month"})
        return time.process_time() - begun

    assert any(used() < 0.15 for _ in range(6))  # a busy machine may take longer, not every time
