"""Sessions in the database that know whose they are (named by SESSION_ENGINE)."""

from typing import Any

from django.contrib.sessions.backends.base import VALID_KEY_CHARS, SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils.crypto import get_random_string

from accounts.models import Session

ABOUT = "about"  # what the row says of itself: reference, signed_in_at, address, browser


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> Any:
        return Session

    def _validate_session_key(self, key: str | None) -> bool:
        # A cookie can be anything; PostgreSQL fails over a NUL in it
        valid = super()._validate_session_key(key)  # type: ignore[misc]
        return bool(valid) and str(key).isascii() and str(key).isalnum()

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        session: Any = super().create_model_instance(data)
        user_id = data.get("_auth_user_id")
        session.user_id = int(user_id) if user_id else None
        for name, value in data.get(ABOUT, {}).items():
            setattr(session, name, value)
        return session

    def _get_new_session_key(self) -> str:
        # 32 random characters: creating the row finds out whether a key is taken, no need to ask before
        return get_random_string(32, VALID_KEY_CHARS)

    def delete(self, session_key: str | None = None) -> None:
        Session.objects.filter(session_key=session_key or self.session_key).delete()


def reference_of(session: SessionBase) -> str:
    """Name a browser session from its sign-in to its end; its key changes with each code."""
    return str(session.get(ABOUT, {}).get("reference") or session.session_key)
