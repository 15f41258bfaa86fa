"""What happened in an app, newest first: filtered, a page at a time, and each page costs the same."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby, product
from typing import TypeVar

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.acts import Act
from accounts.models import Activity
from environments.models import App, Environment

T = TypeVar("T")

PAGE = 50
EXPORTED_AT_ONCE = 1000
# How the names of facts begin that say what somebody may do on environments (environments.held, environments.api_keys)
TELLS_OF_RIGHTS = ("permissions on ", "reaches production")
NEWEST_FIRST, OLDEST_FIRST = ("-at", "-id"), ("at", "id")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for of an app's activity; None where nothing is left out. `until` is the first moment after."""

    app: App
    environment: int | None = None
    people: tuple[int, ...] | None = None
    acts: tuple[Act, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """Entries, newest first; the next pages begin beside the entries `newer` and `older`, if there are any."""

    entries: list[Activity]
    newer: int | None
    older: int | None

    @property
    def days(self) -> list[tuple[str, list[Activity]]]:
        """The entries by day, each under its name in the person's time zone."""
        today = timezone.localdate()
        by_day = groupby(self.entries, lambda entry: timezone.localdate(entry.at))
        return [(day_in_words(day, today), list(found)) for day, found in by_day]


def latest(app: App, count: int) -> list[Activity]:
    return list(entries_of(Wanted(app=app), count))


def page_of(wanted: Wanted, before: int | None = None, after: int | None = None) -> Page:
    """Give the page below the entry `before`, or above the entry `after`; the first page without either."""
    if below := _cursor(wanted.app, before):
        found = list(entries_of(wanted, PAGE + 1, before=below))
        return Page(found[:PAGE], found[0].pk if found else None, _last_of_full(found))
    if above := _cursor(wanted.app, after):
        found = list(entries_of(wanted, PAGE + 1, after=above))
        if len(found) > PAGE:
            page = found[PAGE - 1 :: -1]
            return Page(page, page[0].pk, page[-1].pk)
    found = list(entries_of(wanted, PAGE + 1))
    return Page(found[:PAGE], None, _last_of_full(found))


def entries_of(
    wanted: Wanted, most: int, before: Activity | None = None, after: Activity | None = None
) -> QuerySet[Activity]:
    """Give the entries below `before`, newest first, or those above `after`, oldest first; `most` of them.

    Several people or acts are asked for one by one and merged: each is in order in its index, and the database
    takes from each as much as the page needs.
    """
    found = Activity.objects.filter(_bounds(wanted, before, after), app_id=wanted.app.pk)
    if wanted.environment is not None:
        found = found.filter(environment_id=wanted.environment)
    choices = product(_or_any(wanted.people), _or_any(wanted.acts))
    each = [found.filter(**_only(actor_id=person, act=act)) for person, act in choices]
    if not each:
        return Activity.objects.none()
    order = OLDEST_FIRST if after else NEWEST_FIRST
    if len(each) == 1:
        return each[0].order_by(*order)[:most]
    # SQLite takes none there and merges in order; without them PostgreSQL would read all of each, and sort
    limits = connection.features.supports_slicing_ordering_in_compound
    each = [only.order_by(*order)[:most] if limits else only.order_by() for only in each]
    return each[0].union(*each[1:], all=True).order_by(*order)[:most]


def every(wanted: Wanted) -> Iterator[Activity]:
    """Give all entries, newest first, with little memory and no long transaction."""
    below: Activity | None = None
    while found := list(entries_of(wanted, EXPORTED_AT_ONCE, before=below)):
        yield from found
        below = found[-1]


def show(entries: Iterable[Activity], environments: Iterable[Environment], unlocked: bool) -> None:
    """Lead entries to the environments that still exist, and keep back what changed on production without a window.

    SECURITY: an environment that is gone may have been production; only those known to be ordinary are open. What
    somebody held when they left, or which environments a key reaches, is of the app, and says who reaches production.
    """
    known = {environment.pk: environment for environment in environments}
    has_production = any(environment.is_production for environment in known.values())
    for entry in entries:
        entry.place = known.get(entry.environment_id or 0)
        if entry.environment_id is None:
            ordinary = not (has_production and _tells_of_rights(entry))
        else:
            ordinary = bool(entry.place and not entry.place.is_production)
        entry.locked = not unlocked and not ordinary


def _tells_of_rights(entry: Activity) -> bool:
    facts = [each for each in (entry.before, entry.after) if isinstance(each, dict)]
    return any(name.startswith(TELLS_OF_RIGHTS) for each in facts for name in each)


def gone_environments(app: App) -> list[tuple[int, str]]:
    """Give the environments that were deleted, with the names that they had last."""
    deleted = entries_of(Wanted(app=app, acts=(Act.ENVIRONMENT_DELETED,)), PAGE)
    return [(entry.environment_id or 0, entry.environment_name) for entry in deleted]


def day_in_words(day: date, today: date) -> str:
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return f"{day:%A} {day.day} {day:%B} {day.year}"


def _bounds(wanted: Wanted, before: Activity | None, after: Activity | None) -> Q:
    """The range as conditions on `at` that an index answers, and on `id` among entries of the same moment.

    One at each end and no more: with two, SQLite takes the range for so narrow that it leaves the better index.
    """
    since, until = wanted.since, wanted.until
    bounds = Q()
    if before and not (until and until <= before.at):
        until = None
        bounds &= Q(at__lte=before.at) & (Q(at__lt=before.at) | Q(id__lt=before.pk))
    if after and not (since and since > after.at):
        since = None
        bounds &= Q(at__gte=after.at) & (Q(at__gt=after.at) | Q(id__gt=after.pk))
    return bounds & Q(**_only(at__gte=since, at__lt=until))


def _only(**conditions: object) -> dict[str, object]:
    return {name: value for name, value in conditions.items() if value is not None}


def _or_any(chosen: tuple[T, ...] | None) -> tuple[T | None, ...]:
    return (None,) if chosen is None else chosen


def _cursor(app: App, number: int | None) -> Activity | None:
    # SECURITY: an entry of another app is as if it did not exist
    return Activity.objects.filter(app_id=app.pk, pk=number).first() if number is not None else None


def _last_of_full(found: list[Activity]) -> int | None:
    return found[PAGE - 1].pk if len(found) > PAGE else None
