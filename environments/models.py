"""Apps, their environments, their teams, and who may do what where."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from accounts.models import ProductionWindow, User
from environments.permissions import Permission

# A host name is `<environment>--<app>`; single hyphens only, so that it can be read in one way
NAME = RegexValidator(
    r"\A[a-z0-9]+(-[a-z0-9]+)*\Z",
    "Use small letters, digits and single hyphens, with no hyphen at either end.",
)
HOST_LENGTH = 63  # RFC 1035, section 2.3.4: a label of a domain name


class Colour(models.TextChoices):
    """The colour of an app's picture; the hues are in `static/css/base.css`."""

    BLUE = "blue", "Blue"
    TEAL = "teal", "Teal"
    GREEN = "green", "Green"
    OLIVE = "olive", "Olive"
    ORANGE = "orange", "Orange"
    RED = "red", "Red"
    PURPLE = "purple", "Purple"
    GREY = "grey", "Grey"


class Role(models.Model):
    """A team role and the rights on the app that it carries."""

    name = models.CharField(max_length=60, unique=True)
    deploys = models.BooleanField("App Team – Deploy Permissions", default=False)
    manages_team = models.BooleanField("may manage the team", default=False)
    order = models.PositiveSmallIntegerField(default=100)

    class Meta:
        ordering = ["order", "name"]

    def __str__(self) -> str:
        return self.name


class AppQuerySet(models.QuerySet["App"]):
    def for_member(self, user: User) -> "AppQuerySet":
        """Keep the apps that this person belongs to; everything else is as if it did not exist."""
        return self.filter(memberships__user=user)

    def needing_successor(self) -> "AppQuerySet":
        """Keep the apps whose Technical Contact is deactivated, or has no place in the team from which to deploy."""
        fit = Membership.objects.filter(
            app=models.OuterRef("pk"),
            user=models.OuterRef("technical_contact"),
            user__is_active=True,
            role__deploys=True,
        )
        return self.exclude(models.Exists(fit))


class App(models.Model):
    """What a team builds and runs. Exactly one Technical Contact: the column is never empty."""

    slug = models.SlugField(max_length=40, unique=True, validators=[NAME])
    name = models.CharField(max_length=60)
    description = models.CharField(max_length=300, blank=True)
    colour = models.CharField(max_length=10, choices=Colour.choices, default=Colour.BLUE)
    project_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    technical_contact = models.ForeignKey(User, models.PROTECT, related_name="contact_of")
    created_at = models.DateTimeField(default=timezone.now)

    objects = AppQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        permissions = [("appoint_contact", "Can appoint a Technical Contact where the app needs a successor")]

    def __str__(self) -> str:
        return self.name


class Environment(models.Model):
    """Where a package runs. `is_production` marks those that the two-factor gate guards."""

    app = models.ForeignKey(App, models.CASCADE, related_name="environments")
    slug = models.SlugField(max_length=40, validators=[NAME])
    name = models.CharField(max_length=60)
    is_production = models.BooleanField(default=False)
    order = models.PositiveSmallIntegerField(default=100)
    host = models.CharField(max_length=HOST_LENGTH, unique=True)
    tag = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["order", "pk"]
        constraints = [
            models.UniqueConstraint("app", "slug", name="environment_once_per_app"),
            models.UniqueConstraint("app", Lower("name"), name="environment_name_once_per_app"),
        ]
        permissions = [("change_type", "Can make an environment a production environment, or an ordinary one")]

    def __str__(self) -> str:
        return f"{self.name} of {self.app_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.host:
            self.host = host_label(self.app.slug, self.slug)
        super().save(*args, **kwargs)


def host_label(app: str, environment: str) -> str:
    """Give the name under the apps' domain; raises ValueError where it would be too long for a label."""
    label = f"{environment}--{app}"
    if len(label) > HOST_LENGTH:
        raise ValueError(f"{label} is longer than {HOST_LENGTH} characters.")
    return label


class Membership(models.Model):
    """A person's place in the team of an app."""

    app = models.ForeignKey(App, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.ForeignKey(Role, models.PROTECT, related_name="memberships")
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint("app", "user", name="member_once_per_app")]


class NodePermission(models.Model):
    """One permission of one member on one environment, as somebody set it; without a row it is as by default."""

    environment = models.ForeignKey(Environment, models.CASCADE, related_name="node_permissions")
    membership = models.ForeignKey(Membership, models.CASCADE, related_name="node_permissions")
    permission = models.CharField(max_length=12, choices=Permission.choices)
    granted = models.BooleanField()
    set_at = models.DateTimeField(default=timezone.now)
    set_by = models.CharField(max_length=150)

    class Meta:
        constraints = [
            models.UniqueConstraint("environment", "membership", "permission", name="permission_once_per_member")
        ]


class Invitation(models.Model):
    """An invitation to a team: one link by mail, good once and for seven days. Only the link's SHA-256 is kept.

    The row goes when it is accepted or withdrawn; the activity record keeps what happened.
    """

    app = models.ForeignKey(App, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.ForeignKey(Role, models.PROTECT, related_name="+")
    invited_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    link = models.CharField(max_length=64, unique=True)
    sent_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint("app", "email", name="invited_once_per_app")]

    def __str__(self) -> str:
        return f"{self.email} to {self.app_id}"


class HandOver(models.Model):
    """The offer of an app's Technical Contact to a member, who accepts it or not. One at a time for each app.

    Until it is accepted, `offered_by` stays the Technical Contact and may withdraw it.
    """

    LASTS: ClassVar = timedelta(days=7)

    app = models.OneToOneField(App, models.CASCADE, related_name="hand_over")
    offered_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    offered_to = models.ForeignKey(Membership, models.CASCADE, related_name="+")
    offered_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.app_id} to {self.offered_to_id}"

    @property
    def ends_at(self) -> datetime:
        return self.offered_at + self.LASTS

    def stands_at(self, now: datetime) -> bool:
        """Say whether it can be accepted: not run out, and made by who is the Technical Contact still, and active."""
        contact = self.app.technical_contact
        return now < self.ends_at and self.offered_by_id == contact.pk and contact.is_active


def _reached() -> "models.QuerySet[Any]":
    """Find the choices of production environments for keys that hold still (`ApiKeyQuerySet.reaching`)."""
    granted = NodePermission.objects.filter(
        environment=models.OuterRef("environment"),
        membership__user=models.OuterRef("apikey__user"),
        permission=Permission.API,
        granted=True,
        set_at__lte=models.OuterRef("apikey__created_at"),
    )
    distrusted = ProductionWindow.objects.filter(
        pk=models.OuterRef("apikey__window"), ended_why__in=ProductionWindow.FOR_CAUSE
    )
    return ApiKey.production.through.objects.filter(models.Exists(granted), ~models.Exists(distrusted))


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def in_force(self, now: datetime) -> "ApiKeyQuerySet":
        return self.filter(expires_at__gt=now, user__is_active=True)

    def reaching(self, environments: Iterable[Environment]) -> "ApiKeyQuerySet":
        """Keep the keys that reach any of these production environments.

        SECURITY: later grants don't widen a key, so the grant of API Rights must be older than it; and what was made
        under a window that was ended for cause may be a thief's (PORTAL, "The two-factor gate", 11).
        """
        chosen = _reached().filter(environment__in=list(environments))
        return self.filter(models.Exists(chosen.filter(apikey=models.OuterRef("pk"))))

    def reached(self) -> set[tuple[int, int]]:
        """Give which production environments these keys reach, as pairs of their ids."""
        return set(_reached().filter(apikey__in=self).values_list("apikey", "environment"))

    def lose(self, members: "models.QuerySet[Membership]") -> None:
        """Take the apps of these members off their keys.

        SECURITY: a key dies with membership and role (SECURITY, "People and keys"): who comes back makes a new one.
        """
        for through, app in ((ApiKey.apps.through, "app"), (ApiKey.production.through, "environment__app")):
            lost = members.filter(user=models.OuterRef("apikey__user"), app=models.OuterRef(app))
            through.objects.filter(models.Exists(lost)).delete()


class ApiKey(models.Model):
    """What a CI system proves itself with to the Deploy API, in its person's name. Only its SHA-256 is kept.

    It holds no right: those of its person are read at each call. `apps` are those that it may name, `production` the
    production environments that it reaches, as chosen when it was made under `window`; nothing widens them later.
    """

    LONGEST: ClassVar = timedelta(days=365)
    SUGGESTED: ClassVar = timedelta(days=90)

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=40)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    apps = models.ManyToManyField(App, related_name="api_keys")
    production = models.ManyToManyField(Environment, related_name="api_keys")
    window = models.UUIDField(null=True)
    read_only = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    last_used_from = models.CharField(max_length=45, blank=True)

    reached: frozenset[int] = frozenset()  # the production environments that it reaches still (api_keys.of_person)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [models.UniqueConstraint("user", Lower("name"), name="api_key_name_once_per_person")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()
