"""The permission matrix: one row a member, one cell a permission, as a page shows it and a form sends it back."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.http import QueryDict

from accounts.models import User
from environments.models import App, Environment, Membership, NodePermission
from environments.permissions import Permission, Standing, allowed, may_change
from environments.reach import Settings, settings_on, standing_with

PAGE = 50  # members
SEEN = re.compile(r"seen-([0-9]{1,18})-([a-z]+)", re.ASCII)


@dataclass(frozen=True)
class Cell:
    """`held` is what is true now, `shown` what the page has ticked; `was` what it had shown before, if that differs.

    `row` says who set it and when.
    """

    permission: Permission
    name: str
    held: bool
    shown: bool
    editable: bool
    was: bool | None
    row: NodePermission | None


@dataclass(frozen=True)
class Row:
    membership: Membership
    is_technical_contact: bool
    is_viewer: bool
    cells: list[Cell]


@dataclass(frozen=True)
class Sent:
    """What a form says: what is wanted, and what its page had shown."""

    wanted: dict[int, dict[Permission, bool]] = field(default_factory=dict)
    seen: dict[int, dict[Permission, bool]] = field(default_factory=dict)

    def changes(self, member: int) -> dict[Permission, bool]:
        """Give what somebody chose for a member; cells that they left as the page showed them are no choice."""
        seen = self.seen.get(member, {})
        return {p: wanted for p, wanted in self.wanted.get(member, {}).items() if wanted != seen[p]}


def read(form: QueryDict) -> Sent:
    """Read a form of the Permissions page.

    SECURITY: only the six permissions are read, of a page's number of members; whose they are and who may change
    them is decided where they are set.
    """
    sent = Sent()
    for name, shown in form.items():
        found = SEEN.fullmatch(name)
        if found is None or found[2] not in Permission.values or shown not in ("0", "1"):
            continue
        member, permission = int(found[1]), Permission(found[2])
        if member in sent.seen or len(sent.seen) < PAGE:
            sent.seen.setdefault(member, {})[permission] = shown == "1"
            sent.wanted.setdefault(member, {})[permission] = f"{member}-{permission}" in form
    return sent


@dataclass(frozen=True)
class Grid:
    """Makes the rows of one environment for whoever looks, with what they had chosen before."""

    app: App
    environment: Environment
    viewer: User
    standing: Standing
    sent: Sent = field(default_factory=Sent)

    def rows(self, members: Iterable[Membership]) -> list[Row]:
        """Make the rows in one query, whatever the number of members, beside the one that finds them."""
        members = list(members)
        settings = settings_on([self.environment], members)
        return [self._row(m, settings.get((m.pk, self.environment.pk), {})) for m in members]

    def _row(self, membership: Membership, settings: Settings) -> Row:
        theirs = standing_with(membership, self.app, settings)
        own, contacts = membership.user_id == self.viewer.pk, theirs.is_technical_contact
        production = self.environment.is_production
        chosen, cells = self.sent.changes(membership.pk), []
        for permission in Permission:
            held = allowed(permission, theirs, production)
            editable = may_change(permission, self.standing, production, own=own, contacts=contacts)
            seen = self.sent.seen.get(membership.pk, {}).get(permission, held)
            row = settings.get(permission)
            cells.append(
                Cell(
                    permission,
                    f"{membership.pk}-{permission}",
                    held,
                    shown=chosen.get(permission, held) if editable else held,
                    editable=editable,
                    was=seen if seen != held else None,
                    row=row if row and row.granted == held else None,
                )
            )
        return Row(membership, contacts, own, cells)
