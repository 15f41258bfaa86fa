"""What was interrupted by the question for a code: kept on the server, shown for confirmation, carried out once."""

import json
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from accounts import secrets
from accounts.http import PortalRequest
from accounts.models import Interrupted
from accounts.sessions import reference_of

KEPT_FOR = timedelta(minutes=10)
MAX_BYTES = 64 * 1024
MOST = 20  # forms of one person; an older one gives way
LONGEST_PATH = 500  # characters; Interrupted.path
# SECURITY: a password is typed again, not kept
NOT_KEPT = {"csrfmiddlewaretoken", "password"}


def keep(request: PortalRequest, title: str) -> Interrupted | None:
    """Keep the text fields of a form for this browser session; None when they or the address are too long to keep."""
    fields = json.dumps(typed(request))
    if len(fields) > MAX_BYTES or len(request.path) > LONGEST_PATH:
        return None
    # SECURITY: whoever never enters a code can't fill the disk with forms
    newest = Interrupted.objects.filter(user=request.user).order_by("-kept_at").values("pk")[: MOST - 1]
    too_many = Q(user=request.user) & ~Q(pk__in=newest)
    Interrupted.objects.filter(Q(kept_at__lt=timezone.now() - KEPT_FOR) | too_many).delete()
    return Interrupted.objects.create(
        user=request.user,
        session=reference_of(request.session),
        path=request.path,
        title=title[:200],
        fields=secrets.encrypt(fields),
    )


def typed(request: HttpRequest) -> list[tuple[str, str]]:
    """Give the text fields of a form in their order."""
    return [(name, value) for name, values in request.POST.lists() for value in values if name not in NOT_KEPT]


def find(request: PortalRequest, key: UUID | str) -> Interrupted | None:
    """Find what this person kept in this browser session and has not carried out yet."""
    try:
        pk = UUID(str(key))
    except ValueError:
        return None
    return Interrupted.objects.filter(
        pk=pk,
        user=request.user,
        session=reference_of(request.session),
        done_at=None,
        kept_at__gt=timezone.now() - KEPT_FOR,
    ).first()


def fields_of(kept: Interrupted) -> list[tuple[str, str]] | None:
    """Give the fields as they were typed, in their order; None when the portal's keys don't fit them any more."""
    try:
        return [(name, value) for name, value in json.loads(secrets.decrypt(kept.fields))]
    except secrets.Unreadable:
        return None


@transaction.atomic
def take(request: PortalRequest, key: str) -> bool:
    """Claim what was kept, once: False when it was carried out already or isn't this session's."""
    kept = find(request, key)
    if kept is None or kept.path != request.path:
        return False
    return bool(Interrupted.objects.filter(pk=kept.pk, done_at=None).update(done_at=timezone.now()))


def give_back(key: str) -> None:
    """Offer it again after the view found something to correct."""
    Interrupted.objects.filter(pk=key).update(done_at=None)
