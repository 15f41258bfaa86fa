"""Writes the activity record. Call it inside the transaction of the change: no record, no change."""

from collections.abc import Iterable
from typing import Any, Protocol

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity


class Named(Protocol):
    pk: Any
    name: str


def record(
    act: Act,
    by: Actor,
    target: str = "",
    *,
    app: Named | None = None,
    environment: Named | None = None,
    before: Any = None,
    after: Any = None,
    reason: str = "",
) -> Activity:
    """Write one entry; `before` and `after` are JSON values that say what changed."""
    entry = _entry(act, by, target, app, environment, before, after, reason)
    entry.save(force_insert=True)
    return entry


def record_each(
    act: Act,
    by: Actor,
    changes: Iterable[tuple[str, Any, Any]],
    *,
    app: Named | None = None,
    environment: Named | None = None,
) -> None:
    """Write an entry for each (target, before, after) of one change, in one query."""
    Activity.objects.bulk_create(
        _entry(act, by, target, app, environment, before, after) for target, before, after in changes
    )


def _entry(
    act: Act,
    by: Actor,
    target: str,
    app: Named | None,
    environment: Named | None,
    before: Any,
    after: Any,
    reason: str = "",
) -> Activity:
    return Activity(
        act=act,
        actor_id=by.user.pk,
        actor_name=by.user.name,
        app_id=app.pk if app else None,
        app_name=app.name if app else "",
        environment_id=environment.pk if environment else None,
        environment_name=environment.name if environment else "",
        target=target[:300],
        before=before,
        after=after,
        reason=reason,
        via=by.via,
        key=str(by.key or ""),
        address=by.address,
    )
