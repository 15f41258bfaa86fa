"""A person's apps on the start page: searched, a page at a time, those that want to be looked at first."""

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Q, Subquery

from accounts.models import User
from environments.models import App, AppQuerySet, Environment

PAGE = 50
# A job's states until it has ended; the room above, which has the jobs, is asked by the names of its relations only
ACTIVE = ("queued", "running")
OPEN_ALERT = Q(alerts__opened_at__isnull=False, alerts__closed_at=None)
IN_TROUBLE = Q(live__state="running") & (~Q(live__trouble="") | OPEN_ALERT)


@dataclass(frozen=True)
class UnderWay:
    """A job that waits or runs, in words."""

    state: str
    title: str


def apps_of(user: User, words: str) -> AppQuerySet:
    """Give the apps whose team the person is in, or those of them that have these words in name or short name."""
    found = App.objects.for_member(user)
    if words:
        found = found.filter(Q(name__icontains=words) | Q(slug__icontains=words))
    return found


def only_one(user: User, words: str) -> App | None:
    """Give the app that somebody means who types this: its very name, or the only one that has the words."""
    found = apps_of(user, words)
    exact = found.filter(Q(name__iexact=words) | Q(slug__iexact=words))[:2]
    meant = list(exact) or list(found[:2])
    return meant[0] if words and len(meant) == 1 else None


def page_of(user: User, words: str, number: str | None) -> Page[App]:
    """Give a page of apps with their environments, each with `state` and `jobs`; in four queries for any number."""
    environments = Environment.objects.filter(app=OuterRef("pk"))
    busy = environments.filter(jobs__state__in=ACTIVE)
    wants = Exists(busy) | Exists(environments.filter(IN_TROUBLE))
    ordered = apps_of(user, words).annotate(wants_a_look=wants).order_by("-wants_a_look", "name", "pk")
    page = Paginator(ordered, PAGE).get_page(number)
    _furnish(page)
    return page


def _furnish(page: Page[App]) -> None:
    apps: list[Any] = list(page.object_list)
    jobs = _jobs(apps)
    by_app: dict[int, list[Any]] = {}
    environment: Any
    worst = Environment.objects.filter(OPEN_ALERT, pk=OuterRef("pk")).order_by("-alerts__rank").values("alerts__kind")
    environments = Environment.objects.filter(app__in=apps).select_related("live__package")
    for environment in environments.annotate(alert=Subquery(worst[:1])):
        live = getattr(environment, "live", None)
        environment.package = live.package if live else None
        environment.state = _state_of(live, environment.alert or "")
        environment.under_way = jobs.get(environment.pk, [])
        by_app.setdefault(environment.app_id, []).append(environment)
    for app in apps:
        app.shown = by_app.get(app.pk, [])
    page.object_list = apps


def _state_of(live: Any, alert: str) -> str:
    if live is None:
        return "empty"
    if live.state != "running":
        return str(live.state)
    return alert or ("offline" if live.trouble else "running")


def _jobs(apps: list[App]) -> dict[int, list[UnderWay]]:
    """Give what is under way on the environments of these apps, in order."""
    rows = Environment.objects.filter(app__in=apps, jobs__state__in=ACTIVE).order_by("jobs__pk")
    found: dict[int, list[UnderWay]] = {}
    for key, kind, state, package in rows.values_list("pk", "jobs__kind", "jobs__state", "jobs__package_name"):
        verb = kind.replace("-", " ").replace("_", " ").capitalize()
        title = f"{verb} {package}" if kind == "transport" else verb
        found.setdefault(key, []).append(UnderWay(state, title))
    return found
