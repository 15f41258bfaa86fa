"""Changes to who is in a team, and as what: one transaction each, under the app's lock, with record and mail."""

from typing import Any

from django.db import transaction
from django.db.models import F, Q

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import User
from environments.authority import NotPermitted, need_window_for
from environments.held import for_the_record, permissions_held
from environments.models import ApiKey, App, HandOver, Membership, NodePermission, Role

# Who may manage a team: the right of the SCRUM Master's role, and the Technical Contact
MANAGES = Q(user__is_active=True) & (Q(role__manages_team=True) | Q(app__technical_contact=F("user")))


class TeamRefused(Exception):
    """The team can't become this, whoever asks; the message says why and what to do first."""

    def __init__(self, message: str, hand_over: bool = False) -> None:
        super().__init__(message)
        self.hand_over = hand_over


def lock(app: App) -> App:
    """Let changes of one app's team take turns: each sees what the one before left."""
    return App.objects.select_for_update(no_key=True).get(pk=app.pk)


def need_manager(app: App, by: Actor) -> None:
    """Raise NotPermitted for whoever may not manage this team now, or lacks the window for it."""
    if not Membership.objects.filter(MANAGES, app=app, user=by.user).exists():
        raise NotPermitted(f"You may not manage the team of {app.name}.")
    need_window_for(app, by)


def why_not(member: Membership, role: Role | None = None) -> TeamRefused | None:
    """Say what keeps a member from having this role, or from going where none is given.

    The Technical Contact never loses the deploy permission, and a team keeps somebody active whose role manages it
    (PORTAL, "Terms").
    """
    name, app = member.user.name, member.app
    if app.technical_contact_id == member.user_id and not (role and role.deploys):
        needs = "needs a role with the deploy permission" if role else "stays in the team"
        first = "Hand over first." if member.user.is_active else "Support appoints another one first."
        return TeamRefused(f"{name} is the Technical Contact of {app.name} and {needs}. {first}", hand_over=True)
    if member.role.manages_team and not (role and role.manages_team) and not _has_another_manager(member):
        return TeamRefused(
            f"{name} is the last in the team whose role manages it ({member.role.name})."
            " Give another member such a role first."
        )
    return None


def _has_another_manager(member: Membership) -> bool:
    managers = Membership.objects.filter(app=member.app_id, role__manages_team=True, user__is_active=True)
    return managers.exclude(pk=member.pk).exists()


@transaction.atomic
def change_role(member: Membership, by: Actor, role: Role) -> None:
    """Give a member another role. Without the deploy permission their node permissions go at once, into the history.

    Raises NotPermitted for one's own role, TeamRefused where it can't be (`why_not`).
    """
    app = lock(member.app)
    need_manager(app, by)
    # SECURITY: whoever may manage a team must not give themselves what its Technical Contact did not give them
    if member.user_id == by.user.pk:
        raise NotPermitted("Nobody changes their own role.")
    member = _as_it_is(member)
    role = _locked_role(role)
    _refuse(why_not(member, role))
    if role == member.role:
        return
    before = {"role": member.role.name} | ({} if role.deploys else take_permissions(member))
    Membership.objects.filter(pk=member.pk).update(role=role)
    record(Act.MEMBER_CHANGED, by, member.user.name, app=app, before=before, after={"role": role.name})
    _tell("team_role_changed", member, by, role=role, lost=member.role.deploys and not role.deploys)


@transaction.atomic
def remove(member: Membership, by: Actor) -> None:
    """Take a member out of the team, and their node permissions into the history.

    Raises TeamRefused where they can't go (`why_not`).
    """
    app = lock(member.app)
    need_manager(app, by)
    if member.user_id == by.user.pk:
        raise TeamRefused("To go yourself, leave the team.")
    member = _as_it_is(member)
    _refuse(why_not(member))
    before = _farewell(member)
    record(Act.MEMBER_LEFT, by, member.user.name, app=app, before=before)
    _tell("team_removed", member, by)


@transaction.atomic
def leave(member: Membership, by: Actor) -> None:
    """Let a member go by themselves. Raises TeamRefused where they can't (`why_not`)."""
    app = lock(member.app)
    if member.user_id != by.user.pk:
        raise NotPermitted("Nobody leaves for somebody else.")
    need_window_for(app, by)
    member = _as_it_is(member)
    _refuse(why_not(member))
    before = _farewell(member)
    record(Act.LEFT_TEAM, by, app=app, before=before)
    _tell("team_left", member, by, also=member.app.technical_contact)


def take_permissions(member: Membership) -> dict[str, Any]:
    """Delete what was set for a member; gives what they held, to record.

    An offer to hand over to them goes, too, and their API keys lose the app.
    """
    held = permissions_held([member])[member.pk]
    NodePermission.objects.filter(membership=member).delete()
    HandOver.objects.filter(offered_to=member).delete()
    ApiKey.objects.all().lose(Membership.objects.filter(pk=member.pk))
    return for_the_record(held)


def _farewell(member: Membership) -> dict[str, Any]:
    before = {"role": member.role.name} | take_permissions(member)
    Membership.objects.filter(pk=member.pk).delete()
    return before


def _as_it_is(member: Membership) -> Membership:
    found = Membership.objects.select_related("app__technical_contact", "role", "user").filter(pk=member.pk).first()
    if found is None:
        raise TeamRefused(f"{member.user.name} is not in the team any more.")
    return found


def _locked_role(role: Role) -> Role:
    """Hold what a role carries while somebody gets it; the admin changes roles under the same lock."""
    found = Role.objects.select_for_update(no_key=True).filter(pk=role.pk).first()
    if found is None:
        raise TeamRefused(f"There is no role {role.name} any more.")
    return found


def _refuse(refusal: TeamRefused | None) -> None:
    if refusal:
        raise refusal


def _tell(name: str, member: Membership, by: Actor, also: User | None = None, **context: Any) -> None:
    people = {person for person in (member.user, also) if person and person.is_active}
    mail.send(name, people, by=by, member=member, app=member.app, **context)
