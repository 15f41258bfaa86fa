"""Sessions in the database that know whose they are (named by SESSION_ENGINE)."""

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from accounts.models import Session

ABOUT = "about"  # what the row says of itself: reference, signed_in_at, address, browser


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> Any:
        return Session

    def _validate_session_key(self, key: str | None) -> bool:
        # A cookie can be anything; PostgreSQL fails over a NUL in it
        return bool(super()._validate_session_key(key)) and str(key).isascii() and str(key).isalnum()

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        session: Any = super().create_model_instance(data)
        user_id = data.get("_auth_user_id")
        session.user_id = int(user_id) if user_id else None
        for name, value in data.get(ABOUT, {}).items():
            setattr(session, name, value)
        return session
