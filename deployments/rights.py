"""Who may change what runs on an environment; flows ask again what a page's guard has asked, jobs what flows have."""

from uuid import UUID

from accounts.actor import API, Actor
from accounts.models import ProductionWindow
from deployments.endings import Cancelled
from deployments.models import Job
from deployments.states import CLOCK
from environments.access import may
from environments.api_keys import need_key_on, still_carries
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


def refuse_without_rights(job: Job, needs: list[tuple[Environment, Permission]]) -> None:
    """Raise Cancelled where whoever asked for a job may not do so now that it begins; `needs` is what that takes.

    SECURITY: what was true when it was asked for may not be true any more (PORTAL, gate, 11).
    """
    if job.via == CLOCK:
        return
    if job.window and not _still_trusted(job.window):
        raise Cancelled(f"No longer permitted: the production access of {job.asker_name} was withdrawn.")
    for environment, permission in needs:
        where = environment.name
        if job.asked_by is None or not may(job.asked_by, environment, permission):
            raise Cancelled(f"No longer permitted: {job.asker_name} has no {permission.label} on {where} now.")
        if environment.is_production and job.via == "browser" and job.window is None:
            # Support made it production while the job waited
            raise Cancelled(f"No longer permitted: {where} is production now, and no code was entered for this.")
        if job.via == API and not still_carries(job.api_key_id, environment):
            raise Cancelled(f"No longer permitted: the API key {job.key_name} was revoked or has lost its rights.")


def _still_trusted(key: UUID) -> bool:
    """Say whether the window was neither ended for cause nor lost its authenticator; run out or closed is fine."""
    window = ProductionWindow.objects.filter(pk=key).select_related("authenticator").first()
    if window is None or window.ended_why in ProductionWindow.FOR_CAUSE:
        return False
    authenticator = window.authenticator
    return bool(authenticator and authenticator.confirmed and not authenticator.blocked_at)
