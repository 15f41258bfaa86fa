"""How a line of the log is written."""

import logging
import re

# Addresses that were mailed and open something by themselves; a slash may be escaped, as in ?next=
_LINKS = re.compile(
    r"((?:/|%2F)(?:invitations|account(?:/|%2F)(?:e-mail|password(?:/|%2F)reset(?:/|%2F)[\w-]+))(?:/|%2F))[\w.:~-]{8,}",
    re.IGNORECASE,
)


class Line(logging.Formatter):
    """Writes a line without what opens a link that was mailed.

    SECURITY: Django logs the address of each request that it refuses, and whoever reads logs is not who was mailed.
    """

    def format(self, record: logging.LogRecord) -> str:
        return _LINKS.sub(r"\1…", super().format(record))
