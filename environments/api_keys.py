"""API keys: made and revoked by their person, and what a call that brings one proves.

A key holds no right of its own. Account, membership, role and permissions are read fresh at each call.
"""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import mail
from accounts.activity import record
from accounts.actor import API, Actor, Key
from accounts.acts import Act
from accounts.models import Activity, User
from environments.access import may
from environments.authority import NotPermitted, need_window_on
from environments.models import ApiKey, App, Environment, NodePermission
from environments.permissions import Permission

PREFIX_LENGTH = len("dp_00000000")
MOST = 50  # keys of one person
USE_NOTED_EVERY = timedelta(minutes=1)  # so that a call that changes nothing writes nothing most of the time
REFUSAL_NOTED_EVERY = timedelta(minutes=10)


class KeyRefused(Exception):
    """The key can't be made as asked; the message says why."""


@transaction.atomic
def make(
    by: Actor,
    name: str,
    apps: Iterable[App],
    production: Iterable[Environment],
    *,
    read_only: bool,
    lasts: timedelta,
) -> tuple[ApiKey, str]:
    """Make a key; gives it with its secret text, which is known to nobody from then on.

    `production` are the production environments that it reaches: each needs the window and API Rights there. Raises
    KeyRefused for a name that is taken, NotPermitted for what is not the person's to give.
    """
    apps, production = list(apps), list(production)
    _check(by, apps, production, lasts)
    prefix = f"dp_{secrets.token_hex(4)}"
    text = f"{prefix}_{secrets.token_hex(24)}"
    now = timezone.now()
    key = ApiKey(
        user=by.user,
        name=name,
        prefix=prefix,
        digest=fingerprint(text),
        window=by.window if production else None,
        read_only=read_only,
        created_at=now,
        expires_at=now + lasts,
    )
    try:
        with transaction.atomic():
            key.save(force_insert=True)
    except IntegrityError as error:
        raise KeyRefused(f"You have a key named {name} already. Choose another name.") from error
    key.apps.set(apps)
    key.production.set(production)
    _record(Act.KEY_MADE, key, by, apps, production)
    _tell(key, by, apps, production)
    return key, text


@transaction.atomic
def revoke(key: ApiKey, by: Actor) -> None:
    """End a key at once: calls with it are refused, and so is what waits that was asked for with it."""
    apps, production = list(key.apps.all()), list(key.production.all())
    if ApiKey.objects.filter(pk=key.pk, user=by.user.pk).delete()[0]:
        _record(Act.KEY_REVOKED, key, by, apps, production)


def authenticate(username: str, text: str) -> ApiKey | None:
    """Give the key in force that fits the e-mail address, with its person; None in the same time for all others."""
    found = _with_prefix_of(text)
    digest, email = (found.digest, found.user.email) if found else ("", "")
    # SECURITY: each comparison is made whatever the others gave, so that the time tells nothing
    fits = [
        secrets.compare_digest(digest, fingerprint(text)),
        secrets.compare_digest(email.encode(), username.lower().encode(errors="replace")),
        bool(found and found.user.is_active and not found.is_expired),
    ]
    return found if all(fits) else None


def _with_prefix_of(text: str) -> ApiKey | None:
    prefix = text[:PREFIX_LENGTH].replace("\0", "")  # PostgreSQL fails over a NUL
    try:
        return ApiKey.objects.select_related("user").get(prefix=prefix)
    except ApiKey.DoesNotExist:
        return None


def fingerprint(text: str) -> str:
    """A key is 192 random bits: its hash needs no salt and no slowness."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def note_use(key: ApiKey, address: str, now: datetime) -> None:
    """Remember when and from where a key was used last, to the minute."""
    known = key.last_used_at and now - key.last_used_at < USE_NOTED_EVERY
    if not known or key.last_used_from != address:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now, last_used_from=address)


def note_refusal(text: str, address: str, now: datetime) -> None:
    """Record, for the person of a key, that a call with its public part was refused; the same once in ten minutes."""
    key = _with_prefix_of(text)
    if key is None:  # SECURITY: a stranger who makes keys up can't fill the record
        return
    lately = Activity.objects.filter(act=Act.KEY_REFUSED, actor_id=key.user_id, at__gt=now - REFUSAL_NOTED_EVERY)
    if lately.filter(target__startswith=str(key)).exists():
        return
    what = f"{key} has expired" if key.is_expired else f"{key} with a wrong secret or another e-mail address"
    record(Act.KEY_REFUSED, Actor(key.user, API, address), what)


def key_of(key: ApiKey) -> Key:
    return Key(key.pk, str(key))


def reaches(key: ApiKey, environment: Environment) -> bool:
    """Say whether a key reaches an environment at all: production only where it was made to."""
    return not environment.is_production or ApiKey.objects.filter(pk=key.pk).reaching([environment]).exists()


def need_key_for(app: App, by: Actor) -> None:
    """Raise NotPermitted where somebody acts by the Deploy API with a key that may change nothing of an app now.

    SECURITY: a large upload takes its time, and its key may have been revoked since it began.
    """
    if by.via != API:
        return
    keys = ApiKey.objects.in_force(timezone.now()).filter(pk=by.key.pk if by.key else 0, user=by.user.pk)
    if not keys.filter(apps=app, read_only=False).exists():
        raise NotPermitted("This API key was revoked, has expired, or only reads.")


def need_key_on(environment: Environment, by: Actor) -> None:
    """Raise NotPermitted where somebody acts by the Deploy API without API Rights, or with a key that is not for it."""
    if by.via == API:
        need_key_for(environment.app, by)
        if not still_carries(by.key.pk if by.key else None, environment):
            raise NotPermitted(f"This API key may change nothing on {environment.name}.")


def still_carries(key: int | None, environment: Environment) -> bool:
    """Say whether what was asked for with a key may still be carried out. A key that merely ran out doesn't matter."""
    found = ApiKey.objects.filter(pk=key or 0, apps=environment.app_id, read_only=False).select_related("user").first()
    return found is not None and may(found.user, environment, Permission.API) and reaches(found, environment)


def production_open_to(user: User) -> list[Environment]:
    """Give the production environments on which somebody holds API Rights: what a key of theirs can reach."""
    granted = NodePermission.objects.filter(
        membership__user=user,
        membership__role__deploys=True,
        environment__is_production=True,
        permission=Permission.API,
        granted=True,
    ).select_related("environment__app")
    return [row.environment for row in granted.order_by("environment__app__name", "environment__order")]


def of_person(user: User) -> list[ApiKey]:
    """List somebody's keys with their apps, the production environments chosen for them and those `reached` still."""
    keys = list(user.api_keys.prefetch_related("apps", "production__app"))
    reached = user.api_keys.all().reached()
    for key in keys:
        key.reached = frozenset(environment for pk, environment in reached if pk == key.pk)
    return keys


def _check(by: Actor, apps: list[App], production: list[Environment], lasts: timedelta) -> None:
    mine = set(App.objects.for_member(by.user).filter(pk__in=[app.pk for app in apps]).values_list("pk", flat=True))
    if not apps or {app.pk for app in apps} - mine:
        raise NotPermitted("A key is for apps that you are a member of.")
    if not timedelta(0) < lasts <= ApiKey.LONGEST:
        raise KeyRefused("A key lasts for one year at most.")
    if by.user.api_keys.count() >= MOST:
        raise KeyRefused(f"You have {MOST} keys. Revoke one that nothing uses first.")
    for environment in production:
        if environment.app_id not in mine or not environment.is_production:
            raise NotPermitted(f"{environment.name} is not a production environment of these apps.")
        if not may(by.user, environment, Permission.API):
            raise NotPermitted(f"You need {Permission.API.label} on {environment.name} for this.")
        need_window_on(environment, by)


def _record(act: Act, key: ApiKey, by: Actor, apps: list[App], production: list[Environment]) -> None:
    facts: dict[str, object] = {
        "scope": "read only" if key.read_only else "everything its person may do",
        "until": key.expires_at.isoformat(),
    }
    for app in apps:
        here = facts | {"reaches production": [e.name for e in production if e.app_id == app.pk] or False}
        before, after = (None, here) if act is Act.KEY_MADE else (here, None)
        record(act, by, str(key), app=app, before=before, after=after)


def _tell(key: ApiKey, by: Actor, apps: list[App], production: list[Environment]) -> None:
    context = {"by": by, "person": by.user, "key": key, "apps": apps, "production": production}
    mail.send("api_key_made", [by.user], **context)
    contacts = User.objects.filter(contact_of__environments__in=production, is_active=True)
    if production:
        mail.send("api_key_made_contact", contacts.exclude(pk=by.user.pk).distinct(), **context)
