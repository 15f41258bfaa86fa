"""Changes of node permissions: one transaction for all that a page sends, one activity entry for each person."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import mail
from accounts.activity import record_each
from accounts.actor import Actor
from accounts.acts import Act
from environments.authority import NotPermitted, need_window_on
from environments.models import App, Environment, Membership, NodePermission
from environments.permissions import Permission, Standing, allowed, may_change
from environments.reach import settings_on, standing_with

Grants = Mapping[int, Mapping[Permission, bool]]  # membership id → permission → granted
UNIQUE, SET = ("environment", "membership", "permission"), ("granted", "set_at", "set_by")


class ChangedMeanwhile(Exception):
    """What the page had shown is true no more. `members` are those with other permissions now; `lost` those whose
    role carries the deploy permission no more; `gone` is how many left the team of those that were to be changed.
    """

    def __init__(self, members: list[Membership], lost: list[Membership], gone: int) -> None:
        super().__init__(", ".join(member.user.name for member in [*members, *lost]))
        self.members, self.lost, self.gone = members, lost, gone


@dataclass
class _Table:
    """The members that a change names as they stand now, with the one who changes them."""

    app: App
    environment: Environment
    actor: Standing
    members: dict[int, Membership] = field(default_factory=dict)
    lost: dict[int, Membership] = field(default_factory=dict)
    standings: dict[int, Standing] = field(default_factory=dict)

    def holds(self, member: int, permission: Permission) -> bool:
        return allowed(permission, self.standings[member], self.environment.is_production)


@transaction.atomic
def set_permissions(environment: Environment, by: Actor, wanted: Grants, seen: Grants) -> list[Membership]:
    """Set permissions of members as one change; gives who was changed. `seen` is what the page had shown.

    Raises NotPermitted for what the actor may not change, ChangedMeanwhile where `seen` is true no more.
    """
    table = _read(environment, by, wanted)
    need_window_on(table.environment, by)
    _need_as_seen(table, wanted, seen)
    changes = {
        pk: {p: granted for p, granted in wanted[pk].items() if table.holds(pk, p) != granted} for pk in table.members
    }
    changes = {pk: difference for pk, difference in changes.items() if difference}
    for pk, difference in changes.items():
        _need_right_to(table, by, table.members[pk], difference)
    _store(table, by, changes)
    _tell(table, by, changes)
    return [table.members[pk] for pk in changes]


def _read(environment: Environment, by: Actor, wanted: Grants) -> _Table:
    """Read all that decides, under the app's lock, which changes of its team and of its roles wait for.

    SECURITY: ids of other apps are as if they did not exist.
    """
    app = App.objects.select_for_update(no_key=True).filter(pk=environment.app_id).first()
    current = Environment.objects.filter(pk=environment.pk, app=environment.app_id).first()
    if app is None or current is None:
        raise NotPermitted(f"{environment.name} does not exist any more.")
    people = app.memberships.filter(Q(pk__in=wanted) | Q(user=by.user.pk)).select_related("user", "role")
    found = {member.pk: member for member in people}
    settings = settings_on([current], found.values())
    standings = {pk: standing_with(m, app, settings.get((pk, current.pk), {})) for pk, m in found.items()}
    actor = next((m for m in found.values() if m.user_id == by.user.pk and m.user.is_active), None)
    if actor is None:
        raise NotPermitted(f"You are not in the team of {app.name} any more.")
    if not actor.role.deploys:
        raise NotPermitted("Your role in the team does not carry the deploy permission any more.")
    named = {pk: member for pk, member in found.items() if pk in wanted}
    return _Table(
        app,
        current,
        standings[actor.pk],
        members={pk: member for pk, member in named.items() if member.role.deploys},
        lost={pk: member for pk, member in named.items() if not member.role.deploys},
        standings=standings,
    )


def _need_as_seen(table: _Table, wanted: Grants, seen: Grants) -> None:
    stale = [
        member
        for pk, member in table.members.items()
        if any(table.holds(pk, permission) != was for permission, was in seen.get(pk, {}).items())
    ]
    out = {pk for pk, cells in wanted.items() if pk not in table.members and cells != seen.get(pk)}
    if stale or out:
        lost = [member for pk, member in table.lost.items() if pk in out]
        raise ChangedMeanwhile(stale, lost, len(out) - len(lost))


def _need_right_to(table: _Table, by: Actor, member: Membership, difference: Mapping[Permission, bool]) -> None:
    own, contacts = member.user_id == by.user.pk, member.user_id == table.app.technical_contact_id
    production = table.environment.is_production
    for permission in difference:
        if not may_change(permission, table.actor, production, own=own, contacts=contacts):
            whose = "yourself" if own else member.user.name
            raise NotPermitted(f"{permission.label} for {whose} is not yours to change on {table.environment.name}.")


def _store(table: _Table, by: Actor, changes: Grants) -> None:
    now = timezone.now()
    rows = [
        NodePermission(
            environment=table.environment,
            membership=table.members[pk],
            permission=permission,
            granted=granted,
            set_at=now,
            set_by=by.user.name,
        )
        for pk, difference in changes.items()
        for permission, granted in difference.items()
    ]
    NodePermission.objects.bulk_create(rows, update_conflicts=True, unique_fields=UNIQUE, update_fields=SET)
    entries = [
        (
            table.members[pk].user.name,
            {permission.label: not granted for permission, granted in difference.items()},
            {permission.label: granted for permission, granted in difference.items()},
        )
        for pk, difference in changes.items()
    ]
    record_each(Act.PERMISSIONS_CHANGED, by, entries, app=table.app, environment=table.environment)


def _tell(table: _Table, by: Actor, changes: Grants) -> None:
    """Tell people by mail what they may do on production now; what they switched themselves they know."""
    if not table.environment.is_production:
        return
    for pk, difference in changes.items():
        person = table.members[pk].user
        if person.pk != by.user.pk and person.is_active:
            mail.send(
                "permissions_changed",
                [person],
                by=by,
                app=table.app,
                environment=table.environment,
                given=[permission for permission, granted in difference.items() if granted],
                taken=[permission for permission, granted in difference.items() if not granted],
                by_api=difference.get(Permission.API, False),
            )
