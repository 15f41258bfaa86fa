"""People, what they prove themselves with, and the record of what they did."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Never

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django_otp.models import Device, DeviceManager, ThrottlingMixin, TimestampMixin
from django_otp.oath import TOTP, hotp

from accounts import secrets
from accounts.acts import Act

LONGEST_WAIT = 3600  # seconds
STEPS_OF_A_DAY = 24 * 60 * 2


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, name: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), name=name, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, name: str, password: str | None = None, **fields: Any) -> "User":
        """Make the operator's account. Raises ValidationError for a password that the portal would refuse."""
        if password is not None:
            # SECURITY: the command of Django asks nobody without a terminal, and lets the others go on regardless
            validate_password(password, self.model(email=email, name=name))
        return self.create_user(email, name, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):  # type: ignore[django-manager-missing]  # django-otp has no types
    """A person; the e-mail address is what they sign in with."""

    class Theme(models.TextChoices):
        SYSTEM = "", "As my system"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    last_login = None  # the activity record knows every sign-in
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField("name", max_length=100)
    is_active = models.BooleanField("active", default=True)
    is_staff = models.BooleanField("support staff", default=False)
    date_joined = models.DateTimeField(default=timezone.now)
    time_zone = models.CharField("time zone", max_length=64, blank=True)
    theme = models.CharField("theme", max_length=8, blank=True, choices=Theme.choices)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        verbose_name, verbose_name_plural = "person", "people"
        constraints = [models.UniqueConstraint(Lower("email"), name="one_account_per_email")]

    def __str__(self) -> str:
        return self.name


class Session(AbstractBaseSession):
    """A browser session, with whose it is and where it began, so that its person sees it and can end it.

    `reference` names it to its person: the key itself never leaves the cookie.
    """

    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="sessions")
    reference = models.UUIDField(null=True, db_index=True)
    signed_in_at = models.DateTimeField(null=True)
    address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=200, blank=True)

    window: "ProductionWindow | None" = None

    @classmethod
    def get_session_store_class(cls) -> Any:
        from accounts.sessions import SessionStore

        return SessionStore


class Authenticator(TimestampMixin, ThrottlingMixin, Device):
    """The TOTP device of a person (RFC 6238: six digits, 30 s, SHA-1, 160-bit secret), at most one each.

    A device of our own, because django-otp's TOTPDevice keeps its secret in clear text; throttling,
    timestamps and the arithmetic are the library's. Only `accounts.authenticators` writes it.
    """

    class Blocked(models.TextChoices):
        WRONG_CODES = "codes", "after too many wrong codes"
        PHONE_GONE = "phone", "because the phone is gone"

    user = models.ForeignKey(User, models.CASCADE, related_name="authenticators")
    secret = secrets.EncryptedText(editable=False)
    last_step = models.BigIntegerField(default=-1, editable=False)
    confirmed_at = models.DateTimeField(null=True)
    blocked_at = models.DateTimeField(null=True)
    blocked_why = models.CharField(max_length=10, blank=True, choices=Blocked.choices)

    objects: ClassVar[models.Manager["Authenticator"]] = DeviceManager()

    class Meta:
        constraints = [models.UniqueConstraint("user", name="one_authenticator_per_person")]
        permissions = [("disable_authenticator", "Can disable the authenticators of other people")]

    def get_throttle_factor(self) -> float:
        """Double the wait with each wrong code in a row: 1 s, 2 s, 4 s ... and never more than an hour."""
        return min(1.0, LONGEST_WAIT / float(2 ** max(self.throttling_failure_count - 1, 0)))

    def match(self, code: str, now: datetime) -> int | None:
        """Give the time step in which the code is right: the current one or one either side, else None.

        Raises secrets.Unreadable when the portal's keys don't fit this authenticator.
        """
        totp = TOTP(bytes.fromhex(secrets.decrypt(self.secret)))
        totp.time = now.timestamp()
        # SECURITY: never widens; with a drift kept from code to code T+1 ... T+7 would all be accepted
        return totp.t() if totp.verify(int(code), tolerance=1) else None

    def steps_off(self, code: str, now: datetime) -> int | None:
        """Give by how many steps of 30 s the clock that made this code is off, within a day; None when it is wrong."""
        key = bytes.fromhex(secrets.decrypt(self.secret))
        here = int(now.timestamp()) // 30
        nearest = sorted(range(-STEPS_OF_A_DAY, STEPS_OF_A_DAY + 1), key=abs)
        return next((steps for steps in nearest if hotp(key, here + steps) == int(code)), None)

    def verify_token(self, token: str) -> bool:
        """Refuse: a code is only ever decided under the lock of `accounts.authenticators`."""
        return False


class WindowQuerySet(models.QuerySet["ProductionWindow"]):
    def open_at(self, now: datetime) -> "WindowQuerySet":
        """Keep what is open: in its eight hours, not ended, its authenticator still in force."""
        return self.filter(
            ended_at=None,
            opened_at__lte=now,
            ends_at__gt=now,
            authenticator__confirmed=True,
            authenticator__blocked_at=None,
            authenticator__user=models.F("user"),
        )

    def with_authenticator(self) -> "WindowQuerySet":
        """Read what `is_open_at` asks for in one query; it is asked on every page."""
        about = ("confirmed", "blocked_at", "user_id")
        return self.select_related("authenticator").only(
            "user_id",
            "session_key",
            "step",
            "opened_at",
            "ends_at",
            "ended_at",
            *(f"authenticator__{a}" for a in about),
        )


class ProductionWindow(models.Model):
    """The eight hours during which one browser session is authorised for production.

    A row of its own, not a value in the session: a slow request that saves an old session
    would bring a revoked window back.
    """

    class End(models.TextChoices):
        BY_PERSON = "ended", "ended by the person"
        SIGNED_OUT = "signed-out", "signed out"
        NEW_CODE = "new-code", "followed by a new one"
        PASSWORD = "password", "password changed"
        DISABLED = "disabled", "authenticator disabled"
        BLOCKED = "blocked", "authenticator blocked"
        DEACTIVATED = "deactivated", "account deactivated"

    # What withdraws the trust that a window stood for; a job asked for under it is not carried out any more
    FOR_CAUSE = (End.PASSWORD, End.DISABLED, End.BLOCKED, End.DEACTIVATED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="windows")
    authenticator = models.ForeignKey(Authenticator, models.SET_NULL, null=True, related_name="windows")
    session_key = models.CharField(max_length=40)
    previous_session = models.CharField(max_length=64, blank=True)
    step = models.BigIntegerField()
    opened_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_why = models.CharField(max_length=20, blank=True, choices=End.choices)
    address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=200, blank=True)
    device = models.CharField(max_length=64, blank=True)

    objects = WindowQuerySet.as_manager()

    def is_open_at(self, now: datetime) -> bool:
        """The rule of `WindowQuerySet.open_at` for one window; a test holds both together."""
        by = self.authenticator
        if self.ended_at is not None or not self.opened_at <= now < self.ends_at:
            return False
        return by is not None and by.confirmed and by.blocked_at is None and by.user_id == self.user_id

    class Meta:
        indexes = [models.Index(fields=["user", "-opened_at"], name="windows_of_a_person")]


class MailCode(models.Model):
    """Six digits sent by mail while an authenticator is set up: for one browser session, hashed, once."""

    user = models.OneToOneField(User, models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=40)
    digest = models.CharField(max_length=64)
    sent_at = models.DateTimeField(default=timezone.now)
    failures = models.PositiveSmallIntegerField(default=0)


class Interrupted(models.Model):
    """A form that met a closed production window: kept for its session only, to be confirmed after the code."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    session = models.CharField(max_length=40)
    path = models.CharField(max_length=500)
    title = models.CharField(max_length=200)
    fields = secrets.EncryptedText()
    kept_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)


class ResetRequest(models.Model):
    """Somebody who can't use their authenticator asks support to disable it; how support decided, and why.

    `answer` is what the person was told: the reason for disabling it, or the message of a rejection.
    """

    class Outcome(models.TextChoices):
        DISABLED = "disabled", "Disabled"
        REJECTED = "rejected", "Rejected"

    user = models.ForeignKey(User, models.CASCADE, related_name="reset_requests")
    note = models.TextField(blank=True, max_length=8000)
    phone_gone = models.BooleanField(default=False)
    asked_at = models.DateTimeField(default=timezone.now)
    address = models.CharField(max_length=45, blank=True)
    handled_at = models.DateTimeField(null=True)
    handled_by = models.CharField(max_length=150, blank=True)
    outcome = models.CharField(max_length=10, blank=True, choices=Outcome.choices)
    identity_check = models.TextField(blank=True)
    answer = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("user", condition=models.Q(handled_at=None), name="one_open_request_per_person")
        ]

    def __str__(self) -> str:
        return f"{self.user} asks to have their authenticator disabled"


class AppendOnly(Exception):
    """The record of what happened is written once and never changed."""


class ActivityQuerySet(models.QuerySet["Activity"]):
    def update(self, **kwargs: Any) -> Never:
        raise AppendOnly

    def delete(self) -> Never:
        raise AppendOnly

    def bulk_update(self, objs: Iterable["Activity"], fields: Iterable[str], batch_size: int | None = None) -> Never:
        raise AppendOnly


class Activity(models.Model):
    """Who did what to what, when and from where. Names and ids are plain values: the row outlives what it names."""

    at = models.DateTimeField(default=timezone.now)
    act = models.CharField(max_length=40)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150)
    app_id = models.BigIntegerField(null=True)
    app_name = models.CharField(max_length=100, blank=True)
    environment_id = models.BigIntegerField(null=True)
    environment_name = models.CharField(max_length=100, blank=True)
    target = models.CharField(max_length=300, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    via = models.CharField(max_length=20)
    key = models.CharField(max_length=80, blank=True)
    address = models.CharField(max_length=45, blank=True)

    objects = ActivityQuerySet.as_manager()

    locked = False  # set where what changed is kept back until a code was entered
    place: Any = None  # the environment that it speaks of, where that still exists

    class Meta:
        verbose_name_plural = "activity"
        ordering = ["-id"]
        indexes = [
            # One for each choice of filters on the activity page, so that none of its pages sorts or scans
            *(
                models.Index(fields=["app_id", *fields, "at", "id"], name=f"activity_of_app{name}")
                for name, fields in (
                    ("", ()),
                    ("_where", ("environment_id",)),
                    ("_who", ("actor_id",)),
                    ("_what", ("act",)),
                    ("_where_who", ("environment_id", "actor_id")),
                    ("_where_what", ("environment_id", "act")),
                    ("_who_what", ("actor_id", "act")),
                )
            ),
            models.Index(fields=["actor_id", "act", "at"], name="activity_of_a_person"),
            models.Index(fields=["act", "at"], name="activity_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.sentence}"

    @property
    def sentence(self) -> str:
        """What was done, to follow the actor's name."""
        return " ".join(part for part in (Act(self.act).label, self.target) if part)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise AppendOnly
