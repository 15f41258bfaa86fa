"""The permission matrix: one row a member, one cell a permission, as a page shows it and a form sends it back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.http import QueryDict

from accounts.models import User
from environments.grants import Grants
from environments.models import Environment, Membership, NodePermission
from environments.permissions import Permission, Standing, allowed, may_change


@dataclass(frozen=True)
class Cell:
    """`held` is what is true now, `shown` what the page has ticked; they differ after a save that was refused."""

    permission: Permission
    name: str
    held: bool
    shown: bool
    editable: bool


@dataclass(frozen=True)
class Row:
    membership: Membership
    is_technical_contact: bool
    cells: list[Cell]


def rows_of(
    members: Iterable[Membership],
    environment: Environment,
    standing: Standing,
    viewer: User,
    typed: QueryDict | None = None,
) -> list[Row]:
    """Make the rows for whoever looks: in three queries at most, whatever the number of members."""
    members = list(members)
    settings: dict[int, dict[Permission, bool]] = {}
    for row in NodePermission.objects.filter(environment=environment, membership__in=members):
        settings.setdefault(row.membership_id, {})[Permission(row.permission)] = row.granted
    return [_row(m, environment, standing, viewer, settings.get(m.pk, {}), typed) for m in members]


def _row(
    membership: Membership,
    environment: Environment,
    standing: Standing,
    viewer: User,
    settings: Mapping[Permission, bool],
    typed: QueryDict | None,
) -> Row:
    contacts = membership.app.technical_contact_id == membership.user_id
    theirs = Standing(is_technical_contact=contacts, deploys=membership.role.deploys, settings=settings)
    cells = []
    for permission in Permission:
        name = f"{membership.pk}-{permission}"
        held = allowed(permission, theirs, environment.is_production)
        own = membership.user_id == viewer.pk
        editable = may_change(permission, standing, environment.is_production, own=own, contacts=contacts)
        shown = name in typed if typed is not None and editable else held
        cells.append(Cell(permission, name, held, shown, editable))
    return Row(membership, contacts, cells)


def wanted_and_seen(rows: Iterable[Row], form: QueryDict) -> tuple[Grants, Grants]:
    """Read what is wanted and what the page had shown, for the cells that may be changed and no others.

    SECURITY: members and permissions come from the page's own rows; what else a form holds is not read.
    A row that the form does not name (somebody joined meanwhile) is left as it is.
    """
    wanted: dict[int, dict[Permission, bool]] = {}
    seen: dict[int, dict[Permission, bool]] = {}
    for row in rows:
        for cell in row.cells:
            shown = form.get(f"seen-{cell.name}")
            if cell.editable and shown in ("0", "1"):
                wanted.setdefault(row.membership.pk, {})[cell.permission] = cell.name in form
                seen.setdefault(row.membership.pk, {})[cell.permission] = shown == "1"
    return wanted, seen
