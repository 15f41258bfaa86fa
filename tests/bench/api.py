"""What a call of the Deploy API costs: the environments of an app against a bare view that answers with JSON.

From the web server of `make run`, on its settings; only how often a key may call is left open.
"""

import os
from datetime import timedelta

from django.core.handlers.wsgi import WSGIHandler
from django.test import RequestFactory

from accounts.actor import Actor
from environments import api_keys
from environments.models import App
from tests.bench.measure import Contender, in_turns
from tests.bench.pages import HOST, SIZES, WARM, Visit, queries
from tests.bench.report import Line, ms
from tests.bench.served import FLOOR, PORTAL, Asker, serving

ROUNDS = 20
CALLS, BARE_CALLS = 20, 100
TIMES_BARE, QUERIES = 10, 4
LIMIT, NO_LIMIT = "API_CALLS_PER_MINUTE", 10**9


def measure() -> list[Line]:
    """Measure on the app that the benchmark of the pages has filled."""
    app = App.objects.get(slug=f"calc-{SIZES[1]}")
    by = Actor(app.technical_contact, via="shell")
    _, text = api_keys.make(by, "Bench", [app], [], read_only=True, lasts=timedelta(days=1))
    headers = {"Mendix-Username": by.user.email, "Mendix-ApiKey": text}
    path = f"/api/1/apps/{app.slug}/environments/"
    os.environ[LIMIT] = str(NO_LIMIT)
    try:
        return [*_served(path, headers), _queries(path, headers)]
    finally:
        del os.environ[LIMIT]


def _served(path: str, headers: dict[str, str]) -> list[Line]:
    with serving(FLOOR) as bare_server, serving(PORTAL) as server:
        floor, call = Asker(bare_server, "/json", HOST), Asker(server, path, HOST)
        call.headers |= headers
        for asker in [floor, call] * WARM:
            asker.begin()
            asker()
        bare, ours = in_turns(
            ROUNDS,
            [
                Contender(floor, BARE_CALLS, floor.begin, bare_server.cpu_seconds),
                Contender(call, CALLS, call.begin, server.cpu_seconds),
            ],
        )
    return [
        _against_bare("Deploy API, environments, from the web server", bare.wall, ours.wall),
        _against_bare("Deploy API, CPU time of the web server", bare.cpu, ours.cpu),
    ]


def _queries(path: str, headers: dict[str, str]) -> Line:
    count = queries(Call(WSGIHandler(), path, headers))
    return Line(
        "Deploy API, environments, queries", "0", str(count), str(count), f"at most {QUERIES}", count <= QUERIES
    )


class Call(Visit):
    """A visit by a program with a key."""

    def __init__(self, handler: WSGIHandler, path: str, headers: dict[str, str]) -> None:
        super().__init__(handler, path)
        self.__dict__["environ"] = RequestFactory().get(path, headers=headers).environ


def _against_bare(what: str, bare: float, ours: float) -> Line:
    return Line(
        what, ms(bare), ms(ours), f"1/{ours / bare:.1f}", f"better than 1/{TIMES_BARE}", ours / bare < TIMES_BARE
    )
