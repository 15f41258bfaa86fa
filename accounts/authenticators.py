"""Sets up, verifies and disables authenticators. The only writer of Authenticator.

A code is decided under a lock on the authenticator's row, once: the accepted time step is kept
and only a later one is accepted after it (RFC 6238, section 5.2).
"""

import re
import secrets as random
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeGuard
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import mail, secrets, window
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.http import PortalRequest
from accounts.models import Activity, Authenticator, ProductionWindow, ResetRequest, User

SECRET_BYTES = 20  # RFC 4226, section 4, R6: 160 bits recommended
SET_UP_LASTS = timedelta(minutes=10)
# At 3 valid codes in 10^6, 50 tries find one with a chance of 1 in 6,700
BLOCKED_AFTER = 50
TOLD_AFTER = 5  # wrong codes in a row
FAILURES_COUNT_FOR = timedelta(days=90)
IN_SESSION = "set_up"
NOTES_MOST = 8000  # characters, however often somebody adds to a request
ASKED_MOST, ASKED_COUNT_FOR = 5, timedelta(hours=1)  # each time brings mails to three sides
UNREADABLE = "The portal can't read your authenticator just now. Tell support."
KEYS_LOST = "The portal lost the key that encrypted it."
SIX_DIGITS = re.compile(r"[0-9]{6}", re.ASCII)


class CodeRefused(Exception):
    """A code was not accepted. The message says why and what to do; `until` is when to try again."""

    def __init__(self, message: str, until: datetime | None = None, blocked: bool = False) -> None:
        super().__init__(message)
        self.until = until
        self.blocked = blocked


class NotAllowed(Exception):
    """Somebody asked for what they may not do with an authenticator; the message says why."""


@dataclass(frozen=True)
class Setup:
    """What a person needs to add the portal to their authenticator app."""

    uri: str
    secret: str

    @property
    def groups(self) -> list[str]:
        """The secret as text in groups of four."""
        return [self.secret[i : i + 4] for i in range(0, len(self.secret), 4)]


def of(user: User) -> Authenticator | None:
    """Give a person's authenticator, in force or being set up."""
    return Authenticator.objects.filter(user=user).first()


def confirmed(user: User) -> Authenticator | None:
    """Give the authenticator in force of this person."""
    found = of(user)
    return found if found and found.confirmed else None


def begin_set_up(request: PortalRequest) -> None:
    """Make a new secret for this browser session; voids what another start had made.

    Raises NotAllowed when an authenticator is in force: nobody replaces their own.
    """
    request.session[IN_SESSION] = _begin(request.user).pk


@transaction.atomic
def _begin(user: User) -> Authenticator:
    User.objects.select_for_update().get(pk=user.pk)
    before = of(user)
    if before and before.confirmed:
        raise NotAllowed("An authenticator is set up already. Support can disable it.")
    if before:
        before.delete()
    return Authenticator.objects.create(
        user=user,
        name="Authenticator",
        confirmed=False,
        secret=secrets.encrypt(random.token_bytes(SECRET_BYTES).hex()),
    )


def is_being_set_up(authenticator: Authenticator | None, request: PortalRequest) -> TypeGuard[Authenticator]:
    """Say whether this browser session is setting it up, within ten minutes after its start."""
    return _is_begun(authenticator, request.session.get(IN_SESSION))


def _is_begun(authenticator: Authenticator | None, begun: int | None) -> TypeGuard[Authenticator]:
    if authenticator is None or authenticator.confirmed or authenticator.created_at is None:
        return False
    return bool(authenticator.pk == begun and authenticator.created_at > timezone.now() - SET_UP_LASTS)


def setup_of(authenticator: Authenticator) -> Setup:
    """Give the secret as a key URI and as text, for as long as it is unconfirmed."""
    if authenticator.confirmed:
        raise NotAllowed("The secret is shown only until it is confirmed.")
    secret = b32encode(bytes.fromhex(secrets.decrypt(authenticator.secret))).decode()
    issuer = settings.OTP_TOTP_ISSUER
    label = quote(f"{issuer}:{authenticator.user.email}")
    return Setup(f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer}, quote_via=quote)}", secret)


def confirm_set_up(request: PortalRequest, code: str) -> ProductionWindow:
    """Accept the first code, put the authenticator in force and open the window.

    Raises CodeRefused when the code is wrong or setting up took too long.
    """
    with transaction.atomic():
        authenticator, step, now = _confirm(request.user, request.session.get(IN_SESSION), code)
        request.session.pop(IN_SESSION, None)
        _tell_of_set_up(Actor.of(request))
        return window.open_for(request, authenticator, step, now)


def _confirm(user: User, begun: int | None, code: str) -> tuple[Authenticator, int, datetime]:
    """Put in force what was begun if the first code is right; gives the time step that was accepted, and when."""
    authenticator = Authenticator.objects.select_for_update().filter(user=user).first()
    if not _is_begun(authenticator, begun):
        raise CodeRefused("Setting up took longer than ten minutes, or was begun again elsewhere. Start again.")
    now = timezone.now()
    try:
        step = authenticator.match(code, now)
    except secrets.Unreadable as error:
        raise CodeRefused(UNREADABLE) from error
    if step is None:
        raise CodeRefused(_what_is_off(authenticator, code, now))
    authenticator.confirmed = True
    authenticator.confirmed_at = now
    _accept(authenticator, step, now)
    return authenticator, step, now


def _tell_of_set_up(by: Actor) -> None:
    record(Act.AUTHENTICATOR_SET_UP, by)
    mail.authenticator_set_up(by)


def begin_on_terminal(user: User) -> Authenticator:
    """Make a new secret for a member of the support staff, to be shown on the operator's terminal.

    Raises NotAllowed for everybody else, and when an authenticator is in force.
    """
    if not (user.is_active and user.is_staff):
        raise NotAllowed(f"{user.email} is not an active account of the support staff.")
    return _begin(user)


@transaction.atomic
def confirm_on_terminal(authenticator: Authenticator, code: str) -> None:
    """Accept the first code and put the authenticator in force; no window opens. Raises CodeRefused."""
    _confirm(authenticator.user, authenticator.pk, code)
    _tell_of_set_up(Actor(authenticator.user, via="shell"))


def can_be_confirmed(authenticator: Authenticator) -> bool:
    """Say whether it was begun less than ten minutes ago, and not begun again elsewhere since."""
    return _is_begun(of(authenticator.user), authenticator.pk)


def give_up(authenticator: Authenticator) -> None:
    """Forget a secret that was not confirmed."""
    Authenticator.objects.filter(pk=authenticator.pk, confirmed=False).delete()


def _what_is_off(authenticator: Authenticator, code: str, now: datetime) -> str:
    """Say what to check. While setting up, and only then, a clock that is off is named.

    SECURITY: once the authenticator is in force this would tell an attacker which code comes next.
    """
    steps = authenticator.steps_off(code, now)
    if steps is None:
        return "That code is not right. Enter the six digits that the app shows now for this entry."
    minutes, half = divmod(abs(steps), 2)
    off = " ".join(filter(None, [f"{minutes} min" if minutes else "", "30 s" if half else ""]))
    direction = "ahead" if steps > 0 else "behind"
    return f"Your phone's clock is about {off} {direction}. Let it set its time by itself, then enter a new code."


def waits_until(authenticator: Authenticator) -> datetime | None:
    """Give the moment before which no code is looked at, or None when one may be entered now."""
    allowed, detail = authenticator.verify_is_allowed()
    return None if allowed else detail["locked_until"]


def enter_code(request: PortalRequest, code: str) -> ProductionWindow:
    """Verify a code (six ASCII digits) and open the production window of this browser session.

    Raises CodeRefused, with the moment to try again where there is one. A wrong code is recorded.
    """
    with transaction.atomic():
        outcome = _decide(request, code)
    if isinstance(outcome, CodeRefused):
        raise outcome
    return outcome


def _decide(request: PortalRequest, code: str) -> ProductionWindow | CodeRefused:
    """Decide under the lock; what was wrong comes back as a value, so that its record is committed."""
    authenticator = Authenticator.objects.select_for_update().filter(user=request.user, confirmed=True).first()
    if authenticator is None:
        return CodeRefused("No authenticator is set up for your account.")
    if authenticator.blocked_at:
        why = authenticator.get_blocked_why_display()
        return CodeRefused(f"Your authenticator is blocked {why}. Ask support.", blocked=True)
    if until := waits_until(authenticator):
        return CodeRefused("A wrong code was entered. Wait a moment before the next one.", until)
    now = timezone.now()
    try:
        step = authenticator.match(code, now)
    except secrets.Unreadable:
        return CodeRefused(UNREADABLE)
    if step is None:
        return _wrong(authenticator, Actor.of(request), now)
    if step <= authenticator.last_step:
        opened = window.already_opened_by(request, step, now)
        return opened or CodeRefused("That code has been used. Wait for the next one in your app.")
    _accept(authenticator, step, now)
    return window.open_for(request, authenticator, step, now)


def _accept(authenticator: Authenticator, step: int, now: datetime) -> None:
    authenticator.last_step = step
    authenticator.last_used_at = now
    authenticator.throttle_reset(commit=False)
    authenticator.save()


def _wrong(authenticator: Authenticator, by: Actor, now: datetime) -> CodeRefused:
    authenticator.throttle_increment(commit=False)
    authenticator.save()
    record(Act.CODE_WRONG, by)
    since = max(authenticator.confirmed_at or now, now - FAILURES_COUNT_FOR)
    failures = Activity.objects.filter(actor_id=by.user.pk, act=Act.CODE_WRONG, at__gte=since).count()
    if failures >= BLOCKED_AFTER:
        _block(authenticator, Authenticator.Blocked.WRONG_CODES, now)
        record(Act.AUTHENTICATOR_BLOCKED, by)
        mail.authenticator_blocked(by)
        return CodeRefused("Too many wrong codes: your authenticator is blocked. Ask support.", blocked=True)
    if authenticator.throttling_failure_count == TOLD_AFTER:
        mail.wrong_codes(by, TOLD_AFTER)
    return CodeRefused(
        "That code is not right. Check that you read the entry of this portal and that your phone's clock is right.",
        waits_until(authenticator),
    )


def _block(authenticator: Authenticator, why: Authenticator.Blocked, now: datetime) -> None:
    """Refuse its codes, and setting up another one, until support disables it; every window ends."""
    authenticator.blocked_at, authenticator.blocked_why = now, why
    authenticator.save()
    window.end_all(authenticator.user, ProductionWindow.End.BLOCKED)


@transaction.atomic
def ask_for_reset(by: Actor, note: str, phone_gone: bool = False) -> ResetRequest:
    """Ask support to disable one's own authenticator; a second request adds its note to the open one.

    With `phone_gone` its codes are refused at once. The person, their Technical Contacts and support are told.
    Raises NotAllowed when no authenticator is in force, and when asked too often; a gone phone is never too much.
    """
    authenticator = Authenticator.objects.select_for_update().filter(user=by.user, confirmed=True).first()
    if authenticator is None:
        raise NotAllowed("No authenticator is set up for your account, so there is nothing to disable.")
    blocks = phone_gone and authenticator.blocked_at is None
    if not blocks and _has_asked_enough(by.user):
        raise NotAllowed("Support has your request. What you wrote just now was not added: wait an hour, or mail it.")
    request, new = ResetRequest.objects.get_or_create(user=by.user, handled_at=None, defaults={"address": by.address})
    request.note = "\n\n".join(filter(None, [request.note, note.strip()]))[:NOTES_MOST]
    request.phone_gone |= phone_gone
    request.save()
    record(Act.RESET_ASKED, by)
    if blocks:
        _block(authenticator, Authenticator.Blocked.PHONE_GONE, timezone.now())
        record(Act.PHONE_GONE, by)
    # SECURITY: a thief of the password can ask, too; whoever owns the account hears of it at once
    mail.reset_asked(by, request, blocks, contacts_too=new or blocks)
    return request


def _has_asked_enough(user: User) -> bool:
    since = timezone.now() - ASKED_COUNT_FOR
    return Activity.objects.filter(actor_id=user.pk, act=Act.RESET_ASKED, at__gt=since).count() >= ASKED_MOST


@transaction.atomic
def disable(user: User, by: Actor, reason: str, identity_check: str) -> None:
    """Remove a person's authenticator and end all their windows; the next guarded action sets up a new one.

    `identity_check` says how support made sure who asks. Raises NotAllowed for one's own, without the right,
    without both texts, or when there is none.
    """
    may_help(by, user)
    reason, identity_check = reason.strip(), identity_check.strip()
    if not reason:
        raise NotAllowed("Say why the authenticator is disabled.")
    if not identity_check:
        raise NotAllowed("Say how you made sure who asks.")
    # The lock comes first: a code that is being decided opens no window behind the back of this
    if not Authenticator.objects.select_for_update().filter(user=user):
        raise NotAllowed("No authenticator is set up.")
    window.end_all(user, ProductionWindow.End.DISABLED)
    Authenticator.objects.filter(user=user).delete()
    ResetRequest.objects.filter(user=user, handled_at=None).update(
        handled_at=timezone.now(),
        handled_by=by.user.name,
        outcome=ResetRequest.Outcome.DISABLED,
        identity_check=identity_check,
        answer=reason,
    )
    facts = {"person": user.email, "identity checked": identity_check}
    record(Act.AUTHENTICATOR_DISABLED, by, user.name, reason=reason, after=facts)
    mail.authenticator_disabled(user, by, reason)


@transaction.atomic
def disable_unreadable(pk: int) -> bool:
    """Remove an authenticator that none of the portal's keys fits; False for others and for blocked ones.

    For the operator who lost the keys: nobody, support included, gets through with a code any more.
    """
    authenticator = Authenticator.objects.select_for_update().filter(pk=pk, blocked_at=None).first()
    if authenticator is None or secrets.is_readable(authenticator.secret):
        return False
    user = authenticator.user
    window.end_all(user, ProductionWindow.End.DISABLED)
    authenticator.delete()
    operator = {"actor_name": "The operator", "via": "shell"}
    Activity.objects.create(act=Act.AUTHENTICATOR_DISABLED, target=user.name, reason=KEYS_LOST, **operator)
    mail.authenticator_disabled(user, Actor(user, via="shell"), KEYS_LOST)
    return True


@transaction.atomic
def lift_wait(user: User, by: Actor, reason: str) -> None:
    """Let a person try the next code now; the wrong codes still count towards the block.

    Raises NotAllowed for one's own, without the right, without a reason, when blocked or when nothing waits.
    """
    may_help(by, user)
    if not reason.strip():
        raise NotAllowed("Say why the wait is lifted.")
    authenticator = Authenticator.objects.select_for_update().filter(user=user, confirmed=True).first()
    if authenticator and authenticator.blocked_at:
        raise NotAllowed("The authenticator is blocked: only disabling it opens the way again.")
    if authenticator is None or waits_until(authenticator) is None:
        raise NotAllowed("No wait is running.")
    authenticator.throttle_reset()
    record(Act.WAIT_LIFTED, by, user.name, reason=reason.strip(), after={"person": user.email})
    mail.wait_lifted(user, by, reason.strip())


def may_help(by: Actor, user: User) -> None:
    """Raise NotAllowed unless this is support staff with the right, and somebody else's account."""
    if not by.user.has_perm("accounts.disable_authenticator"):
        raise NotAllowed("You may not disable authenticators.")
    if by.user.pk == user.pk:
        raise NotAllowed("You can't help yourself. Ask a colleague in support.")
