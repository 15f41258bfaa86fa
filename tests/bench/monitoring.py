"""What it costs the portal to follow a log into which 10,000 lines a second are written, and to draw a month."""

import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import median
from urllib.parse import urlencode

from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone

from accounts.actor import Actor
from deployments.models import Measurement
from deployments.monitoring.logs import Reader, Wanted
from deployments.monitoring.ranges import RANGES
from environments.flows import create_app
from environments.models import Environment
from tests.bench.measure import Contender, in_turns
from tests.bench.pages import Visit, cookies_of, queries
from tests.bench.report import Line, ms
from tests.cast import make_person, unlocked
from tests.deployments.monitoring.written import write

LINES = 10_000  # a second
ROUNDS, CALLS = 10, 10
SHARE = 0.1  # of a core
QUERIES, MONTH = 8, 0.015  # seconds
FILTERS = {"all of it": {}, "errors": {"level": "error"}, "a text": {"q": "of 9999"}}
# A line of a usual length, every twentieth an error with a piece of a stack trace behind it
ERROR = "2026-05-03 12:00:00,123 ERROR shop.orders: Order {} of {} has no price\n  File 'orders.py', line 7, in price"
INFO = "2026-05-03 12:00:00,123 INFO shop.orders: Order {} of {} was taken and is being packed by somebody"


def measure() -> list[Line]:
    mia = make_person("mia")
    app = create_app(Actor(mia), "Watched", "watched")
    production = app.environments.get(is_production=True)
    cookies = cookies_of(unlocked(mia))
    return [*_follow(production, cookies), *_month(production, cookies)]


def _follow(environment: Environment, cookies: str) -> Iterator[Line]:
    """Ask once a second, as a page does, after a second's worth of lines."""
    address = f"/apps/watched/environments/{environment.slug}/logs/lines/"
    portal = WSGIHandler()
    for name, query in FILTERS.items():
        taken = []
        for number in range(ROUNDS + 1):
            after = Reader(environment, Wanted()).last().end
            texts = (ERROR if each % 20 == 0 else INFO for each in range(LINES))
            write(environment, *(text.format(number, each) for each, text in enumerate(texts)))
            visit = Visit(portal, f"{address}?{urlencode({**query, 'after': after, 'shown': '1.200'})}", cookies)
            begun = time.process_time()
            page = visit()
            taken.append(time.process_time() - begun)
            if b'<div id="follow"' not in page:
                raise AssertionError(f"{visit.path} follows nothing.")
        cpu = median(taken[1:])
        yield Line(
            f"Following a log of {LINES:,} lines a second, {name}: CPU time a second",
            "",
            ms(cpu),
            f"{cpu * 100:.1f} % of a core",
            f"at most {SHARE * 100:.0f} %",
            cpu <= SHARE,
        )


def _month(environment: Environment, cookies: str) -> Iterator[Line]:
    _fill(environment)
    visit = Visit(WSGIHandler(), f"/apps/watched/environments/{environment.slug}/metrics/?range=month", cookies)
    if visit().count(b'<path class="line') < 7:
        raise AssertionError(f"{visit.path} shows no pictures.")
    count = queries(visit)
    (times,) = in_turns(ROUNDS, [Contender(visit, CALLS)])
    yield Line(
        "Metrics of a month: CPU time",
        "",
        ms(times.cpu),
        f"{count} queries",
        f"at most {ms(MONTH)}, under {QUERIES} queries",
        times.cpu <= MONTH and count < QUERIES,
    )


def _fill(environment: Environment) -> None:
    wanted, now = RANGES["month"], timezone.now()
    first = wanted.first(now)
    moments = [first + timedelta(seconds=wanted.span * number) for number in range(wanted.count)]
    Measurement.objects.bulk_create(
        Measurement(
            environment=environment,
            span=wanted.span,
            slot=wanted.slot_of(at),
            at=at,
            looks=960,
            seconds=wanted.span,
            processor=number * 37 % 9000,
            memory=960 * (number * 7919 % 500) * 1024**2,
            memory_peak=500 * 1024**2,
            storage=number * 1024**2,
            restarts=number % 40 == 0,
            checks=960,
            check_seconds=number % 17,
            check_slowest=number % 17 / 10,
            statuses=[0, number * 31 % 5000, number % 7, number % 11, number % 3],
            latencies=[number, 0, number * 3 % 100, 900, 5, *[1] * 10],
        )
        for number, at in enumerate(moments)
    )
