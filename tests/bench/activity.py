"""What a page of the activity costs among 200,000 entries: the last one against the first, with each filter set."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from urllib.parse import urlencode

from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, User
from environments.flows import create_app
from environments.kinds import Kind, acts_of
from environments.models import App
from environments.timeline import PAGE, Wanted, entries_of
from tests.bench.measure import Contender, in_turns
from tests.bench.pages import Visit, cookies_of
from tests.bench.report import Line, ms
from tests.cast import make_person, unlocked

ENTRIES = 200_000
RARE = 400  # one entry in so many is of somebody who did little, and one of a rare kind
ROUNDS, CALLS = 10, 5
AT_MOST = 1.5
WRITTEN_AT_ONCE = 5_000
OFTEN = (Act.TRANSPORT_ASKED, Act.JOB_DONE, Act.PACKAGE_UPLOADED, Act.OPTIONS_CHANGED)


def measure() -> list[Line]:
    """Fill an app of its own, and compare its first page with its last one."""
    ada, ben = make_person("ada"), make_person("ben")
    app = create_app(Actor(ada), "Busy", "busy")
    begin = timezone.now() - timedelta(days=365)
    entries = _entries(app, (ada, ben), begin)
    while portion := list(islice(entries, WRITTEN_AT_ONCE)):
        Activity.objects.bulk_create(portion)
    cookies = cookies_of(unlocked(ada))
    return [_line(app, name, query, wanted, cookies) for name, query, wanted in _filters(app, ada, ben, begin)]


def _entries(app: App, people: tuple[User, User], begin: datetime) -> Iterator[Activity]:
    """The busy one and the other one, on two of the app's environments in turns, a minute and a half between two."""
    ada, ben = people
    test, _, production = app.environments.all()
    for number in range(ENTRIES):
        who = ben if number % RARE == 0 else ada
        act = Act.MEMBER_CHANGED if number % RARE == 1 else OFTEN[number % len(OFTEN)]
        where = production if number % 3 == 0 else test
        yield Activity(
            at=begin + timedelta(seconds=number * 90),
            act=act,
            actor_id=who.pk,
            actor_name=who.name,
            app_id=app.pk,
            app_name=app.name,
            environment_id=where.pk,
            environment_name=where.name,
            target="busy 1.0.0",
            after={"SHA-256": "0" * 64},
            via="browser",
        )


def _filters(app: App, ada: User, ben: User, begin: datetime) -> Iterator[tuple[str, Mapping[str, object], Wanted]]:
    want = partial(Wanted, app=app)
    test = app.environments.all()[0]
    jobs, team = acts_of(Kind.DEPLOYMENTS), acts_of(Kind.TEAM)
    until = begin + timedelta(days=180)
    day = timezone.localdate(until)
    yield "all of it", {}, want()
    yield "a busy person", {"person": "ada"}, want(people=(ada.pk,))
    yield "a rare person", {"person": "ben"}, want(people=(ben.pk,))
    yield "an environment", {"environment": test.pk}, want(environment=test.pk)
    yield "a kind", {"kind": Kind.DEPLOYMENTS}, want(acts=jobs)
    yield "a rare kind", {"kind": Kind.TEAM}, want(acts=team)
    yield "days long ago", {"until": day - timedelta(days=1)}, want(until=until.replace(hour=0, minute=0, second=0))
    query = {"person": "ada", "kind": Kind.TEAM}
    yield "a busy person and a rare kind", query, want(people=(ada.pk,), acts=team)


def _line(app: App, name: str, query: Mapping[str, object], wanted: Wanted, cookies: str) -> Line:
    oldest = Activity(pk=0, at=datetime.min.replace(tzinfo=timezone.now().tzinfo))
    beside = list(entries_of(wanted, PAGE + 1, after=oldest))[-1]
    address, portal = f"/apps/{app.slug}/activity/", WSGIHandler()
    first = Visit(portal, f"{address}?{urlencode(query)}", cookies)
    last = Visit(portal, f"{address}?{urlencode({**query, 'before': beside.pk})}", cookies)
    for visit in (first, last):
        if visit().count(b'<li class="entry">') != PAGE:
            raise AssertionError(f"{visit.path} is no full page.")
    top, bottom = in_turns(ROUNDS, [Contender(first, CALLS), Contender(last, CALLS)])
    ratio = bottom.cpu / top.cpu
    return Line(
        f"Activity, {name}: last page against first, CPU time",
        ms(top.cpu),
        ms(bottom.cpu),
        f"{ratio:.2f}x",
        f"at most {AT_MOST}x",
        ratio <= AT_MOST,
    )
