"""Encrypts what must not be readable in a database dump: authenticator secrets, kept forms, secret constants."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db.models import TextField


class EncryptedText(TextField):  # type: ignore[type-arg]
    """A column that holds what `encrypt` made. It does not decrypt by itself: `accounts.keys` finds it by its type."""


class Unreadable(Exception):
    """The text was encrypted with a key that the settings no longer hold."""


def encrypt(text: str) -> str:
    return _keys().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Give the text back; raises Unreadable when none of the keys fits."""
    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def is_readable(token: str) -> bool:
    try:
        decrypt(token)
    except Unreadable:
        return False
    return True


def reencrypt(token: str) -> str | None:
    """Encrypt with the newest key what an older one encrypted; None when the newest one did already.

    Raises Unreadable when none of the keys fits.
    """
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(token.encode())
    except InvalidToken:
        return encrypt(decrypt(token))
    return None


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
