"""Invitations to a team: one link by mail, good once, for seven days, and while whoever sent it may manage the team.

Everybody is invited by mail, whether they have an account or not, so that nobody learns who has one.
"""

import hashlib
import secrets
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from accounts import mail, people
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, ProductionWindow, User
from environments.authority import NotPermitted
from environments.models import App, Invitation, Membership, Role
from environments.team import MANAGES, TeamRefused, lock, need_manager

LASTS = timedelta(days=7)  # the contract's number
# Each is a mail to an address that somebody typed: enough for a team that moves in, too few to mail strangers by it
MOST_AN_HOUR = 30


class NotValid(Exception):
    """The link opens nothing (any more); the message says what to do."""


class HasAccount(Exception):
    """Somebody has an account with the invitation's address by now: they sign in instead."""


@transaction.atomic
def invite(app: App, by: Actor, email: str, role: Role) -> Invitation:
    """Mail an invitation; it replaces an earlier one to the same address.

    Raises TeamRefused for a member's address and for more than `MOST_AN_HOUR` by this app or this person.
    """
    app = lock(app)
    need_manager(app, by)
    member = app.memberships.filter(user__email=email).select_related("user").first()
    if member:
        raise TeamRefused(f"{member.user.name} is in the team already.")
    return _send(app, by, email, role)


@transaction.atomic
def send_again(invitation: Invitation, by: Actor) -> Invitation:
    """Mail a new link in place of the former one, for seven days from now. Raises as `invite` does."""
    app = lock(invitation.app)
    need_manager(app, by)
    current = app.invitations.filter(pk=invitation.pk).select_related("role").first()
    if current is None:
        raise TeamRefused(f"{invitation.email} joined meanwhile, or the invitation was withdrawn.")
    return _send(app, by, current.email, current.role)


@transaction.atomic
def withdraw(invitation: Invitation, by: Actor) -> None:
    app = lock(invitation.app)
    need_manager(app, by)
    if not app.invitations.filter(pk=invitation.pk).delete()[0]:
        raise TeamRefused(f"{invitation.email} joined meanwhile, or the invitation was withdrawn already.")
    record(Act.INVITATION_WITHDRAWN, by, invitation.email, app=app, before={"role": invitation.role.name})


def _send(app: App, by: Actor, email: str, role: Role) -> Invitation:
    now = timezone.now()
    sent = Activity.objects.filter(act=Act.INVITED, at__gt=now - timedelta(hours=1))
    if sent.filter(Q(app_id=app.pk) | Q(actor_id=by.user.pk)).count() >= MOST_AN_HOUR:
        raise TeamRefused(f"{MOST_AN_HOUR} invitations were sent within the last hour. Wait, then send the next one.")
    token = secrets.token_urlsafe(32)
    invitation, _ = Invitation.objects.update_or_create(
        app=app,
        email=email,
        defaults={
            "role": role,
            "invited_by": by.user,
            # SECURITY: whoever reads the database can't follow the link
            "link": fingerprint(token),
            "sent_at": now,
            "expires_at": now + LASTS,
        },
    )
    record(Act.INVITED, by, email, app=app, after={"role": role.name, "until": invitation.expires_at.isoformat()})
    link = reverse("environments:invitation", args=[token])
    mail.send_to("invitation", email, by=by, app=app, role=role, invitation=invitation, link=link)
    return invitation


def fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def with_sender(invitations: QuerySet[Invitation]) -> QuerySet[Invitation]:
    """Read with each invitation whether its sender may still manage the team, and has been trusted since.

    SECURITY: what was sent from a window that was ended for cause may be a thief's; a second account in the team
    would outlive the end of that window (the rule of jobs that wait: PORTAL, "The two-factor gate", 11).
    """
    sender = Membership.objects.filter(MANAGES, app=OuterRef("app"), user=OuterRef("invited_by"))
    ended = Q(ended_why__in=ProductionWindow.FOR_CAUSE, ended_at__gt=OuterRef("sent_at"))
    lost = Q(authenticator=None) | Q(authenticator__confirmed=False) | Q(authenticator__blocked_at__isnull=False)
    windows = ProductionWindow.objects.filter(
        ended | lost, user=OuterRef("invited_by"), opened_at__lte=OuterRef("sent_at"), ends_at__gt=OuterRef("sent_at")
    )
    return invitations.select_related("role", "invited_by").annotate(
        sender_may=Exists(sender), sender_distrusted=Exists(windows)
    )


def listed(app: App) -> QuerySet[Invitation]:
    """Give an app's invitations that nobody followed yet, newest first, each with whether it is `expired`."""
    expired = ExpressionWrapper(Q(expires_at__lte=timezone.now()), BooleanField())
    return with_sender(app.invitations.all()).annotate(expired=expired).order_by("-sent_at", "-pk")


def is_void(invitation: Invitation) -> bool:
    """Say whether an invitation read by `with_sender` died with the rights of whoever sent it."""
    return not getattr(invitation, "sender_may", False) or getattr(invitation, "sender_distrusted", True)


def find(token: str) -> Invitation:
    """Find what a link opens. Raises NotValid where it opens nothing."""
    found = Invitation.objects.filter(link=fingerprint(token))
    return _valid(with_sender(found).select_related("app").first())


def _valid(invitation: Invitation | None) -> Invitation:
    if invitation is None:
        raise NotValid(
            "It was used already, was withdrawn or replaced by a newer one, or the address is not complete."
            " Look for a newer mail, or ask whoever invited you for a new invitation."
        )
    if is_void(invitation):
        raise NotValid(
            f"Whoever sent it does not answer for the team of {invitation.app.name} any more."
            " Ask somebody in the team for a new invitation."
        )
    if invitation.expires_at <= timezone.now():
        raise NotValid(f"It was good for seven days. Ask {invitation.invited_by.name} for a new invitation.")
    return invitation


@transaction.atomic
def accept(invitation: Invitation, by: Actor) -> Membership:
    """Take somebody who is signed in into the team. Twice is once.

    Raises NotValid, and NotPermitted for whoever has not the address that was invited.
    """
    app = _locked(invitation)
    person = User.objects.get(pk=by.user.pk)
    # SECURITY: read afresh, or somebody deactivated, or with another address by now, would still get in
    if not person.is_active or person.email != invitation.email:
        raise NotPermitted("This invitation is for another e-mail address.")
    membership = Membership.objects.filter(app=app, user=person).select_related("app").first()
    if membership:
        Invitation.objects.filter(app=app, email=invitation.email).delete()
        return membership
    return _join(app, _current(invitation), by)


@transaction.atomic
def accept_as_new(invitation: Invitation, by: Actor) -> Membership:
    """Make the account of somebody new, whom `by` names and who is not stored yet, and take them into the team.

    Raises NotValid, and HasAccount where the address has an account by now.
    """
    app = _locked(invitation)
    current = _current(invitation)
    by.user.email = current.email
    try:
        people.add_invited(by)
    except IntegrityError as error:
        raise HasAccount from error
    return _join(app, current, by)


def _locked(invitation: Invitation) -> App:
    try:
        return lock(invitation.app)
    except App.DoesNotExist as error:
        raise NotValid(f"The app {invitation.app.name} was deleted.") from error


def _current(invitation: Invitation) -> Invitation:
    """Read an invitation again under the app's lock; one that was sent again meanwhile has another link."""
    same = Invitation.objects.filter(pk=invitation.pk, link=invitation.link)
    return _valid(with_sender(same).select_related("app").first())


def _join(app: App, invitation: Invitation, by: Actor) -> Membership:
    membership = Membership.objects.create(app=app, user=by.user, role=invitation.role)
    Invitation.objects.filter(pk=invitation.pk).delete()
    record(Act.INVITATION_ACCEPTED, by, invitation.invited_by.name, app=app, after={"role": invitation.role.name})
    context = {"by": by, "app": app, "role": invitation.role, "sender": invitation.invited_by}
    mail.send("team_joined", [by.user, invitation.invited_by], **context)
    return membership


def forget_expired() -> None:
    """Delete invitations that nobody has sent again for as long as they were good for."""
    Invitation.objects.filter(expires_at__lt=timezone.now() - LASTS).delete()
