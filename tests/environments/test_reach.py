"""Seeing across: who can reach production, what one person may do, and both in as many queries for many as for few."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import Authenticator, User
from environments import flows
from environments.models import App, Environment, Membership, NodePermission, Role
from environments.permissions import Permission
from environments.reach import summary_of
from tests.cast import Cast, make_person, signed_in, unlocked

REACH = "/apps/calc/production-access/"
API, TRANSPORT, ALERTS, MANAGE = Permission.API, Permission.TRANSPORT, Permission.ALERTS, Permission.MANAGE


def add(cast: Cast, name: str, role: str = "Business Engineer") -> User:
    person = make_person(name)
    flows.add_member(cast.app, Actor(cast.alice, via="shell"), person, Role.objects.get(name=role))
    return person


def text_of(client: Any, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return " ".join(answer.content.decode().split())


def counts(app: App) -> tuple[int, int, int, int]:
    summary = summary_of(app)
    return summary.people, summary.others, summary.bare, summary.without_code


def test_the_technical_contact_reaches_production_and_nobody_without_a_code(cast: Cast) -> None:
    page = text_of(unlocked(cast.alice), REACH)
    assert "1 person can reach production. Nobody can without a code." in page
    assert "All but API Rights, as the Technical Contact" in page
    assert "1 more member with the deploy permission can look at it after a code" in page
    assert "Bob" not in page


def test_it_says_which_since_when_and_by_whom(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, TRANSPORT, ALERTS)
    cast.grant(cast.bob, cast.test, MANAGE)
    NodePermission.objects.update(set_at=datetime(2025, 3, 1, 12, tzinfo=UTC))
    page = text_of(unlocked(cast.alice), REACH)
    assert "2 people can reach production." in page
    assert page.index("Alice</a>") < page.index("Bob</a>"), "the Technical Contact first"
    assert "Transport Rights <span" in page
    assert "1 Mar 2025" in page
    assert "by Alice" in page
    assert "Manage Permissions" not in page, "another environment's"
    assert "1 has no authenticator yet" in page


@pytest.mark.parametrize("which", [Permission.TRANSPORT, Permission.BACKUPS, Permission.MONITORING])
def test_api_rights_with_something_to_use_need_no_code(cast: Cast, which: Permission) -> None:
    cast.grant(cast.bob, cast.production, API)
    assert counts(cast.app) == (2, 0, 2, 0), "API Rights alone give nothing to do"
    cast.grant(cast.bob, cast.production, which)
    assert counts(cast.app) == (2, 0, 2, 1)
    page = text_of(unlocked(cast.alice), REACH)
    assert "1 can without a code" in page
    assert "the Deploy API asks for no code: Bob." in page
    assert page.count("Yes, by the Deploy API") == 1


def test_the_technical_contact_with_api_rights_needs_no_code(cast: Cast) -> None:
    cast.grant(cast.alice, cast.production, API)
    summary = summary_of(cast.app)
    assert (summary.without_code, summary.named) == (1, ["Alice"])


def test_api_rights_on_one_production_and_transport_on_another_are_not_enough(cast: Cast) -> None:
    second = Environment.objects.create(app=cast.app, slug="production-2", name="Production 2", is_production=True)
    cast.grant(cast.bob, cast.production, API)
    cast.grant(cast.bob, second, TRANSPORT)
    assert counts(cast.app) == (2, 0, 2, 0)
    page = text_of(unlocked(cast.alice), REACH)
    assert "Production 2</span>" in page
    cast.grant(cast.bob, second, API)
    assert counts(cast.app)[3] == 1


def test_who_lost_the_deploy_permission_or_the_account_reaches_nothing(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, TRANSPORT, API)
    erin = add(cast, "erin")
    cast.grant(erin, cast.production, TRANSPORT, API)
    Membership.objects.filter(user=erin).update(role=Role.objects.get(name="End-user"))
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    assert counts(cast.app) == (1, 0, 1, 0)
    page = text_of(unlocked(cast.alice), REACH)
    assert "Account deactivated" in page
    assert "Erin" not in page


def test_what_was_taken_away_does_not_count(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, TRANSPORT)
    NodePermission.objects.update(granted=False)
    assert counts(cast.app) == (1, 1, 1, 0)


def test_a_blocked_authenticator_is_shown_as_such(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, TRANSPORT)
    unlocked(cast.bob)
    Authenticator.objects.filter(user=cast.bob).update(blocked_at=datetime(2026, 1, 2, tzinfo=UTC))
    page = text_of(unlocked(cast.alice), REACH)
    assert "Blocked" in page
    assert "no authenticator yet" not in page


def test_an_app_without_production_has_nobody_to_list_and_needs_no_code(cast: Cast) -> None:
    cast.app.environments.filter(is_production=True).delete()
    assert "No production environment" in text_of(signed_in(cast.alice), REACH)


def test_what_may_bob_do(cast: Cast) -> None:
    cast.grant(cast.bob, cast.acceptance, TRANSPORT)
    bobs = f"/apps/calc/team/{cast.membership(cast.bob).pk}/"
    page = text_of(unlocked(cast.alice), bobs)
    assert "What may Bob do?" in page
    assert "Business Engineer, in the team since" in page
    assert page.count("<strong>Yes</strong>") == 3, "API Rights on Test and Acceptance, Transport Rights on Acceptance"
    assert page.count("by default") == 2
    assert "by Alice" in page
    assert "None yet" in page
    assert "?q=bob%40example.org" in page, "Alice can go on to change it"
    own = text_of(unlocked(cast.bob), bobs)
    assert own.count("<strong>Yes</strong>") == 3
    assert "?q=bob" not in own


def test_what_may_the_technical_contact_do(cast: Cast) -> None:
    page = text_of(unlocked(cast.alice), f"/apps/calc/team/{cast.membership(cast.alice).pk}/")
    assert page.count('<strong>Yes</strong> <span class="soft small">as the Technical Contact') == 17
    assert "and Technical Contact" in page


def test_a_member_without_the_deploy_permission_sees_that_they_may_nothing(cast: Cast) -> None:
    dora = add(cast, "dora", "Product Owner")
    page = text_of(unlocked(dora), f"/apps/calc/team/{cast.membership(dora).pk}/")
    assert "can hold no permission below" in page
    assert "<strong>Yes</strong>" not in page


def test_nobody_else_looks_and_ids_of_other_apps_are_as_if_they_did_not_exist(cast: Cast) -> None:
    cast.grant(cast.bob, cast.test, MANAGE)
    alices = cast.membership(cast.alice).pk
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    theirs = other.memberships.get().pk
    bob, alice = unlocked(cast.bob), unlocked(cast.alice)
    assert [bob.get(f"/apps/calc/team/{pk}/").status_code for pk in (alices, theirs, 10**9)] == [403] * 3
    assert [alice.get(f"/apps/calc/team/{pk}/").status_code for pk in (theirs, 10**9)] == [404] * 2
    assert alice.get(f"/apps/other/team/{theirs}/").status_code == 404


def fill(cast: Cast, number: int) -> None:
    first = User.objects.count()
    people = User.objects.bulk_create(
        User(email=f"member{n}@example.org", name=f"Member {n}", password="!") for n in range(first, first + number)
    )
    role = Role.objects.get(name="Business Engineer")
    members = Membership.objects.bulk_create(Membership(app=cast.app, user=each, role=role) for each in people)
    NodePermission.objects.bulk_create(
        NodePermission(membership=member, environment=environment, permission=permission, granted=True, set_by="Alice")
        for member in members
        for environment in cast.app.environments.all()
        for permission in (TRANSPORT, API)
    )
    Authenticator.objects.bulk_create(
        Authenticator(user=each, name="x", confirmed=True, confirmed_at=each.date_joined, secret="x") for each in people
    )


@pytest.mark.parametrize("address", [REACH, "/apps/calc/permissions.csv", "/apps/calc/team/{bob}/"])
def test_many_members_cost_as_many_queries_as_few(cast: Cast, address: str) -> None:
    alice, costs = unlocked(cast.alice), []
    address = address.format(bob=cast.membership(cast.bob).pk)
    for number in (2, 60):
        fill(cast, number)
        with CaptureQueriesContext(connection) as queries:
            answer = alice.get(address)
            assert answer.status_code == 200
            b"".join(answer) if answer.streaming else answer.content
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_many_are_listed_in_pages_with_the_first_few_named_above(cast: Cast) -> None:
    fill(cast, 60)
    alice = unlocked(cast.alice)
    first = text_of(alice, REACH)
    assert "61 people can reach production. 60 can without a code." in first
    assert "and more." in first
    assert first.count('scope="row"') == 50
    assert text_of(alice, f"{REACH}?page=2").count('scope="row"') == 11
