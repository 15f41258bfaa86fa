"""Who was refused what for a reason of security: kept in the activity record, the same once a minute."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.activity import Named, record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity

SAME_FOR = timedelta(minutes=1)


def note(request: Any, what: str, app: Named | None = None, environment: Named | None = None) -> None:
    """Record that the person of this request was refused something, in words that follow "was refused:".

    Call it outside of the transaction that the refusal undoes.
    """
    # SECURITY: no stranger, and nobody who repeats themselves, can fill the record
    if not request.user.is_authenticated or _is_known(request.user.pk, what[:300], app, environment):
        return
    match = request.resolver_match
    via = "admin" if match and "admin" in match.namespaces else "browser"
    record(Act.REFUSED, Actor.of(request, via), what, app=app, environment=environment)


def _is_known(person: int, what: str, app: Named | None, environment: Named | None) -> bool:
    of_late = Activity.objects.filter(act=Act.REFUSED, actor_id=person, at__gt=timezone.now() - SAME_FOR)
    place = {"app_id": app.pk if app else None, "environment_id": environment.pk if environment else None}
    return of_late.filter(target=what, **place).exists()
