"""A portal of an earlier release is brought up to this one with everything in it, and back where somebody has to."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import DatabaseError, connection, models
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.secrets import EncryptedText, encrypt

pytestmark = pytest.mark.django_db(transaction=True)

# Where each released version left the database
FIRST_RELEASE = [
    ("accounts", "0002_activity_append_only"),
    ("deployments", "0001_initial"),
    ("environments", "0001_initial"),
]
OURS = [app for app, _ in FIRST_RELEASE]
ROWS = 3  # of each table
Table = dict[Any, dict[str, Any]]


@pytest.fixture
def first() -> Iterator[Apps]:
    """The database as the first release left it; it is brought up again in any case."""
    try:
        yield migrate(FIRST_RELEASE)
    finally:
        migrate()


def migrate(to: list[tuple[str, str]] | None = None) -> Apps:
    """Migrate to a state, or to the newest one, and give the models of then."""
    executor = MigrationExecutor(connection)
    targets = to or [node for node in executor.loader.graph.leaf_nodes() if node[0] in OURS]
    executor.migrate(targets)
    apps: Apps = MigrationExecutor(connection).loader.project_state(targets).apps
    return apps


def fill(apps: Apps) -> None:
    """Put rows into every table instead of those that came with it, each with a value in every column."""
    ordered = in_order(models_of(apps))
    for model in reversed(ordered):
        model._base_manager.all().delete()
    for model in ordered:
        for number in range(ROWS):
            model._base_manager.create(**{f.name: value(f, number) for f in model._meta.concrete_fields if _given(f)})


def models_of(apps: Apps) -> list[type[models.Model]]:
    """Give the portal's own tables; those that tie a person to Django's groups are Django's."""
    found = [model for app in OURS for model in apps.get_app_config(app).get_models(include_auto_created=True)]
    related = {model: {f.related_model for f in model._meta.concrete_fields if f.related_model} for model in found}
    return [model for model in found if related[model] <= set(found)]


def in_order(wanted: list[type[models.Model]]) -> list[type[models.Model]]:
    """Put what others point to before them."""
    ordered: list[type[models.Model]] = []

    def add(model: type[models.Model]) -> None:
        for field in model._meta.concrete_fields:
            if field.is_relation and field.related_model in wanted and field.related_model is not model:
                add(field.related_model)
        if model not in ordered:
            ordered.append(model)

    for model in wanted:
        add(model)
    return ordered


def _given(field: Any) -> bool:
    # A row that points to one of its own kind would have to be there first
    return not isinstance(field, models.AutoField) and field.related_model is not field.model


def value(field: Any, number: int) -> Any:
    if field.is_relation:
        return field.related_model._base_manager.order_by("pk")[number % ROWS]
    if field.choices:
        return list(field.flatchoices)[number % len(field.flatchoices)][0]
    if isinstance(field, EncryptedText):
        return encrypt(f"secret {number}")
    moment = timezone.now() - timedelta(days=number + 1)
    by_type: list[tuple[type[models.Field[Any, Any]], Any]] = [
        (models.BooleanField, bool(number % 2)),
        (models.DateTimeField, moment),
        (models.DateField, moment.date()),
        (models.JSONField, {"number": number}),
        (models.UUIDField, f"00000000-0000-0000-0000-{number:012}"),
        (models.EmailField, f"person{number}@example.org"),
        (models.IntegerField, number + 1),
        (models.CharField, f"text {number} — ünïcode"[: field.max_length]),
        (models.TextField, f"text {number}"),
        (models.FileField, f"packages/{number}.zip"),
    ]
    return next(found for kind, found in by_type if isinstance(field, kind))


def tables(apps: Apps, columns: dict[str, list[str]] | None = None) -> dict[str, Table]:
    """Give every row by its key, with the columns that are named or all."""
    found = {}
    for model in models_of(apps):
        label = model._meta.label
        if columns is None or label in columns:
            names = columns[label] if columns else [field.attname for field in model._meta.concrete_fields]
            found[label] = {row["pk"]: row for row in model._base_manager.values("pk", *names)}
    return found


def test_every_row_is_kept_on_the_way_to_this_release_and_back(first: Apps) -> None:
    fill(first)
    before = tables(first)
    assert {"accounts.Activity", "environments.NodePermission", "deployments.Step"} < set(before)
    assert all(len(rows) == ROWS for rows in before.values())
    columns = {model._meta.label: [f.attname for f in model._meta.concrete_fields] for model in models_of(first)}

    newest = migrate()
    assert tables(newest, columns) == before
    _the_record_is_append_only_still(newest)

    assert tables(migrate(FIRST_RELEASE)) == before


def _the_record_is_append_only_still(newest: Apps) -> None:
    if connection.vendor == "postgresql":
        with pytest.raises(DatabaseError, match="append-only"):
            newest.get_model("accounts", "Activity")._base_manager.update(target="rewritten")
