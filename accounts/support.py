"""What support does with a request besides disabling (accounts.authenticators), and how often each of them disabled."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Max, Q
from django.utils import timezone

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.authenticators import NotAllowed, confirmed, may_help
from accounts.models import Activity, ResetRequest, User

MONTH, QUARTER = timedelta(days=30), timedelta(days=90)


@dataclass(frozen=True)
class StaffCount:
    """How many authenticators one member of the support staff disabled in the last 30 and 90 days."""

    name: str
    month: int
    quarter: int


@transaction.atomic
def reject(user: User, by: Actor, message: str) -> None:
    """Close a person's open request without disabling anything; the message is mailed to them.

    Raises NotAllowed for one's own, without the right, without a message or an open request.
    """
    may_help(by, user)
    if not message.strip():
        raise NotAllowed("Write what the person should know.")
    request = ResetRequest.objects.select_for_update().filter(user=user, handled_at=None).first()
    if request is None:
        raise NotAllowed("No request is open.")
    request.handled_at, request.handled_by = timezone.now(), by.user.name
    request.outcome, request.answer = ResetRequest.Outcome.REJECTED, message.strip()
    request.save()
    record(Act.RESET_REJECTED, by, user.name, reason=request.answer, after={"person": user.email})
    authenticator = confirmed(user)
    mail.reset_rejected(request, by, blocked=bool(authenticator and authenticator.blocked_at))


def disabled_by_staff(now: datetime) -> list[StaffCount]:
    """Count from the activity record, whoever disabled most first."""
    recent = Activity.objects.filter(act=Act.AUTHENTICATOR_DISABLED, at__gt=now - QUARTER)
    found = (
        recent.order_by()
        .values("actor_id")
        .annotate(name=Max("actor_name"), month=Count("pk", filter=Q(at__gt=now - MONTH)), quarter=Count("pk"))
    )
    return [StaffCount(row["name"], row["month"], row["quarter"]) for row in found.order_by("-quarter", "name")]
