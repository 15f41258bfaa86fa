"""How many correct codes two workers accept a second, eight at once, against a bare view asked in the same way."""

import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from statistics import median
from urllib.parse import urlencode

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils import timezone

from accounts.models import Authenticator, User
from accounts.secrets import encrypt
from accounts.sessions import SessionStore
from tests.bench.report import Line
from tests.bench.served import FLOOR, PORTAL, Server, serving
from tests.codes import code_for

ROUNDS, AT_ONCE = 7, 8
CODES, BARE = 80, 2000  # requests of a round
TIMES_BARE = 45
# The best of the peers that were measured for issue 3, point 10
PEER_TIMES_BARE, PEER_A_SECOND = 85, 79
SECRET, TOKEN = bytes(range(20)), "c" * 32
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
BACKEND = "django.contrib.auth.backends.ModelBackend"


def measure(host: str) -> list[Line]:
    """Give the line of the table. Raises AssertionError where a correct code is answered by anything but a redirect."""
    sessions = iter(_people((ROUNDS + 1) * CODES))
    bare, codes = [], []
    with serving(FLOOR) as floor, serving(PORTAL) as portal:
        for number in range(ROUNDS + 1):
            bare.append(_a_second(floor, [_get(host)] * BARE, b"200"))
            batch = [_post(host, next(sessions), code_for(SECRET)) for _ in range(CODES)]
            codes.append(_a_second(portal, batch, b"302"))
            if number == 0:  # what only the first round costs is not measured
                bare.clear()
                codes.clear()
    ratio = median(b / c for b, c in zip(bare, codes, strict=True))
    goal = f"better than 1/{TIMES_BARE} (best peer {PEER_A_SECOND}/s, 1/{PEER_TIMES_BARE})"
    floor_rate, our_rate = f"{median(bare):.0f}/s", f"{median(codes):.0f}/s"
    return [Line("Codes accepted, 8 at once", floor_rate, our_rate, f"1/{ratio:.1f}", goal, ratio < TIMES_BARE)]


def _people(count: int) -> list[str]:
    """Make people with an authenticator each, signed in; gives their session keys. A code counts once for each."""
    people = User.objects.bulk_create(
        User(email=f"person-{number}@example.org", name=f"Person {number}", password="!") for number in range(count)
    )
    confirmed = {"confirmed": True, "confirmed_at": timezone.now(), "name": "Authenticator"}
    Authenticator.objects.bulk_create(
        Authenticator(user=person, secret=encrypt(SECRET.hex()), **confirmed) for person in people
    )
    return [_signed_in(person) for person in people]


def _signed_in(person: User) -> str:
    session = SessionStore()
    session.update(
        {
            SESSION_KEY: str(person.pk),
            BACKEND_SESSION_KEY: BACKEND,
            HASH_SESSION_KEY: person.get_session_auth_hash(),
        }
    )
    session.save()
    return str(session.session_key)


def _get(host: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def _post(host: str, session: str, code: str) -> bytes:
    body = urlencode({"code": code, "csrfmiddlewaretoken": TOKEN})
    head = [
        "POST /authenticator/ HTTP/1.1",
        f"Host: {host}",
        f"Cookie: session={session}; csrf={TOKEN}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def _a_second(server: Server, requests: Sequence[bytes], wanted: bytes) -> float:
    """Send them all, so many at once, on connections that stay open; gives how many were answered a second.

    Nothing but sockets, since whatever asks takes its time from the same processors.
    """
    waiting = iter(requests)
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        for _ in range(AT_ONCE):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            ready.register(connection, selectors.EVENT_READ)
        began = time.perf_counter()
        for each in ready.get_map().values():
            _as_socket(each).sendall(next(waiting))
        for connection in _answering(ready, len(requests)):
            answer = _read(connection)
            if answer.split(maxsplit=2)[1] != wanted:
                raise AssertionError(f"Answered: {answer[:200]!r}")
            if request := next(waiting, None):
                connection.sendall(request)
        return len(requests) / (time.perf_counter() - began)


def _answering(ready: selectors.BaseSelector, count: int) -> Iterator[socket.socket]:
    while count > 0:
        for key, _ in ready.select(30):
            count -= 1
            yield _as_socket(key)


def _as_socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


def _read(connection: socket.socket) -> bytes:
    answer = b""
    while not _is_whole(answer):
        part = connection.recv(65536)
        if not part:
            raise AssertionError(f"The web server broke off after {answer!r}.")
        answer += part
    return answer


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    return bool(end) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))
