"""How a line of the log is written."""

import logging
import re

# Addresses that were mailed and open something by themselves; a slash may be escaped, as in ?next=
_LINKS = re.compile(
    r"((?:/|%2F)(?:invitations|account(?:/|%2F)(?:e-mail|password(?:/|%2F)reset(?:/|%2F)[\w-]+))(?:/|%2F))[\w.:~-]{8,}",
    re.IGNORECASE,
)

# API keys (environments.api_keys) and signed links to downloads; of a key the public part stays
_KEYS = re.compile(r"\b(dp_[0-9a-f]{8})_\w+", re.IGNORECASE)
_DOWNLOADS = re.compile(r"(/api/1/links/)[\w.:~-]{8,}")


def masked(text: str) -> str:
    """Give a text without the secret part of any API key in it."""
    return _KEYS.sub(r"\1…", text)


class Line(logging.Formatter):
    """Writes a line without API keys, and without what opens a link that was mailed.

    SECURITY: Django logs the address of each request that it refuses, and whoever reads logs is not who was mailed.
    """

    def format(self, record: logging.LogRecord) -> str:
        return masked(_DOWNLOADS.sub(r"\1…", _LINKS.sub(r"\1…", super().format(record))))
