"""The second proof while an authenticator is set up: six digits sent by mail.

Until an authenticator is in force an account is one factor; with the setting for it, whoever sets one up
shows that they read the account's mail, too. A code works once, for ten minutes, in the session that asked.
"""

import hmac
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.http import PortalRequest
from accounts.models import Activity, MailCode

LASTS = timedelta(minutes=10)
TRIES = 5  # of one code
# Of all codes: whoever has the password gets new codes, and five tries with each, for as long as they like
WRONG_MOST, WRONG_COUNT_FOR = 20, timedelta(days=1)
FORGETS_WRONG = (Act.PASSWORD_CHANGED, Act.PASSWORD_RESET)


class MailCodeRefused(Exception):
    """The code from the mail was not accepted; the message says what to do."""


def needed() -> bool:
    return bool(settings.ENROLMENT_MAIL_CODE)


@transaction.atomic
def send(request: PortalRequest) -> None:
    """Send a new code; it voids the one before, whichever session asked for that.

    Raises MailCodeRefused after too many wrong ones, until a day has passed or the password is another.
    """
    if _wrong_of_late(request) >= WRONG_MOST:
        raise MailCodeRefused(
            "Too many wrong codes from mails were entered. Wait a day, or change your password and begin again."
        )
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
            record(Act.MAIL_CODE_WRONG, Actor.of(request))
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


def _wrong_of_late(request: PortalRequest) -> int:
    entries = Activity.objects.filter(actor_id=request.user.pk)
    changed = entries.filter(act__in=FORGETS_WRONG).aggregate(last=Max("at"))["last"]
    since = timezone.now() - WRONG_COUNT_FOR
    return entries.filter(act=Act.MAIL_CODE_WRONG, at__gt=max(since, changed or since)).count()


def _digest(request: PortalRequest, code: str) -> str:
    return salted_hmac("accounts.mail_codes", f"{request.user.pk}:{code}", algorithm="sha256").hexdigest()
