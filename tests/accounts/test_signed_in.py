"""Who is signed in: read with the session in one query, by the rules of Django's own `get_user`."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connection
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext

from accounts.models import Session, User
from accounts.sessions import SessionStore, user_of
from tests.cast import Cast, signed_in

Change = Callable[[Cast, SessionStore], Any]


def request_of(key: str) -> HttpRequest:
    request = HttpRequest()
    request.session = SessionStore(key)
    return request


def deactivate(cast: Cast, session: SessionStore) -> None:
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)


def change_password(cast: Cast, session: SessionStore) -> None:
    cast.bob.set_password("another long enough password")
    cast.bob.save()


def write(name: str, value: str | None) -> Change:
    def change(cast: Cast, session: SessionStore) -> None:
        session[name] = value
        if value is None:
            del session[name]
        session.save()

    return change


def become_somebody_else(cast: Cast, session: SessionStore) -> None:
    """A row that says it is Alice's, with Bob's content."""
    Session.objects.filter(session_key=session.session_key).update(user=cast.alice)


def become_somebody_else_with_their_proof(cast: Cast, session: SessionStore) -> None:
    write(HASH_SESSION_KEY, cast.alice.get_session_auth_hash())(cast, session)
    become_somebody_else(cast, session)


def leave(cast: Cast, session: SessionStore) -> None:
    cast.bob.memberships.all().delete()
    cast.bob.delete()


CHANGES: dict[str, tuple[Change, bool]] = {
    "nothing": (lambda cast, session: None, True),
    "deactivated": (deactivate, False),
    "password changed": (change_password, False),
    "no proof of the password": (write(HASH_SESSION_KEY, None), False),
    "a false proof": (write(HASH_SESSION_KEY, "0" * 64), False),
    "a foreign backend": (write(BACKEND_SESSION_KEY, "django.contrib.auth.backends.RemoteUserBackend"), False),
    "nobody's": (write(SESSION_KEY, None), False),
    "the row names somebody else": (become_somebody_else, True),
    "the row and the proof name somebody else": (become_somebody_else_with_their_proof, False),
    "account gone": (leave, False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_is_signed_in_is_who_django_says(cast: Cast, change: str) -> None:
    act, stays = CHANGES[change]
    key = str(signed_in(cast.bob).session.session_key)
    act(cast, SessionStore(key))
    ours = user_of(request_of(key))
    assert ours.is_authenticated == stays
    assert ours == get_user(request_of(key))
    assert ours.pk == (cast.bob.pk if stays else None)


def test_a_session_goes_on_with_the_key_before(cast: Cast, settings: Any) -> None:
    """The operator gave the portal a new SECRET_KEY and kept the one before in SECRET_KEY_FALLBACKS."""
    client = signed_in(cast.bob)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "x" * 50
    before = client.cookies["session"].value
    assert client.get("/").status_code == 200
    assert client.cookies["session"].value != before
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get("/").status_code == 200


def test_session_and_person_are_one_query(cast: Cast) -> None:
    key = str(signed_in(cast.bob).session.session_key)
    with CaptureQueriesContext(connection) as queries:
        assert user_of(request_of(key)) == cast.bob
    assert len(queries) == 1


def test_a_session_that_was_ended_is_not_brought_back_by_a_request_under_way(cast: Cast) -> None:
    slow = SessionStore(str(signed_in(cast.bob).session.session_key))
    assert slow[SESSION_KEY] == str(cast.bob.pk)
    Session.objects.all().delete()
    with pytest.raises(SessionInterrupted):
        slow.cycle_key()
    assert not Session.objects.exists()


def test_a_new_key_takes_everything_along_and_the_old_one_is_gone(cast: Cast) -> None:
    session = SessionStore(str(signed_in(cast.bob).session.session_key))
    session["more"] = 1
    before, row = session.session_key, Session.objects.get()
    session.cycle_key()
    moved = Session.objects.get()
    assert moved.session_key == session.session_key != before
    assert (moved.user, moved.reference, moved.browser) == (cast.bob, row.reference, row.browser)
    assert SessionStore(moved.session_key)["more"] == 1
