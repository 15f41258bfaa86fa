"""Environments and apps that go for good, once nothing is on them. What happened stays in the activity record."""

import logging
from collections.abc import Iterable
from functools import partial

from django.core.files.storage import default_storage
from django.db import transaction

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity
from deployments.errors import Refused
from deployments.models import Backup, Job, Live, Package
from deployments.runtimes import get_runtime
from deployments.runtimes.base import Runtime, RuntimeFailure
from deployments.states import EnvironmentState
from environments.models import App, Environment
from environments.settings_flows import need_contact
from environments.team import lock

log = logging.getLogger(__name__)


def in_the_way(environments: Iterable[Environment]) -> dict[int, str]:
    """Say for each environment that can't be deleted now why, in a sentence; in two queries for any number."""
    environments = list(environments)
    lives = {live.environment_id: live for live in Live.objects.filter(environment__in=environments)}
    active = {job.environment_id: job for job in Job.objects.active().filter(environment__in=environments)}
    found: dict[int, str] = {}
    for environment in environments:
        live, name = lives.get(environment.pk), environment.name
        if environment.pk in active:
            found[environment.pk] = f"Something is under way on {name}. Wait until it has ended, or cancel it."
        elif live and live.is_running:
            found[environment.pk] = f"{name} runs. Stop it, then clear it."
        elif live and live.state != EnvironmentState.EMPTY:
            found[environment.pk] = f"{name} is stopped, but something is on it. Clear it."
    return found


@transaction.atomic
def delete_environment(environment: Environment, by: Actor) -> None:
    """Delete an empty environment with its backups, the history of its deployments and all permissions on it.

    Raises NotPermitted for all but the Technical Contact, Refused while something is on it or under way.
    """
    app = lock(environment.app)
    need_contact(app, by)
    # Whoever asks for a job takes this lock, too: they are first and seen here, or find nothing any more
    environment = Environment.objects.select_for_update().get(pk=environment.pk)
    if reasons := in_the_way([environment]):
        raise Refused(*reasons.values())
    key, files = environment.pk, _backups_of([environment])
    _record(environment, app, by)
    environment.delete()
    transaction.on_commit(partial(_remove_files, files), robust=True)
    transaction.on_commit(partial(_forget, [key]), robust=True)


@transaction.atomic
def delete_app(app: App, by: Actor) -> None:
    """Delete an app whose environments are all empty: team, packages, environments and the history of deployments.

    Raises NotPermitted for all but the Technical Contact, Refused while something is on an environment. The files of
    its packages go once the rows are gone; what a crash leaves of them is removed in the night.
    """
    app = App.objects.select_for_update().get(pk=app.pk)
    need_contact(app, by)
    environments = list(Environment.objects.select_for_update().filter(app=app))
    if reasons := in_the_way(environments):
        raise Refused(" ".join(reasons.values()))
    keys = [environment.pk for environment in environments]
    files = [str(name) for name in Package.objects.filter(app=app).values_list("file", flat=True)]
    files += _backups_of(environments)
    for environment in environments:
        _record(environment, app, by)
    before = {
        "short name": app.slug,
        "environments": [environment.name for environment in environments],
        "packages": app.packages.count(),
        "members": list(app.memberships.order_by("user__name").values_list("user__name", flat=True)),
    }
    record(Act.APP_DELETED, by, app.name, app=app, before=before)
    Live.objects.filter(environment__in=keys).delete()  # it holds on to its package
    app.delete()
    transaction.on_commit(partial(_remove_files, files), robust=True)
    transaction.on_commit(partial(_forget, keys), robust=True)


def forget_unknown(runtime: Runtime) -> None:
    """Remove what the runtime keeps of environments that are gone: a deletion was cut off before it got there.

    Only those of which the record says that they were deleted: a database that was put back knows fewer than there are.
    """
    kept = runtime.environments()
    deleted = Activity.objects.filter(act=Act.ENVIRONMENT_DELETED, environment_id__in=kept)
    gone = set(deleted.values_list("environment_id", flat=True))
    there = set(Environment.objects.filter(pk__in=kept).values_list("pk", flat=True))
    _forget(sorted(key for key in gone - there if key is not None), runtime)


def _record(environment: Environment, app: App, by: Actor) -> None:
    before = {"host": environment.host, "type": "production" if environment.is_production else "ordinary"}
    record(Act.ENVIRONMENT_DELETED, by, environment.name, app=app, environment=environment, before=before)


def _backups_of(environments: list[Environment]) -> list[str]:
    """Give the names of all that is stored of backups of these environments."""
    return [name for backup in Backup.objects.filter(environment__in=environments) for name in backup.stored]


def _remove_files(names: list[str]) -> None:
    for name in names:
        try:
            default_storage.delete(name)
        except OSError as error:  # one that can't go must not keep the others
            log.warning("%s could not be removed: %s", name, error)


def _forget(keys: list[int], runtime: Runtime | None = None) -> None:
    for key in keys:
        try:
            (runtime or get_runtime()).forget(key)
        except RuntimeFailure as failure:
            log.warning("What the environment %s left is removed later: %s", key, failure)
