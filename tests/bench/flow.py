"""What it takes from a password to production: requests and queries, beside the best of the portal's peers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import User
from environments.flows import create_app
from tests.bench.report import Line
from tests.cast import PASSWORD, forget_last_step, make_person
from tests.codes import code_of

MOST_REQUESTS, MOST_QUERIES, MOST_FOR_A_CODE = 12, 60, 12
# The best of the peers that were measured for issue 3, point 10
PEER_REQUESTS, PEER_QUERIES, PEER_FOR_A_CODE = 16, 107, 18
SIGN_IN, SET_UP, CODE = "/sign-in/", "/authenticator/set-up/", "/authenticator/"
OF_TRANSACTIONS = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


@dataclass(frozen=True)
class Asked:
    """One request of the flow and what it asked the database; the statements of transactions are not counted."""

    what: str
    status: int
    queries: list[str]


def walk(person: User, guarded: str) -> list[Asked]:
    """Sign in, set an authenticator up, sign out, sign in, enter a code, open the guarded page.

    Each form is fetched and sent, each address is the one that the step before led to.
    """
    client = Client(headers={"user-agent": "Test browser"})
    return [_asked(client, *step) for step in _steps(client, person, guarded)]


def _steps(client: Client, person: User, guarded: str) -> Iterator[tuple[str, Callable[..., Any], str, dict[str, str]]]:
    set_up, code = f"{SET_UP}?next={guarded}", f"{CODE}?next={guarded}"
    who = {"username": person.email, "password": PASSWORD}
    yield "sign-in form", client.get, f"{SIGN_IN}?next={set_up}", {}
    yield "sign in", client.post, f"{SIGN_IN}?next={set_up}", who
    yield "password form", client.get, set_up, {}
    yield "password", client.post, set_up, {"step": "password", "password": PASSWORD}
    yield "scan", client.get, set_up, {}
    yield "first code", client.post, set_up, {"step": "code", "code": code_of(person)}
    yield "sign out", client.post, "/sign-out/", {}
    assert SESSION_KEY not in client.session
    yield "sign-in form again", client.get, f"{SIGN_IN}?next={code}", {}
    yield "sign in again", client.post, f"{SIGN_IN}?next={code}", who
    yield "code form", client.get, code, {}
    forget_last_step(person)  # half a minute has passed
    yield "code", client.post, code, {"code": code_of(person)}
    yield "guarded page", client.get, guarded, {}


def _asked(client: Client, what: str, send: Callable[..., Any], address: str, fields: dict[str, str]) -> Asked:
    with CaptureQueriesContext(connection) as seen:
        answer = send(address, fields) if fields else send(address)
    queries = [each["sql"] for each in seen.captured_queries if not each["sql"].startswith(OF_TRANSACTIONS)]
    return Asked(what, answer.status_code, queries)


def measure() -> list[Line]:
    """Walk once, as the Technical Contact of an app of their own; gives the lines of the table."""
    person = make_person("walker")
    create_app(Actor(person), "Walk", "walk")
    asked = walk(person, "/apps/walk/environments/production/")
    code = next(each for each in asked if each.what == "code")
    return [
        _line("Flow to the guarded page, requests", len(asked), MOST_REQUESTS, PEER_REQUESTS),
        _line("Flow, queries", sum(len(each.queries) for each in asked), MOST_QUERIES, PEER_QUERIES),
        _line("A code, queries", len(code.queries), MOST_FOR_A_CODE, PEER_FOR_A_CODE),
    ]


def _line(what: str, count: int, most: int, peer: int) -> Line:
    return Line(what, "", str(count), f"best peer {peer}", f"at most {most}", count <= most)
