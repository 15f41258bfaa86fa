"""Who support is, and what the operator does to accounts in the admin: each one transaction with its record."""

from collections.abc import Collection
from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts import mail
from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.authenticators import NotAllowed
from accounts.models import ProductionWindow, User
from accounts.people import end_everything

SUPPORT = "Support"
# The room that has the right → its rights
SUPPORT_MAY = {
    "accounts": ("view_user", "view_resetrequest", "view_activity", "disable_authenticator"),
    "environments": ("view_app", "view_environment", "appoint_contact", "change_type"),
}
OPERATOR_SETS = ("email", "name", "is_active", "is_staff")


def make_support_group(sender: AppConfig, using: str, apps: Apps = global_apps, **kwargs: Any) -> None:
    """Give the group of support staff exactly the rights it needs in this room. Django calls it after each migration.

    Each room connects it for itself: the rights of another one may not be there yet.
    """
    if "group" not in apps.all_models["auth"]:  # on the way back to an empty database
        return
    create_permissions(sender, verbosity=0, using=using)
    group, _ = Group.objects.using(using).get_or_create(name=SUPPORT)
    rights = Permission.objects.using(using).filter(content_type__app_label=sender.label)
    needed = rights.filter(codename__in=SUPPORT_MAY[sender.label])
    group.permissions.remove(*rights.exclude(pk__in=needed))
    group.permissions.add(*needed)


@transaction.atomic
def add(by: Actor, person: User, groups: Collection[Group]) -> None:
    """Save a new account and send its person the link with which they choose their password.

    Nobody ever knows the password that stands there until then. Raises NotAllowed for all but superusers.
    """
    _only_the_operator(by)
    person.set_password(get_random_string(50))
    person.save()
    person.groups.set(groups)
    record(Act.PERSON_ADDED, by, person.name, after=_facts(person))
    uid = urlsafe_base64_encode(force_bytes(person.pk))
    token = default_token_generator.make_token(person)
    mail.account_added(person, by, reverse("accounts:password_reset_confirm", args=[uid, token]))


@transaction.atomic
def change(by: Actor, person: User, groups: Collection[Group]) -> None:
    """Save what the operator changed. A deactivated person's sessions and windows end at once.

    Raises NotAllowed for all but superusers, and for taking one's own access away.
    """
    _only_the_operator(by)
    stored = User.objects.select_for_update().get(pk=person.pk)
    before = _facts(stored)
    if stored.pk == by.user.pk and not (person.is_active and person.is_staff):
        raise NotAllowed("You can't take your own access away. Ask another operator.")
    person.save(update_fields=OPERATOR_SETS)
    person.groups.set(groups)
    after = _facts(person)
    changed = [name for name, value in before.items() if after[name] != value]
    if not changed:
        return
    deactivated = before["active"] and not after["active"]
    record(
        Act.PERSON_DEACTIVATED if deactivated else Act.PERSON_CHANGED,
        by,
        person.name,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )
    if deactivated:
        end_everything(person, ProductionWindow.End.DEACTIVATED)
    if "e-mail" in changed:
        mail.address_changed(person, by, stored.email)


def _only_the_operator(by: Actor) -> None:
    if not (by.user.is_active and by.user.is_superuser):
        raise NotAllowed("Only the operator changes accounts.")


def _facts(person: User) -> dict[str, Any]:
    return {
        "e-mail": person.email,
        "name": person.name,
        "active": person.is_active,
        "support staff": person.is_staff,
        "groups": sorted(person.groups.values_list("name", flat=True)),
    }
