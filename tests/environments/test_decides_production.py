"""What decides about production without naming it in its address is guarded like production itself.

The list is `DECIDES_PRODUCTION` in tests/test_access_matrix.py, which also asks each of these addresses as everybody.
"""

from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.actor import Actor
from accounts.guards import guard_of
from deployments.manifests import Manifest
from deployments.models import Package
from environments import contact, invitations
from environments.access import AppGuard
from environments.models import Role
from tests.cast import Cast, signed_in, unlocked
from tests.test_access_matrix import DECIDES_PRODUCTION, EVERY

# PORTAL, "The two-factor gate", 2, in its own words → the page that does it
CONTRACT = {
    "handing over the Technical Contact": "environments:offer_hand_over",
    "becoming the Technical Contact": "environments:accept_hand_over",
    "changing roles": "environments:change_role",
    "changing members: inviting": "environments:invite",
    "changing members: removing": "environments:remove_member",
    "changing members: leaving": "environments:leave",
    "environment settings": "environments:add_environment",
    "the permissions CSV": "environments:permissions_csv",
    "Who can reach production": "environments:production_access",
}


def declares_it(name: str) -> bool:
    guard = guard_of(EVERY[name].callback)
    return isinstance(guard, AppGuard) and guard.decides_production


@pytest.fixture
def known(cast: Cast) -> dict[str, Any]:
    """What stands in the addresses."""
    package = Package.objects.create(
        app=cast.app, name="calc", version="1", file="x", size=1, sha256="0" * 64, manifest=Manifest("true").as_dict()
    )
    by, role = Actor(cast.alice, via="shell"), Role.objects.get(name="End-user")
    return {
        "app": "calc",
        "member": cast.membership(cast.bob).pk,
        "package": package.key,
        "invitation": invitations.invite(cast.app, by, "dora@example.org", role).pk,
        "environment": "test",
    }


def ask(client: Client, name: str, known: dict[str, Any], method: str) -> HttpResponse:
    missing = set(EVERY[name].pattern.regex.groupindex) - set(known)
    assert not missing, f"Say in the fixture `known` what stands for {missing} in the address of {name}."
    path = reverse(name, kwargs={key: known[key] for key in EVERY[name].pattern.regex.groupindex})
    with transaction.atomic():
        answer: HttpResponse = getattr(client, method)(path)
        list(answer) if answer.streaming else None
        transaction.set_rollback(True)
    return answer


def asks_for_code(answer: HttpResponse) -> bool:
    return answer.headers.get("Location", "").startswith("/authenticator/?")


def test_the_list_is_exactly_what_declares_it() -> None:
    declared = {name for name in EVERY if declares_it(name)}
    assert declared == DECIDES_PRODUCTION, (
        "A page that decides about production declares `decides_production` (environments/access.py) and stands in"
        f" DECIDES_PRODUCTION (tests/test_access_matrix.py). Declared only: {declared - DECIDES_PRODUCTION}."
        f" Listed only: {DECIDES_PRODUCTION - declared}."
    )


@pytest.mark.parametrize("words", sorted(CONTRACT))
def test_what_the_contract_names_is_among_them(words: str) -> None:
    assert CONTRACT[words] in DECIDES_PRODUCTION


@pytest.mark.parametrize("method", ["get", "post"])
def test_each_asks_for_the_code_without_a_window_and_for_none_with_one(
    cast: Cast, known: dict[str, Any], method: str
) -> None:
    closed, opened = signed_in(cast.alice), unlocked(cast.alice)
    for name in sorted(DECIDES_PRODUCTION):
        assert asks_for_code(ask(closed, name, known, method)), name
        answer = ask(opened, name, known, method)
        assert not asks_for_code(answer), name
        assert answer.status_code not in (403, 404, 500), name


def test_the_offer_asks_whom_it_is_made_to_for_the_code_too(cast: Cast, known: dict[str, Any]) -> None:
    contact.offer(cast.app, Actor(cast.alice, via="shell"), cast.membership(cast.bob))
    closed, opened = signed_in(cast.bob), unlocked(cast.bob)
    for name in ("environments:hand_over", "environments:accept_hand_over"):
        for method in ("get", "post"):
            assert asks_for_code(ask(closed, name, known, method)), name
            assert not asks_for_code(ask(opened, name, known, method)), name
    assert not asks_for_code(ask(closed, "environments:decline_hand_over", known, "post"))


def test_where_an_app_has_no_production_no_code_is_asked_for(cast: Cast, known: dict[str, Any]) -> None:
    cast.production.delete()
    closed = signed_in(cast.alice)
    for name in sorted(DECIDES_PRODUCTION):
        assert not asks_for_code(ask(closed, name, known, "get")), name
