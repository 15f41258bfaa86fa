"""Since when an environment has no good backup."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Max, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce

from deployments.backups.models import Backup
from deployments.models import Job
from deployments.states import JobKind, JobState
from environments.models import Environment


def without_backup_since(environments: Iterable[Environment]) -> dict[int, datetime]:
    """Give it by number, in two queries for any number of environments.

    It is since the last backup of what they hold, or since something came on them for the first time, or for the
    first time after they were cleared.
    """
    keys = [environment.pk for environment in environments]
    done = Job.objects.filter(environment__in=keys, state=JobState.DONE).order_by()
    cleared = Job.objects.filter(environment=OuterRef("environment"), state=JobState.DONE, kind=JobKind.CLEAR)
    last_clear = Coalesce(Subquery(cleared.order_by("-pk").values("pk")[:1]), 0)
    came = done.filter(kind=JobKind.TRANSPORT, ended_at__isnull=False, pk__gt=last_clear)
    found: dict[int, datetime] = dict(came.values_list("environment_id").annotate(first=Min("ended_at")))
    good = Backup.objects.good().filter(completed_at__isnull=False)
    of_them = good.filter(environment__in=keys).order_by().values_list("environment_id")
    for key, last in of_them.annotate(last=Max("completed_at")):
        found[key] = max(last, found.get(key, last))
    return found
