"""Which keys a backup needs. They are never in it: it says by their fingerprints which ones fit."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from accounts.keys import columns
from accounts.models import Interrupted
from portal.management.safekeeping import NotDone
from portal.management.safekeeping.databases import Rows

NAMES = ("ENCRYPTION_KEYS", "SECRET_KEY")
MISSING = """\
The backup needs keys that the settings do not hold. Their fingerprints:
{missing}
Add them to the settings, an encryption key behind the others, and type this again. If they are lost for good, \
--without-keys restores the rest. {consequences}"""
LOST = {
    "ENCRYPTION_KEYS": "Authenticators then have to be set up again, and secret constants to be entered again.",
    "SECRET_KEY": "Links that were mailed then no longer work.",
}


@dataclass(frozen=True)
class Needed:
    """The fingerprints of the keys that a backup needs, by the setting that holds them.

    `unreadable` counts the secrets that no key fits: they were lost before.
    """

    fingerprints: dict[str, list[str]]
    unreadable: int = 0

    def lines(self) -> list[str]:
        return [f"  {name}: {print_}" for name in NAMES for print_ in self.fingerprints.get(name, [])]


def fingerprint(key: str) -> str:
    """Tell a key from others without telling the key."""
    return hashlib.sha256(b"developer-portal key\0" + key.encode()).hexdigest()[:16]


def needed(rows: Rows) -> Needed:
    """Find the keys that the secrets of a database were encrypted with, by trying all of them."""
    fernets = {fingerprint(key): Fernet(key) for key in settings.ENCRYPTION_KEYS}
    uses = Counter(_key_of(token, fernets) for token in _tokens(rows))
    in_order = [print_ for print_ in fernets if uses[print_] or print_ == fingerprint(settings.ENCRYPTION_KEYS[0])]
    return Needed({"ENCRYPTION_KEYS": in_order, "SECRET_KEY": [fingerprint(settings.SECRET_KEY)]}, uses[""])


def refuse_without(wanted: dict[str, Any]) -> None:
    """Raise NotDone, naming what is missing, where the settings lack a key that a backup needs."""
    held = {
        "ENCRYPTION_KEYS": {fingerprint(key) for key in settings.ENCRYPTION_KEYS},
        "SECRET_KEY": {fingerprint(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)},
    }
    missing = {name: [print_ for print_ in wanted.get(name, []) if print_ not in held[name]] for name in NAMES}
    lost = [name for name in NAMES if missing[name]]
    if lost:
        consequences = " ".join(LOST[name] for name in lost)
        raise NotDone(MISSING.format(missing="\n".join(Needed(missing).lines()), consequences=consequences))


def _key_of(token: str, fernets: dict[str, Fernet]) -> str:
    for print_, fernet in fernets.items():
        try:
            fernet.decrypt(token.encode())
        except InvalidToken:
            continue
        return print_
    return ""


def _tokens(rows: Rows) -> Iterator[str]:
    """Give everything that is encrypted."""
    for column in columns():
        if column.model is not Interrupted:  # a kept form lives for ten minutes
            yield from rows.texts(column.model, column.field)
