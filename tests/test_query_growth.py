"""A page asks the database as often for many rows as for a few: no list costs a query a row."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deployments.backups.models import Backup
from deployments.models import Alert, Job, Measurement, Package
from environments.models import App, Environment, Invitation, Membership, NodePermission, Role
from environments.permissions import Permission
from tests.bench.sample import fill
from tests.cast import Cast, make_person, signed_in, unlocked

FEW, MANY = 3, 60  # the second is more than a page of any list
APP_PAGE = "/apps/calc-{size}/"
METRICS = "/apps/calc-{size}/environments/production/metrics/"
AT_MOST = {APP_PAGE: 8, METRICS: 8}
PAGES = [
    APP_PAGE,
    "/apps/calc-{size}/packages/",
    "/apps/calc-{size}/packages/?q=calc+1.0&page=2",
    "/apps/calc-{size}/packages/{package}/",
    "/apps/calc-{size}/packages/{package}/delete/",
    "/apps/calc-{size}/alerts/",
    "/apps/calc-{size}/activity/",
    "/apps/calc-{size}/activity/?person=alice&kind=settings&since=2026-01-01",
    "/apps/calc-{size}/environments/test/activity/",
    "/apps/calc-{size}/environments/production/activity/",
    "/apps/calc-{size}/settings/",
    "/apps/calc-{size}/settings/environments/test/",
    "/apps/calc-{size}/settings/environments/test/delete/",
    "/apps/calc-{size}/settings/delete/",
    "/apps/calc-{size}/team/",
    "/apps/calc-{size}/team/?q=calc",
    "/apps/calc-{size}/team/invitations/",
    "/apps/calc-{size}/permissions/test/",
    "/apps/calc-{size}/permissions/production/",
    "/apps/calc-{size}/production-access/",
    "/apps/calc-{size}/technical-contact/",
    "/apps/calc-{size}/technical-contact/{member}/",
    "/apps/calc-{size}/environments/test/",
    "/apps/calc-{size}/environments/production/",
    "/apps/calc-{size}/environments/test/transport/",
    "/apps/calc-{size}/environments/test/transport/?package={package}",
    "/apps/calc-{size}/environments/test/deployments/",
    "/apps/calc-{size}/environments/test/deployments/1/",
    "/apps/calc-{size}/environments/production/deployments/",
    "/apps/calc-{size}/environments/test/deployments/1/roll-back/",
    "/apps/calc-{size}/environments/test/deployments/1/cancel/",
    "/apps/calc-{size}/environments/test/clear/",
    "/apps/calc-{size}/environments/test/backups/",
    "/apps/calc-{size}/environments/production/backups/",
    "/apps/calc-{size}/environments/test/backups/create/",
    "/apps/calc-{size}/environments/test/backups/upload/",
    "/apps/calc-{size}/environments/test/backups/1/",
    "/apps/calc-{size}/environments/production/backups/1/",
    "/apps/calc-{size}/environments/test/backups/restore/{backup}/",
    "/apps/calc-{size}/environments/test/logs/",
    "/apps/calc-{size}/environments/test/logs/days/",
    "/apps/calc-{size}/environments/production/logs/",
    METRICS,
    "/apps/calc-{size}/environments/test/options/",
    "/apps/calc-{size}/environments/test/options/events/Trim%20history/",
]


@pytest.fixture
def alice(cast: Cast) -> Client:
    """Alice with an open window, and two apps of hers: one with few of everything, one with many."""
    fill(cast.alice, (FEW, MANY))
    for size in (FEW, MANY):
        fill_team(App.objects.get(slug=f"calc-{size}"), size)
    return unlocked(cast.alice)


def fill_team(app: App, size: int) -> None:
    role = Role.objects.get(name="Business Engineer")
    people = [make_person(f"{app.slug}-{number}") for number in range(size)]
    members = Membership.objects.bulk_create(Membership(app=app, user=person, role=role) for person in people)
    NodePermission.objects.bulk_create(
        NodePermission(environment=environment, membership=member, permission=permission, granted=True, set_by="Alice")
        for environment in app.environments.all()
        for member in members
        for permission in (Permission.TRANSPORT, Permission.BACKUPS)
    )
    Invitation.objects.bulk_create(
        Invitation(
            app=app,
            email=f"{number}@example.org",
            role=role,
            invited_by=app.technical_contact,
            link=f"{app.slug}-{number}",
            expires_at=timezone.now(),
        )
        for number in range(size)
    )
    Measurement.objects.bulk_create(
        Measurement(environment=environment, span=600, slot=slot, at=timezone.now() - slot * timedelta(minutes=10))
        for environment in app.environments.all()
        for slot in range(size)
    )
    for environment in app.environments.all():
        fill_alerts(environment, size)
        fill_backups(environment, size)
        Job.objects.create(environment=environment, number=size + 1, kind="restart", asker_name="Alice", via="browser")


def fill_backups(environment: Environment, size: int) -> None:
    Backup.objects.bulk_create(
        Backup(
            environment=environment,
            number=number,
            job=environment.jobs.last(),
            kind="nightly",
            state="completed",
            creator_name="The portal",
            expires_at=timezone.now(),
            from_production=environment.is_production,
        )
        for number in range(1, size + 1)
    )


def fill_alerts(environment: Environment, size: int) -> None:
    opened = {"kind": "logged", "rank": 1, "message": "x", "opened_at": timezone.now()}
    Alert.objects.create(environment=environment, **opened)
    Alert.objects.bulk_create(Alert(environment=environment, closed_at=timezone.now(), **opened) for _ in range(size))


def cost(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(address)
    assert answer.status_code == 200, address
    return len(queries)


def test_a_page_of_an_app_costs_the_same_for_few_and_many(alice: Client) -> None:
    keys = {size: Package.objects.filter(app__slug=f"calc-{size}").earliest("pk").key for size in (FEW, MANY)}
    members = {size: Membership.objects.filter(app__slug=f"calc-{size}").latest("pk").pk for size in keys}
    backups = {size: Backup.objects.filter(environment__app__slug=f"calc-{size}").earliest("pk").key for size in keys}
    names = {size: {"package": keys[size], "member": members[size], "backup": backups[size]} for size in keys}
    costs = {page: [cost(alice, page.format(size=size, **names[size])) for size in keys] for page in PAGES}
    assert {page: (few, many) for page, (few, many) in costs.items() if few != many} == {}
    assert {page: costs[page] for page, most in AT_MOST.items() if max(costs[page]) > most} == {}


def test_a_members_pages_cost_the_same_for_few_and_many(alice: Client) -> None:
    pages, costs = (APP_PAGE, APP_PAGE + "environments/test/"), []
    for size in (FEW, MANY):
        bob = signed_in(Membership.objects.filter(app__slug=f"calc-{size}").latest("pk").user)
        costs.append([cost(bob, page.format(size=size)) for page in pages])
    assert costs[0] == costs[1]
    assert costs[1][0] <= AT_MOST[APP_PAGE]


def test_the_start_page_costs_the_same_for_few_and_many_apps(alice: Client, cast: Cast) -> None:
    few = cost(alice, "/")
    fill(cast.alice, tuple(range(4, 12)))
    assert cost(alice, "/") == few


@pytest.mark.parametrize("address", ["/account/", "/account/history/"])
def test_the_account_costs_the_same_for_few_and_many_sessions(alice: Client, cast: Cast, address: str) -> None:
    signed_in(cast.alice)
    few = cost(alice, address)
    for _ in range(10):
        signed_in(cast.alice)
    assert cost(alice, address) == few
