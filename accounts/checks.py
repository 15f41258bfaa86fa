"""Checks of the database: run by `manage.py run`, by each web worker at its start and by `check --database default`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import Error, Tags, register
from django.db import DatabaseError

from accounts import keys


@register(Tags.database)
def keys_fit(app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any) -> list[Error]:
    if "default" not in (databases or ()):
        return []
    try:
        wrong = keys.what_is_wrong()
    except DatabaseError:  # no tables yet, or no database: others say so
        return []
    return [Error(wrong, id="accounts.E001")] if wrong else []
