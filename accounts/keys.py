"""Which columns are encrypted, whether the portal's keys fit what stands there, and how the newest key takes over."""

from dataclasses import dataclass

from django.apps import apps
from django.db import transaction
from django.db.models import Model

from accounts.acts import Act
from accounts.models import Activity, Interrupted
from accounts.secrets import EncryptedText, Unreadable, is_readable, reencrypt

AT_A_TIME = 200  # rows of one transaction: a code that waits for their lock does not notice
WRONG = (
    "ENCRYPTION_KEYS does not hold the key that encrypted what is in the database ({what})."
    " Nobody gets through with a code. Add the earlier key behind the newest one; docs/settings.md says how."
)


@dataclass(frozen=True)
class Column:
    """A column that holds what `accounts.secrets` encrypted."""

    model: type[Model]
    field: str

    @property
    def name(self) -> str:
        return f"{self.model._meta.verbose_name} {self.field}"

    def fits(self) -> bool:
        """Say whether the oldest and the newest row can be read."""
        rows = self.model._base_manager.exclude(**{self.field: ""}).order_by("pk").values_list(self.field, flat=True)
        return all(is_readable(text) for text in (rows.first(), rows.last()) if text)


@dataclass
class Count:
    """What became of the rows of one column."""

    column: Column
    rewritten: int = 0
    newest_already: int = 0
    unreadable: int = 0


def columns() -> list[Column]:
    """Find them by their type, so that none is forgotten that somebody adds."""
    return [
        Column(model, field.name)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, EncryptedText)
    ]


def what_is_wrong() -> str:
    """Say in a sentence that the keys don't fit the database; nothing when they do."""
    # A kept form lives for ten minutes, so one that can't be read does no harm
    wrong = [column.name for column in columns() if column.model is not Interrupted and not column.fits()]
    return WRONG.format(what=", ".join(wrong)) if wrong else ""


def fit() -> bool:
    return not what_is_wrong()


def rotate(dry_run: bool = False) -> list[Count]:
    """Encrypt everything with the newest key, some rows at a time, while the portal runs; each time with its record."""
    counts = [Count(column) for column in columns()]
    for count in counts:
        pks = list(count.column.model._base_manager.order_by("pk").values_list("pk", flat=True))
        for start in range(0, len(pks), AT_A_TIME):
            _rotate_rows(count, pks[start : start + AT_A_TIME], dry_run)
    return counts


@transaction.atomic
def _rotate_rows(count: Count, pks: list[object], dry_run: bool) -> None:
    name, before = count.column.field, count.rewritten
    # The lock that a code is decided under: neither overwrites what the other one writes
    rows = count.column.model._base_manager.select_for_update().filter(pk__in=pks)
    for pk, old in list(rows.values_list("pk", name)):
        try:
            new = reencrypt(old) if old else None
        except Unreadable:
            count.unreadable += 1
            continue
        if new and not dry_run:
            rows.filter(pk=pk).update(**{name: new})
        count.rewritten += new is not None
        count.newest_already += new is None
    rewritten = count.rewritten - before
    if rewritten and not dry_run:
        what = f"{count.column.name}: {rewritten}"
        Activity.objects.create(act=Act.KEYS_ROTATED, actor_name="The operator", target=what, via="shell")
