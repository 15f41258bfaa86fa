"""The role of the Technical Contact passes on: offered and accepted, or given by support. There is always exactly one.

Every change is decided under the lock of the app's row, in one transaction with its record and its mails.
"""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import User
from environments.authority import NotPermitted, need_window_for, was_distrusted
from environments.flows import CREATORS_ROLE, add_member
from environments.held import for_the_record, permissions_held
from environments.models import App, HandOver, Membership, NodePermission, Role
from environments.permissions import Permission

RIGHT = "environments.appoint_contact"


class NotPossible(Exception):
    """What was asked for can't be done as things stand now; the message says why and what to do."""


def candidates(app: App) -> QuerySet[Membership]:
    """Give the members who can take the role: active, with the deploy permission, and not in it already."""
    fit = app.memberships.filter(user__is_active=True, role__deploys=True).exclude(user=app.technical_contact_id)
    return fit.select_related("user", "role").order_by("user__name", "pk")


def why_not(app: App, member: Membership) -> str:
    """Say why a member can't take the role; empty where they can."""
    if member.user_id == app.technical_contact_id:
        return f"{member.user.name} is the Technical Contact already."
    if not member.user.is_active:
        return f"The account of {member.user.name} is deactivated. Choose somebody else."
    if not member.role.deploys:
        return f"The role {member.role} of {member.user.name} does not carry the deploy permission. Change it first."
    return ""


def offers_to(user: User) -> list[HandOver]:
    """Give the offers that stand and are made to a person, in all their apps."""
    made = HandOver.objects.select_related("app__technical_contact").filter(offered_to__user=user).order_by("pk")
    return [each for each in made if each.stands_at(timezone.now())]


def needs_successor(app: App) -> bool:
    """Say whether support may appoint: the Technical Contact can't hand over, or lacks what the role needs."""
    return App.objects.needing_successor().filter(pk=app.pk).exists()


def lost_with_the_role(app: App) -> list[str]:
    """Name the production environments on which the Technical Contact turned API Rights on for themselves."""
    own = _settings_of_contact(app).filter(permission=Permission.API, granted=True, environment__is_production=True)
    return [row.environment.name for row in own]


@transaction.atomic
def offer(app: App, by: Actor, to: Membership) -> HandOver:
    """Offer the role to a member, for seven days, in place of any offer before; nothing else changes until then.

    Raises NotPermitted for all but the Technical Contact, NotPossible for a member who can't take it.
    """
    app = _locked(app)
    _only_the_contact(app, by)
    member = app.memberships.select_related("user", "role").filter(pk=to.pk).first()
    refusal = why_not(app, member) if member else f"{to.user.name} is not in the team any more."
    if member is None or refusal:
        raise NotPossible(refusal)
    former = _offer_of(app)
    made, _ = HandOver.objects.update_or_create(
        app=app, defaults={"offered_by": by.user, "offered_to": member, "offered_at": timezone.now()}
    )
    record(Act.CONTACT_OFFERED, by, member.user.name, app=app, after={"until": made.ends_at.isoformat()})
    mail.send("contact_offered", [member.user], by=by, app=app, until=made.ends_at)
    if former and former.offered_to_id != member.pk and former.stands_at(timezone.now()):
        mail.send("contact_withdrawn", [former.offered_to.user], by=by, app=app)
    return made


@transaction.atomic
def withdraw(app: App, by: Actor) -> None:
    """Take the offer back. Raises NotPermitted for all but the Technical Contact, NotPossible where there is none."""
    app = _locked(app)
    _only_the_contact(app, by)
    made = _offer_of(app)
    if made is None:
        raise NotPossible("There is no offer: it was declined or withdrawn already.")
    stood = made.stands_at(timezone.now())
    made.delete()
    record(Act.CONTACT_WITHDRAWN, by, made.offered_to.user.name, app=app)
    if stood:
        mail.send("contact_withdrawn", [made.offered_to.user], by=by, app=app)


@transaction.atomic
def decline(app: App, by: Actor) -> None:
    """Say no to the offer. Raises NotPossible where it does not stand for whoever acts."""
    app = _locked(app)
    made = _standing_offer(app, by)
    made.delete()
    record(Act.CONTACT_DECLINED, by, made.offered_by.name, app=app)
    mail.send("contact_declined", [made.offered_by], by=by, app=app)


@transaction.atomic
def accept(app: App, by: Actor) -> None:
    """Become the Technical Contact; the one before is an ordinary member at once.

    Raises NotPermitted without the window, NotPossible where the offer does not stand for whoever acts.
    """
    app = _locked(app)
    need_window_for(app, by)
    made = _standing_offer(app, by)
    if was_distrusted(made.offered_by, made.offered_at):
        raise NotPossible(
            f"The offer does not stand: the production access of {made.offered_by.name} under which it was made was"
            f" ended since. {made.offered_by.name} has to offer the role again."
        )
    member, before = _member(app, made.offered_to.user), app.technical_contact
    refusal = why_not(app, member) if member else "You are not in the team any more."
    if member is None or refusal:
        raise NotPossible(refusal)
    _pass_on(app, member, Act.CONTACT_ACCEPTED, before.name, by)
    mail.send("contact_accepted", [member.user], by=by, app=app, before=before)
    mail.send("contact_handed_over", [before], by=by, app=app)
    mail.send_to("contact_accepted_support", settings.SUPPORT_EMAIL, by=by, app=app, before=before)


@transaction.atomic
def appoint(app: App, by: Actor, person: User, reason: str) -> None:
    """Give the role, as support, where the app needs a successor; open offers go.

    Where no member can take it, anybody with an active account can: they join with the role of whoever makes an app.
    Raises NotPermitted without the right and for oneself, NotPossible as the message says.
    """
    app = _locked(app)
    _may_appoint(app, by, person)
    reason = reason.strip()
    if not reason:
        raise NotPossible("Say why, in a sentence. The reason is kept.")
    if not needs_successor(app):
        raise NotPossible(
            f"{app.technical_contact.name} is the Technical Contact and can hand over. Nothing was changed."
        )
    member, before = _successor(app, by, person), app.technical_contact
    _pass_on(app, member, Act.CONTACT_APPOINTED, member.user.name, by, reason)
    told = {"by": by, "app": app, "before": before, "new": member.user, "reason": reason}
    mail.send("contact_appointed", [member.user], **told)
    mail.send("contact_appointed_told", _others(app, member.user, before), **told)


def _locked(app: App) -> App:
    # SECURITY: hand-over, appointment and changes of teams and roles wait for one another here, and read what is true
    locked = App.objects.select_for_update(of=("self",), no_key=True).select_related("technical_contact")
    found = locked.filter(pk=app.pk).first()
    if found is None:
        raise NotPossible(f"{app.name} does not exist any more.")
    return found


def _only_the_contact(app: App, by: Actor) -> None:
    if app.technical_contact_id != by.user.pk or not app.technical_contact.is_active:
        raise NotPermitted(f"Only the Technical Contact of {app.name} decides about an offer of their role.")
    need_window_for(app, by)


def _may_appoint(app: App, by: Actor, person: User) -> None:
    if not by.user.has_perm(RIGHT):
        raise NotPermitted("Only support staff appoint a Technical Contact.")
    if person.pk == by.user.pk:
        raise NotPermitted("You can't appoint yourself. Ask a colleague in support.")
    need_window_for(app, by)


def _offer_of(app: App) -> HandOver | None:
    offers = HandOver.objects.select_related("app__technical_contact", "offered_by", "offered_to__user")
    return offers.filter(app=app).first()


def _standing_offer(app: App, by: Actor) -> HandOver:
    made = _offer_of(app)
    if made and made.offered_to.user_id == by.user.pk and made.stands_at(timezone.now()):
        return made
    if app.technical_contact_id == by.user.pk:
        raise NotPossible(f"You are the Technical Contact of {app.name}.")
    raise NotPossible("The offer does not stand any more: it was withdrawn or ran out. Nothing was changed.")


def _member(app: App, user: User) -> Membership | None:
    return app.memberships.select_related("user", "role").filter(user=user).first()


def _successor(app: App, by: Actor, person: User) -> Membership:
    """Give the place in the team of whoever is appointed, made where it must be."""
    user = User.objects.filter(pk=person.pk, is_active=True).first()
    if user is None:
        raise NotPossible(f"The account of {person.name} is deactivated. Choose somebody else.")
    member = _member(app, user)
    if member and member.role.deploys:
        return member
    if candidates(app).exclude(user=by.user).exists():
        raise NotPossible("Choose a member whose role carries the deploy permission: the team has some.")
    role = Role.objects.get(name=CREATORS_ROLE)  # it always carries the deploy permission (environments.roles)
    if member is None:
        return add_member(app, by, user, role)
    was, member.role = member.role, role
    member.save(update_fields=["role"])
    record(Act.MEMBER_CHANGED, by, user.name, app=app, before={"role": was.name}, after={"role": role.name})
    return member


def _pass_on(app: App, to: Membership, act: Act, target: str, by: Actor, reason: str = "") -> None:
    """Change the column, make an ordinary member of whoever had the role, end the offer, and record it."""
    old = app.technical_contact
    before = {"Technical Contact": old.name} | _held(app, old)
    _settings_of_contact(app).delete()
    app.technical_contact = to.user
    app.save(update_fields=["technical_contact"])
    HandOver.objects.filter(app=app).delete()
    after = {"Technical Contact": to.user.name} | _held(app, old)
    record(act, by, target, app=app, before=before, after=after, reason=reason)


def _held(app: App, user: User) -> dict[str, Any]:
    """Name what somebody holds on the app's environments now, as the activity record keeps it."""
    member = app.memberships.select_related("app", "role").filter(user=user).first()
    held = permissions_held([member])[member.pk] if member else {}
    return {f"{name} of {user.name}": labels for name, labels in for_the_record(held).items()}


def _settings_of_contact(app: App) -> QuerySet[NodePermission]:
    own = NodePermission.objects.filter(membership__app=app, membership__user=app.technical_contact_id)
    return own.select_related("environment").order_by("environment__order", "pk")


def _others(app: App, new: User, before: User) -> QuerySet[User]:
    """Who hears of an appointment besides the new one: the one before, if active, and who manages the team."""
    managers = User.objects.filter(memberships__app=app, memberships__role__manages_team=True)
    people = User.objects.filter(pk__in=[before.pk, *managers.values_list("pk", flat=True)], is_active=True)
    return people.exclude(pk=new.pk)
