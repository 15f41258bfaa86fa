"""The node permissions that members hold on all environments of their app, read for many at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet

from environments.models import Environment, Membership, NodePermission
from environments.permissions import Permission, Standing, allowed

Held = Mapping[str, list[str]]  # name of an environment → what is held there; environments without any are left out


def permissions_held(members: "QuerySet[Membership] | list[Membership]") -> dict[int, Held]:
    """Give what each member holds, by membership id, in two queries beside theirs (with app and role read)."""
    settings: dict[tuple[int, int], dict[Permission, bool]] = {}
    for row in NodePermission.objects.filter(membership__in=members):
        settings.setdefault((row.membership_id, row.environment_id), {})[Permission(row.permission)] = row.granted
    environments: dict[int, list[Environment]] = {}
    for environment in Environment.objects.filter(app__in={member.app_id for member in members}):
        environments.setdefault(environment.app_id, []).append(environment)
    return {member.pk: _held(member, environments.get(member.app_id, ()), settings) for member in members}


def _held(
    member: Membership,
    environments: Iterable[Environment],
    settings: Mapping[tuple[int, int], Mapping[Permission, bool]],
) -> Held:
    contact = member.app.technical_contact_id == member.user_id
    held = {}
    for environment in environments:
        set_here = settings.get((member.pk, environment.pk), {})
        standing = Standing(is_technical_contact=contact, deploys=member.role.deploys, settings=set_here)
        labels = [p.label for p in Permission if allowed(p, standing, environment.is_production)]
        if labels:
            held[environment.name] = labels
    return held


def for_the_record(held: Held) -> dict[str, Any]:
    """Name what was held as the activity record keeps it."""
    return {f"permissions on {environment}": labels for environment, labels in held.items()}


def in_sentences(held: Held) -> list[str]:
    """Say what goes: "Test: Transport Rights, API Rights"."""
    return [f"{environment}: {', '.join(labels)}" for environment, labels in held.items()]
