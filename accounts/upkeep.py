"""Forgets what has run out: sessions, sign-in attempts, kept forms and codes from mails."""

from datetime import timedelta

from axes.models import AccessAttempt
from django.utils import timezone

from accounts import mail_codes, pending
from accounts.models import Interrupted, MailCode, Session

ATTEMPTS_KEPT_FOR = timedelta(days=1)  # the cool-off is minutes


def forget_what_ran_out() -> None:
    """Delete rows that nothing reads any more. Called by the worker every hour."""
    now = timezone.now()
    Session.objects.filter(expire_date__lt=now).delete()
    AccessAttempt.objects.filter(attempt_time__lt=now - ATTEMPTS_KEPT_FOR).delete()
    Interrupted.objects.filter(kept_at__lt=now - pending.KEPT_FOR).delete()
    MailCode.objects.filter(sent_at__lt=now - mail_codes.LASTS).delete()
