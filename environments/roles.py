"""Changes to roles: what a role carries holds for everybody who has it, at once."""

from django.db import transaction
from django.db.models import F

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from environments.authority import NotPermitted
from environments.flows import CREATORS_ROLE
from environments.models import App, Role


@transaction.atomic
def save_role(by: Actor, role: Role) -> None:
    """Save a new or changed role. Raises NotPermitted where it would break what must hold (`why_not`)."""
    if not (by.user.is_active and by.user.is_superuser):
        raise NotPermitted("Only the operator changes roles.")
    stored = Role.objects.select_for_update().filter(pk=role.pk).first()
    refusal = why_not(stored, role)
    if refusal:
        raise NotPermitted(refusal)
    before, after = (_facts(stored) if stored else None), _facts(role)
    role.save()
    if before != after:
        record(Act.ROLE_CHANGED, by, role.name, before=before, after=after)


def why_not(stored: Role | None, role: Role) -> str:
    """Say why a role can't become this; empty where it can.

    A Technical Contact never loses the deploy permission (PORTAL, "Terms"), nor does whoever creates an app lack it.
    """
    if stored is None:
        return ""
    if stored.name == CREATORS_ROLE and (role.name != stored.name or not role.deploys):
        return f"Whoever creates an app becomes its {CREATORS_ROLE}: the role keeps its name and its deploy permission."
    if stored.deploys and not role.deploys:
        contacts = App.objects.filter(memberships__role=stored, memberships__user=F("technical_contact"))
        names = ", ".join(contacts.values_list("name", flat=True))
        if names:
            return f"The Technical Contact of {names} has this role. They hand over first."
    return ""


def _facts(role: Role) -> dict[str, object]:
    return {"name": role.name, "deploys": role.deploys, "manages the team": role.manages_team}
