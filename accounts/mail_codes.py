"""The second proof while an authenticator is set up: six digits sent by mail.

Until an authenticator is in force an account is one factor; with the setting for it, whoever sets one up
shows that they read the account's mail, too. A code works once, for ten minutes, in the session that asked.
"""

import hmac
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import mail
from accounts.actor import Actor
from accounts.http import PortalRequest
from accounts.models import MailCode

LASTS = timedelta(minutes=10)
TRIES = 5


class MailCodeRefused(Exception):
    """The code from the mail was not accepted; the message says what to do."""


def needed() -> bool:
    return bool(settings.ENROLMENT_MAIL_CODE)


@transaction.atomic
def send(request: PortalRequest) -> None:
    """Send a new code; it voids the one before, whichever session asked for that."""
    code = f"{secrets.randbelow(10**6):06d}"
    MailCode.objects.update_or_create(
        user=request.user,
        defaults={
            "session_key": request.session.session_key or "",
            "digest": _digest(request, code),
            "sent_at": timezone.now(),
            "failures": 0,
        },
    )
    mail.set_up_code(Actor.of(request), code)


def waiting(request: PortalRequest) -> bool:
    """Say whether a code was sent for this session and can still be entered."""
    return _sent(request).exists()


def accept(request: PortalRequest, code: str) -> None:
    """Use up the code. Raises MailCodeRefused where it is wrong, used, too old or another session's."""
    with transaction.atomic():
        sent = _sent(request).select_for_update().first()
        right = sent is not None and hmac.compare_digest(sent.digest, _digest(request, code))
        if sent and right:
            sent.delete()
        elif sent:
            sent.failures += 1
            sent.save(update_fields=["failures"])
    if sent is None or (not right and sent.failures >= TRIES):
        raise MailCodeRefused("That code no longer works. Enter your password again to get a new one.")
    if not right:
        raise MailCodeRefused("That is not the code from the mail. Check the newest mail and enter it again.")


def _sent(request: PortalRequest) -> QuerySet[MailCode]:
    return MailCode.objects.filter(
        user=request.user,
        session_key=request.session.session_key,
        sent_at__gt=timezone.now() - LASTS,
        failures__lt=TRIES,
    )


def _digest(request: PortalRequest, code: str) -> str:
    return salted_hmac("accounts.mail_codes", f"{request.user.pk}:{code}", algorithm="sha256").hexdigest()
