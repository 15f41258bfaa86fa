"""Changes of node permissions: one transaction for all that a page sends, one activity entry for each person."""

from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from environments.access import standing_of
from environments.authority import NotPermitted, need_window_on
from environments.models import App, Environment, Membership, NodePermission
from environments.permissions import Permission, allowed, may_change

Grants = Mapping[int, Mapping[Permission, bool]]  # membership id → permission → granted


class ChangedMeanwhile(Exception):
    """Somebody else changed the same permissions since the page was shown; `members` are those changed."""

    def __init__(self, members: list[Membership]) -> None:
        super().__init__(", ".join(member.user.name for member in members))
        self.members = members


def effective(membership: Membership, environment: Environment) -> dict[Permission, bool]:
    """What a member holds on an environment, every permission named."""
    standing = standing_of(membership, environment)
    return {p: allowed(p, standing, environment.is_production) for p in Permission}


@transaction.atomic
def set_permissions(environment: Environment, by: Actor, wanted: Grants, seen: Grants) -> list[Membership]:
    """Set permissions of members as one change; gives who was changed. `seen` is what the page had shown.

    Raises NotPermitted for what the actor may not change, ChangedMeanwhile where `seen` is true no more.
    """
    app = App.objects.select_for_update().get(pk=environment.app_id)
    need_window_on(environment, by)
    actor = Membership.objects.select_related("app", "role").get(app=app, user=by.user)
    standing = standing_of(actor, environment)
    held = {membership: effective(membership, environment) for membership in _members(app, wanted)}
    stale = [m for m, holds in held.items() if any(holds[p] != was for p, was in seen.get(m.pk, {}).items())]
    if stale:
        raise ChangedMeanwhile(stale)
    changed = []
    for membership, holds in held.items():
        difference = {p: granted for p, granted in wanted[membership.pk].items() if holds[p] != granted}
        own, contacts = membership.user_id == by.user.pk, membership.user_id == app.technical_contact_id
        for permission in difference:
            if not may_change(permission, standing, environment.is_production, own=own, contacts=contacts):
                raise NotPermitted(f"{permission.label} of {membership.user.name} is not yours to change.")
        if difference:
            _store(membership, environment, difference, by)
            changed.append(membership)
    return changed


def _members(app: App, wanted: Grants) -> list[Membership]:
    """SECURITY: only members of this app with the deploy permission; other ids are as if they did not exist."""
    found = app.memberships.filter(pk__in=wanted, role__deploys=True).select_related("app", "role", "user")
    return list(found)


def _store(membership: Membership, environment: Environment, difference: Mapping[Permission, bool], by: Actor) -> None:
    for permission, granted in difference.items():
        NodePermission.objects.update_or_create(
            environment=environment,
            membership=membership,
            permission=permission,
            defaults={"granted": granted, "set_at": timezone.now(), "set_by": by.user.name},
        )
    record(
        Act.PERMISSIONS_CHANGED,
        by,
        membership.user.name,
        app=environment.app,
        environment=environment,
        before={p.label: not granted for p, granted in difference.items()},
        after={p.label: granted for p, granted in difference.items()},
    )
