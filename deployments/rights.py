"""Who may change what runs on an environment; flows ask once more what a page's guard has asked."""

from accounts.actor import Actor
from environments.access import may
from environments.api_keys import need_key_on
from environments.authority import NotPermitted, need_window_on
from environments.models import Environment
from environments.permissions import Permission


def permitted(environment: Environment, by: Actor, *permissions: Permission) -> Environment:
    """Give the environment with its row locked, so that those who change something there take turns.

    Call it first, in a transaction. Raises NotPermitted without the permissions (Transport Rights unless others are
    named), without the window on production, or where an API key does not carry it.
    """
    # No key: a worker that adds a row of the environment while it holds its job's lock does not wait for this one
    rows = Environment.objects.select_for_update(of=("self",), no_key=True).select_related("app")
    environment = rows.get(pk=environment.pk)
    for permission in permissions or (Permission.TRANSPORT,):
        if not may(by.user, environment, permission):
            raise NotPermitted(f"You need {permission.label} on {environment.name} for this.")
    need_window_on(environment, by)
    need_key_on(environment, by)
    return environment
