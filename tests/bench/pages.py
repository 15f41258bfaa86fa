"""What a page costs: the app page against a bare view, a guarded page against the same one unguarded.

In process, through the WSGI handler that the web server calls, on the settings of `make run`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from http.client import responses
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from environments.models import Environment
from tests.bench.bare import BareHandler
from tests.bench.measure import Contender, in_turns
from tests.bench.report import Line, ms
from tests.bench.sample import fill
from tests.bench.served import FLOOR, PORTAL, Asker, serving
from tests.cast import make_person, signed_in, unlocked

SIZES = (10, 100, 1000)
ROUNDS = 20
PAGE_CALLS, BARE_CALLS = 5, 100
WARM = 40  # requests on new connections, so that each worker of the web server has seen a few
HOST = "testserver"  # as Django's test client says
TIMES_BARE, QUERIES = 25, 8
MORE_QUERIES, MORE_SECONDS = 2, 0.001


@dataclass(frozen=True)
class Visit:
    """One address, asked for again and again by one browser."""

    handler: WSGIHandler
    path: str
    cookies: str = ""

    @cached_property
    def environ(self) -> dict[str, Any]:
        return RequestFactory().get(self.path, headers={"cookie": self.cookies}).environ

    def __call__(self) -> bytes:
        answered: list[str] = []

        def start(status: str, headers: Any, *_: Any) -> Callable[[bytes], object]:
            answered.append(status)
            return lambda body: None

        response = self.handler(dict(self.environ), start)
        body = b"".join(response)
        response.close()
        if answered != [f"200 {responses[200]}"]:
            raise AssertionError(f"{self.path} answered {answered}.")
        return body


def measure() -> list[Line]:
    """Fill the database and measure both."""
    alice = make_person("alice")
    fill(alice, SIZES)
    return [*_app_page(alice), _history(alice), *_guarded_page(alice)]


def _app_page(alice: User) -> list[Line]:
    portal, cookies = WSGIHandler(), cookies_of(signed_in(alice))
    visits = [Visit(portal, f"/apps/calc-{size}/", cookies) for size in SIZES]
    counts = [queries(visit) for visit in visits]
    few, grows = ", ".join(map(str, counts)), len(set(counts)) > 1
    result = "it grows" if grows else "the same"
    goal = f"at most {QUERIES}, the same"
    return [
        *_served(visits[1]),
        *_in_process(visits[1]),
        Line(
            f"App page, queries with {', '.join(map(str, SIZES))} packages",
            "0",
            few,
            result,
            goal,
            max(counts) <= QUERIES and not grows,
        ),
    ]


def _history(alice: User) -> Line:
    """Count the queries of an environment's deployments, few and a thousand of them."""
    portal, cookies, sizes = WSGIHandler(), cookies_of(signed_in(alice)), (SIZES[0], SIZES[-1])
    addresses = [f"/apps/calc-{size}/environments/test/deployments/" for size in sizes]
    counts = [queries(Visit(portal, address, cookies)) for address in addresses]
    few, many = (f"{size:,}" for size in sizes)
    grows = counts[1] - counts[0]
    return Line(
        f"Deployments page, queries with {few} and {many} in the history",
        str(counts[0]),
        str(counts[1]),
        f"+ {grows}",
        "the same",
        grows == 0,
    )


def _served(visit: Visit) -> list[Line]:
    """Ask both through the web server of `make run`, one request after the other."""
    with serving(FLOOR) as bare_server, serving(PORTAL) as server:
        floor, page = Asker(bare_server, "/", HOST), Asker(server, visit.path, HOST, visit.cookies)
        for asker in [floor, page] * WARM:
            asker.begin()
            asker()
        bare, ours = in_turns(
            ROUNDS,
            [
                Contender(floor, BARE_CALLS, floor.begin, bare_server.cpu_seconds),
                Contender(page, PAGE_CALLS, page.begin, server.cpu_seconds),
            ],
        )
    return [
        _against_bare(f"App page, {SIZES[1]} packages, from the web server", bare.wall, ours.wall),
        _against_bare("App page, CPU time of the web server", bare.cpu, ours.cpu),
    ]


def _in_process(visit: Visit) -> list[Line]:
    """Call both in this process, without a web server."""
    bare, ours = in_turns(ROUNDS, [Contender(Visit(BareHandler(), "/"), BARE_CALLS), Contender(visit, PAGE_CALLS)])
    return [
        _against_bare("App page in process", bare.wall, ours.wall),
        _against_bare("App page in process, CPU time", bare.cpu, ours.cpu),
    ]


def _against_bare(what: str, bare: float, ours: float) -> Line:
    return Line(
        what, ms(bare), ms(ours), f"1/{ours / bare:.1f}", f"better than 1/{TIMES_BARE}", ours / bare < TIMES_BARE
    )


def _guarded_page(alice: User) -> list[Line]:
    """Compare the page of a production environment, window open, with the same page as one of a test environment.

    The person without the need for a window has none, so that reading it counts as the gate's cost.
    """
    path, portal = f"/apps/calc-{SIZES[1]}/environments/production/", WSGIHandler()
    open_page = Visit(portal, path, cookies_of(signed_in(alice)))
    guarded_page = Visit(portal, path, cookies_of(unlocked(alice)))
    _guard(False)
    count_open = queries(open_page)
    _guard(True)
    count_guarded = queries(guarded_page)
    unguarded, guarded = in_turns(
        ROUNDS,
        [
            Contender(open_page, PAGE_CALLS, partial(_guard, False)),
            Contender(guarded_page, PAGE_CALLS, partial(_guard, True)),
        ],
    )
    return [
        _guard_adds("Guarded page, window open", unguarded.wall, guarded.wall),
        _guard_adds("Guarded page, CPU time", unguarded.cpu, guarded.cpu),
        Line(
            "Guarded page, queries",
            str(count_open),
            str(count_guarded),
            f"+ {count_guarded - count_open}",
            f"at most {MORE_QUERIES} more",
            count_guarded - count_open <= MORE_QUERIES,
        ),
    ]


def _guard_adds(what: str, unguarded: float, guarded: float) -> Line:
    more = guarded - unguarded
    goal = f"at most {MORE_SECONDS * 1000:.0f} ms more"
    return Line(what, ms(unguarded), ms(guarded), f"+ {ms(more)}", goal, more <= MORE_SECONDS)


def queries(visit: Visit) -> int:
    with CaptureQueriesContext(connection) as seen:
        visit()
    return len(seen)


def cookies_of(client: Client) -> str:
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def _guard(production: bool) -> None:
    """Let the gate guard the environment or not."""
    Environment.objects.filter(app__slug=f"calc-{SIZES[1]}", slug="production").update(is_production=production)
