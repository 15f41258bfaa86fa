"""Changes to roles: what a role carries holds for everybody who has it, at once."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from accounts.activity import record, record_each
from accounts.actor import Actor
from accounts.acts import Act
from environments.authority import NotPermitted
from environments.flows import CREATORS_ROLE
from environments.held import for_the_record, permissions_held
from environments.models import ApiKey, App, HandOver, Invitation, Membership, NodePermission, Role

NAMED = 5  # apps in a sentence


@transaction.atomic
def save_role(by: Actor, role: Role) -> None:
    """Save a new or changed role. Who loses the deploy permission by it loses their node permissions, into the history.

    Raises NotPermitted where it would break what must hold (`why_not`).
    """
    _only_the_operator(by)
    stored = _locked(role)
    refusal = why_not(stored, role)
    if refusal:
        raise NotPermitted(refusal)
    before, after = (_facts(stored) if stored else None), _facts(role)
    if stored and stored.deploys and not role.deploys:
        _take_permissions(by, stored)
    role.save()
    if before != after:
        record(Act.ROLE_CHANGED, by, role.name, before=before, after=after)


@transaction.atomic
def delete_role(by: Actor, role: Role) -> None:
    """Delete a role that nobody has. Raises NotPermitted for one that is in use (`why_kept`)."""
    _only_the_operator(by)
    stored = _locked(role)
    if stored is None:
        return
    refusal = why_kept(stored)
    if refusal:
        raise NotPermitted(refusal)
    record(Act.ROLE_DELETED, by, stored.name, before=_facts(stored))
    stored.delete()


def why_not(stored: Role | None, role: Role) -> str:
    """Say why a role can't become this; empty where it can.

    A Technical Contact never loses the deploy permission (PORTAL, "Terms"), nor does whoever creates an app lack it;
    and every team keeps a member whose role manages it.
    """
    if stored is None:
        return ""
    loses_team = stored.manages_team and not role.manages_team
    if stored.name == CREATORS_ROLE and (role.name != stored.name or not role.deploys or loses_team):
        return (
            f"Whoever creates an app becomes its {CREATORS_ROLE}: the role keeps its name and its deploy permission,"
            " and goes on managing the team."
        )
    if stored.deploys and not role.deploys:
        contacts = App.objects.filter(memberships__role=stored, memberships__user=F("technical_contact"))
        if contacts.exists():
            return f"The Technical Contact of {_names(contacts)} has this role. They hand over first."
    if loses_team:
        alone = _managed_by_nobody_else(stored)
        if alone.exists():
            return f"Nobody else manages the team of {_names(alone)}. Give somebody there another role that does first."
    return ""


def why_kept(role: Role) -> str:
    """Say why a role can't be deleted; empty where it can."""
    if role.name == CREATORS_ROLE:
        return f"Whoever creates an app becomes its {CREATORS_ROLE}: the role stays."
    members = Membership.objects.filter(role=role).count()
    invited = Invitation.objects.filter(role=role).count()
    if members or invited:
        return f"It is in use. Members who have it: {members}; invitations that give it: {invited}."
    return ""


def _managed_by_nobody_else(role: Role) -> QuerySet[App]:
    having = Membership.objects.filter(app=OuterRef("pk"), role=role)
    others = Membership.objects.filter(app=OuterRef("pk"), role__manages_team=True, user__is_active=True)
    return App.objects.filter(Exists(having), ~Exists(others.exclude(role=role)))


def _names(apps: QuerySet[App]) -> str:
    names = list(apps.values_list("name", flat=True)[: NAMED + 1])
    return ", ".join(names[:NAMED]) + (" and others" if len(names) > NAMED else "")


def _locked(role: Role) -> Role | None:
    """Hold the teams that have the role, then the role itself: the order in which the teams' own changes hold them."""
    teams = Exists(Membership.objects.filter(app=OuterRef("pk"), role=role.pk))
    list(App.objects.select_for_update(no_key=True).filter(teams).order_by("pk"))
    return Role.objects.select_for_update().filter(pk=role.pk).first()


def _take_permissions(by: Actor, role: Role) -> None:
    """Delete the node permissions of everybody who has the role, and the offers to hand over to them."""
    members = Membership.objects.filter(role=role).select_related("app", "role", "user").order_by("app_id", "pk")
    held = permissions_held(members)
    for app, team in groupby(members, lambda member: member.app):
        record_each(Act.ROLE_LOST_DEPLOYS, by, _lost(team, held), app=app)
    NodePermission.objects.filter(membership__role=role).delete()
    HandOver.objects.filter(offered_to__role=role).delete()
    ApiKey.objects.all().lose(Membership.objects.filter(role=role))


def _lost(team: Iterable[Membership], held: Any) -> list[tuple[str, Any, Any]]:
    return [(member.user.name, for_the_record(held[member.pk]), None) for member in team if held[member.pk]]


def _only_the_operator(by: Actor) -> None:
    if not (by.user.is_active and by.user.is_superuser):
        raise NotPermitted("Only the operator changes roles.")


def _facts(role: Role) -> dict[str, object]:
    return {"name": role.name, "deploys": role.deploys, "manages the team": role.manages_team}
