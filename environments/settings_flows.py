"""Changes to an app's own settings and to its environments: one transaction each, under the app's lock, with record."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from environments.authority import NotPermitted, need_window_for
from environments.models import App, Colour, Environment, Membership, NodePermission
from environments.permissions import Permission
from environments.team import MANAGES, lock

RIGHT = "environments.change_type"
MOST_ENVIRONMENTS = 30  # of an app; its pages show all of them
FIELDS = ("name", "description", "colour")
PRODUCTION, ORDINARY = "production", "ordinary"


class NotPossible(Exception):
    """What was asked for can't be done as things stand now; the message says why and what to do."""


class ChangedMeanwhile(Exception):
    """Somebody else changed the same since the page was shown; the message says what it is now. Nothing was saved."""


def fingerprint(app: App) -> str:
    """Say in a few characters what the settings of an app are, so that a change since then is noticed."""
    return hashlib.sha256(json.dumps([getattr(app, name) for name in FIELDS]).encode()).hexdigest()[:16]


@transaction.atomic
def change_app(app: App, by: Actor, wanted: Mapping[str, str], seen: str) -> bool:
    """Set name, description and colour; says whether anything changed. `seen` is the fingerprint of what was shown.

    Raises NotPermitted for whoever does not manage the team, ChangedMeanwhile.
    """
    app = lock(app)
    if not Membership.objects.filter(MANAGES, app=app, user=by.user).exists():
        raise NotPermitted(f"You may not change the settings of {app.name}.")
    if seen != fingerprint(app):
        raise ChangedMeanwhile(_in_words(app))
    before = {name: getattr(app, name) for name in FIELDS}
    changed = [name for name in FIELDS if wanted[name] != before[name]]
    if not changed:
        return False
    for name in changed:
        setattr(app, name, wanted[name])
    app.save(update_fields=changed)
    record(
        Act.APP_CHANGED,
        by,
        before["name"],
        app=app,
        before={name: before[name] for name in changed},
        after={name: wanted[name] for name in changed},
    )
    return True


@transaction.atomic
def add_environment(app: App, by: Actor, name: str) -> Environment:
    """Add an ordinary environment behind the others; its address is made of the name as it is now, for good.

    Raises NotPermitted for all but the Technical Contact, NotPossible where there are too many, IntegrityError where
    the name or its address is taken.
    """
    app = lock(app)
    need_contact(app, by)
    if app.environments.count() >= MOST_ENVIRONMENTS:
        raise NotPossible(f"An app has at most {MOST_ENVIRONMENTS} environments. Delete one that nobody needs first.")
    last = app.environments.aggregate(last=Max("order"))["last"]
    order = 0 if last is None else last + 1
    # SECURITY: production environments are support's alone to make (`set_type`)
    added = Environment.objects.create(app=app, slug=name.lower(), name=name, is_production=False, order=order)
    record(Act.ENVIRONMENT_ADDED, by, name, app=app, environment=added, after={"host": added.host, "type": ORDINARY})
    return added


@transaction.atomic
def rename_environment(environment: Environment, by: Actor, name: str, seen: str) -> bool:
    """Change the name that is shown, not the address; says whether it changed. `seen` is the name that was shown.

    Raises NotPermitted for all but the Technical Contact, ChangedMeanwhile, IntegrityError where the name is taken.
    """
    app = lock(environment.app)
    need_contact(app, by)
    environment = Environment.objects.select_for_update().get(pk=environment.pk)
    before = environment.name
    if seen != before:
        raise ChangedMeanwhile(f"{before}")
    if name == before:
        return False
    environment.name = name
    environment.save(update_fields=["name"])
    record(
        Act.ENVIRONMENT_RENAMED,
        by,
        before,
        app=app,
        environment=environment,
        before={"name": before},
        after={"name": name},
    )
    return True


@transaction.atomic
def move_environment(app: App, by: Actor, slug: str, up: bool, seen: Sequence[str]) -> Environment | None:
    """Move an environment one place up or down; None where it stood at that end. `seen` is the order that was shown.

    Raises NotPermitted for all but the Technical Contact, ChangedMeanwhile when the order is another one by now.
    """
    app = lock(app)
    need_contact(app, by)
    environments = list(app.environments.select_for_update())
    now = [environment.slug for environment in environments]
    if list(seen) != now or slug not in now:
        raise ChangedMeanwhile(", ".join(environment.name for environment in environments))
    place = now.index(slug)
    other = place - 1 if up else place + 1
    if not 0 <= other < len(environments):
        return None
    before = [environment.name for environment in environments]
    moved = environments[place]
    environments[place], environments[other] = environments[other], moved
    for order, environment in enumerate(environments):
        environment.order = order
    Environment.objects.bulk_update(environments, ["order"])
    after = [environment.name for environment in environments]
    record(Act.ENVIRONMENTS_ORDERED, by, app=app, before={"order": before}, after={"order": after})
    return moved


@transaction.atomic
def set_type(environment: Environment, by: Actor, is_production: bool, reason: str) -> None:
    """Make an environment a production environment or an ordinary one: support does it, with a reason.

    API Rights that somebody set there are as by default again: on production they are off until the Technical
    Contact turns them on (PORTAL, "The two-factor gate", 12). Raises NotPermitted, NotPossible.
    """
    app = lock(environment.app)
    _may_set_type(app, by)
    environment = Environment.objects.select_for_update().get(pk=environment.pk)
    if environment.is_production == is_production:
        raise NotPossible(f"{environment.name} is {_type_of(environment)} already.")
    if not reason.strip():
        raise NotPossible("Say why, in a sentence. The reason is kept.")
    before: dict[str, Any] = {"type": _type_of(environment)}
    api = NodePermission.objects.filter(environment=environment, permission=Permission.API)
    found = api.select_related("membership__user").order_by("membership__user__name")
    if set_for := [f"{row.membership.user.name}: {'on' if row.granted else 'off'}" for row in found]:
        before[f"{Permission.API.label} that were set"] = set_for
    api.delete()
    environment.is_production = is_production
    environment.save(update_fields=["is_production"])
    after = {"type": _type_of(environment), Permission.API.label: "off for everybody" if is_production else "on"}
    record(
        Act.ENVIRONMENT_TYPE_CHANGED,
        by,
        environment.name,
        app=app,
        environment=environment,
        before=before,
        after=after,
        reason=reason.strip(),
    )
    contact = [app.technical_contact] if app.technical_contact.is_active else []
    context = {"app": app, "environment": environment, "reason": reason.strip(), "set_for": set_for}
    mail.send("environment_type", contact, by=by, **context)


def need_contact(app: App, by: Actor) -> None:
    """Raise NotPermitted for all but the app's Technical Contact, or without the window for it."""
    if app.technical_contact_id != by.user.pk or not app.technical_contact.is_active:
        raise NotPermitted(f"Only the Technical Contact of {app.name} may do this.")
    need_window_for(app, by)


def _may_set_type(app: App, by: Actor) -> None:
    if not by.user.has_perm(RIGHT):
        raise NotPermitted("Only support staff change the type of an environment.")
    # SECURITY: it decides whether a code is needed, so nobody in the app can be the one who decides it
    if app.memberships.filter(user=by.user).exists():
        raise NotPermitted(f"You belong to {app.name}. Ask a colleague in support.")
    need_window_for(app, by)


def _type_of(environment: Environment) -> str:
    return PRODUCTION if environment.is_production else ORDINARY


def _in_words(app: App) -> str:
    said = [f"the name {app.name}", f"the colour {Colour(app.colour).label}"]
    said.append(f"the description “{app.description}”" if app.description else "no description")
    return "; ".join(said)
