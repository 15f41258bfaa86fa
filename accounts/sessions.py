"""Sessions in the database that know whose they are (named by SESSION_ENGINE)."""

from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.utils import timezone
from django.utils.crypto import constant_time_compare, get_random_string

from accounts.models import Session, User

ABOUT = "about"  # what the row says of itself: reference, signed_in_at, address, browser


class SessionStore(DatabaseStore):
    """Reads a session together with its person, and writes what it holds once a request."""

    person: User | None = None
    _written: bytes | None = None

    @classmethod
    def get_model_class(cls) -> Any:
        return Session

    def load(self) -> dict[str, Any]:
        rows = Session.objects.select_related("user")
        try:
            row = rows.get(session_key=self.session_key, expire_date__gt=timezone.now())
        except Session.DoesNotExist:
            self._session_key = None
            return {}
        self.person = row.user
        return dict(self.decode(row.session_data))

    def save(self, must_create: bool = False) -> None:
        if must_create or self.session_key is None or self._written != self._holds():
            super().save(must_create)
            self._written = self._holds()

    def cycle_key(self) -> None:
        """Move what the session holds to a new key, in one query.

        SECURITY: a session that was ended while the request was under way stays ended.
        """
        data: dict[str, Any] = self._session  # type: ignore[attr-defined]
        before = self.session_key
        if before is None:  # no row yet: the first one gets a new key in any case
            self.modified = True
            return
        self._session_key = self._get_new_session_key()
        row = self.create_model_instance(data)
        columns = {field.attname: getattr(row, field.attname) for field in Session._meta.concrete_fields}
        if not Session.objects.filter(session_key=before).update(**columns):
            raise SessionInterrupted("This session was ended while the request was under way.")
        self.modified, self._written = True, self._holds()

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            Session.objects.filter(session_key=key).delete()

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        session: Any = super().create_model_instance(data)
        user_id = data.get(SESSION_KEY)
        session.user_id = int(user_id) if user_id else None
        for name, value in data.get(ABOUT, {}).items():
            setattr(session, name, value)
        return session

    def _validate_session_key(self, key: str | None) -> bool:
        # A cookie can be anything; PostgreSQL fails over a NUL in it
        valid = super()._validate_session_key(key)  # type: ignore[misc]
        return bool(valid) and str(key).isascii() and str(key).isalnum()

    def _get_new_session_key(self) -> str:
        # 32 random characters: creating the row finds out whether a key is taken, no need to ask before
        return get_random_string(32, VALID_KEY_CHARS)

    def _holds(self) -> bytes:
        return bytes(self.serializer().dumps(self._session))  # type: ignore[attr-defined]


def reference_of(session: SessionBase) -> str:
    """Name a browser session from its sign-in to its end; its key changes with each code."""
    return str(session.get(ABOUT, {}).get("reference") or session.session_key)


def user_of(request: Any) -> Any:
    """Give whoever is signed in, as `django.contrib.auth.get_user` does, from the row that came with the session.

    SECURITY: only a plain yes is decided here, by Django's own conditions: the session's person, still active,
    the password still the one of the sign-in. Whatever is not plain is left to Django, and a test holds both together.
    """
    session, person = request.session, _person_of(request.session)
    if person is None or not person.is_active:
        return get_user(request)
    proven = constant_time_compare(session.get(HASH_SESSION_KEY, ""), person.get_session_auth_hash())
    return person if proven else get_user(request)


def _person_of(session: SessionBase) -> User | None:
    user_id = session.get(SESSION_KEY)  # reads the session, and its person with it
    person: User | None = getattr(session, "person", None)
    mine = person is not None and str(person.pk) == user_id
    return person if mine and session.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS else None
