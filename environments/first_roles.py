"""The team roles that come with the installation; afterwards they are data, edited in the admin."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as global_apps
from django.apps.registry import Apps

# PORTAL, "Terms": name, whether it carries the deploy permission, whether it manages the team
FIRST_ROLES = (
    ("SCRUM Master", True, True),
    ("Business Engineer", True, False),
    ("Product Owner", False, False),
    ("Application Operator", True, False),
    ("Performance Engineer", True, False),
    ("End-user", False, False),
)


def make_first_roles(sender: AppConfig, using: str, apps: Apps = global_apps, **kwargs: Any) -> None:
    """Make the roles where there are none at all. Django calls it after each migration."""
    if "role" not in apps.all_models["environments"]:
        return
    roles = apps.get_model("environments", "Role").objects.using(using)
    if roles.exists():
        return
    for order, (name, deploys, manages_team) in enumerate(FIRST_ROLES):
        roles.create(name=name, deploys=deploys, manages_team=manages_team, order=order)
