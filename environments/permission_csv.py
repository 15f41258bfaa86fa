"""All permissions of an app as rows for auditors: one a person, environment and permission."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import F

from environments.models import App, Environment
from environments.permissions import Permission, Standing, allowed

HEADER = (
    *("App", "Environment", "Production", "Name", "E-mail", "Account active", "Role", "Deploy permission"),
    *("Technical Contact", "Permission", "Granted", "Since", "By"),
)
MEMBER = ("pk", "user_id", "user__name", "user__email", "user__is_active", "role__name", "role__deploys")
SETTING = ("environment_id", "permission", "granted", "set_at", "set_by")
AT_ONCE = 500  # rows of the database
BY_DEFAULT, BY_ROLE = "default", "Technical Contact"


def rows_of(app: App) -> Iterator[list[object]]:
    """Read every permission of everybody, by name: in two queries that begin when the first row is asked for.

    SECURITY: one query for people and settings together, so that the file is the state of one moment.
    """
    environments = list(app.environments.all())
    settings = [F(f"node_permissions__{name}") for name in SETTING]
    found = app.memberships.order_by("user__name", "pk").values_list(*MEMBER, *settings)
    for _, rows in groupby(found.iterator(AT_ONCE), key=itemgetter(0)):
        yield from _of_member(app, environments, list(rows))


def _of_member(app: App, environments: list[Environment], rows: list[tuple[Any, ...]]) -> Iterator[list[object]]:
    """Give the rows of one member: `rows` are theirs, one a setting, or one without any."""
    _, user, name, email, active, role, deploys = rows[0][: len(MEMBER)]
    set_there = {(row[7], row[8]): row[9:] for row in rows if row[7] is not None}
    contact = user == app.technical_contact_id
    for environment in environments:
        settings = {p: set_there[environment.pk, p][0] for p in Permission if (environment.pk, p) in set_there}
        standing = Standing(is_technical_contact=contact, deploys=deploys, settings=settings)
        for permission in Permission:
            held = allowed(permission, standing, environment.is_production)
            granted, at, by = set_there.get((environment.pk, permission), (None, None, BY_DEFAULT))
            if granted != held:  # what holds is not what somebody set
                at, by = None, BY_ROLE if contact and held else BY_DEFAULT
            person = (name, email, active, role, deploys, contact)
            where = (app.name, environment.name, environment.is_production)
            yield [*where, *person, permission.label, held, at, by]
