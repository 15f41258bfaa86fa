"""Who gets through to which call: right × API Rights × environment × person × key, walked over the table of calls."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from accounts.actor import Actor
from accounts.models import User
from deployments.api.calls import Address, Operation
from deployments.api.table import CALLS
from environments import api_keys, api_limits, flows
from environments.models import ApiKey, NodePermission, Role
from environments.permissions import Permission
from tests.cast import make_person
from tests.deployments.api.client import ApiError, DeployClient
from tests.deployments.api.conftest import World, through_django
from tests.deployments.fakes import actor_with_window

# What a call needs besides a key, written down once more: a right there, and whether it changes anything
DEPLOYS, TRANSPORT, BACKUPS, MONITORING, MEMBER, KEY = "deploys", "transport", "backups", "monitoring", "member", "key"
NEEDS = {
    "GET apps/": (KEY, False),
    "GET apps/{AppId}": (MEMBER, False),
    "GET apps/{AppId}/environments/": (MEMBER, False),
    "GET apps/{AppId}/environments/{Mode}": (DEPLOYS, False),
    "GET apps/{AppId}/environments/{Mode}/package": (DEPLOYS, False),
    "POST apps/{AppId}/environments/{Mode}/start": (TRANSPORT, True),
    "GET apps/{AppId}/environments/{Mode}/start/{JobId}": (DEPLOYS, False),
    "POST apps/{AppId}/environments/{Mode}/stop": (TRANSPORT, True),
    "POST apps/{AppId}/environments/{Mode}/transport": (TRANSPORT, True),
    "POST apps/{AppId}/environments/{Mode}/clean": (TRANSPORT, True),
    "GET apps/{AppId}/environments/{Mode}/settings/": (TRANSPORT, False),
    "POST apps/{AppId}/environments/{Mode}/settings/": (TRANSPORT, True),
    "GET apps/{AppId}/environments/{Mode}/snapshots": (BACKUPS, False),
    "POST apps/{AppId}/environments/{Mode}/snapshots": (BACKUPS, True),
    "GET apps/{AppId}/environments/{Mode}/snapshots/{SnapshotId}": (BACKUPS, False),
    "POST apps/{AppId}/environments/{Mode}/restore/{SnapshotId}": (TRANSPORT, True),
    "GET apps/{AppId}/environments/{Mode}/logs/{Date}": (MONITORING, False),
    "GET apps/{AppId}/environments/{Mode}/tags": (DEPLOYS, False),
    "POST apps/{AppId}/environments/{Mode}/tags": (TRANSPORT, True),
    "DELETE apps/{AppId}/environments/{Mode}/tags": (TRANSPORT, True),
    "GET apps/{AppId}/packages/": (DEPLOYS, False),
    "POST apps/{AppId}/packages/upload": (DEPLOYS, True),
    "GET apps/{AppId}/packages/{PackageId}": (DEPLOYS, False),
    "DELETE apps/{AppId}/packages/{PackageId}": (DEPLOYS, True),
    "GET apps/{AppId}/packages/{PackageId}/download": (DEPLOYS, False),
}
RIGHTS = {TRANSPORT: Permission.TRANSPORT, BACKUPS: Permission.BACKUPS, MONITORING: Permission.MONITORING}
NOBODY, OUTSIDER, END_USER, DEPLOYER, PERMITTED, CONTACT = "nobody", "charlie", "dora", "bob", "erin", "alice"


@dataclass(frozen=True)
class Caller:
    """Who calls, with what key; `api` is whether they hold API Rights on production."""

    who: str
    api: bool
    reaches: bool
    read_only: bool
    client: DeployClient


def every() -> Iterator[tuple[str, Address, str, Operation]]:
    for call in CALLS:
        for method, operation in call.by_method.items():
            yield f"{method} {call.text}", call, method, operation


def test_every_call_is_listed() -> None:
    assert {name for name, *_ in every()} == set(NEEDS)


@pytest.fixture
def callers(world: World) -> list[Caller]:
    """Everybody in the team and outside of it, with keys of each kind."""
    cast = world.cast
    dora, erin = make_person("dora"), make_person("erin")
    flows.add_member(cast.app, Actor(cast.alice), dora, Role.objects.get(name="Product Owner"))
    flows.add_member(cast.app, Actor(cast.alice), erin, Role.objects.get(name="Application Operator"))
    for environment in cast.app.environments.all():
        cast.grant(erin, environment, Permission.TRANSPORT, Permission.BACKUPS, Permission.MONITORING)
    found = [Caller(NOBODY, False, False, False, DeployClient(through_django(), "alice@example.org", "dp_00000000_0"))]
    people = {OUTSIDER: cast.charlie, END_USER: dora, DEPLOYER: cast.bob, PERMITTED: erin, CONTACT: cast.alice}
    for who, person in people.items():
        for read_only in (False, True) if who == PERMITTED else (False,):
            key = _plain_key(world, person, read_only)
            found.append(Caller(who, False, False, read_only, DeployClient(through_django(), person.email, key)))
    for who in (DEPLOYER, PERMITTED, CONTACT):
        cast.grant(people[who], cast.production, Permission.API)
        reaching, blind = world.key(people[who], production=[cast.production])[1], world.key(people[who])[1]
        client = DeployClient(through_django(), people[who].email, reaching)
        found.append(Caller(who, True, True, False, client))
        found.append(Caller(who, True, False, False, DeployClient(client.send, client.username, blind)))
    return found


def _plain_key(world: World, person: User, read_only: bool) -> str:
    """Give a key for the app also to whoever is not in its team, as if they had left it."""
    if person != world.cast.charlie:
        return world.key(person, read_only=read_only)[1]
    theirs = flows.create_app(Actor(person), f"Theirs {read_only}", f"theirs-{read_only}".lower())
    key, text = world.key(person, apps=[theirs], read_only=read_only)
    key.apps.add(world.cast.app)
    return text


def expected(name: str, caller: Caller, production: bool) -> int:
    """The order of the checks in the contract, once more; 200 is whatever the call itself makes of it."""
    need, changes = NEEDS[name]
    if caller.who == NOBODY:
        return 401
    if need != KEY and caller.who == OUTSIDER:
        return 404
    if changes and caller.read_only:
        return 403
    if need in (KEY, MEMBER):
        return 200
    if caller.who == END_USER:
        return 403
    if "{Mode}" not in name:
        return 403 if name.startswith("DELETE") and not (caller.api and caller.reaches) else 200
    if need in RIGHTS and caller.who not in (PERMITTED, CONTACT):
        return 403
    if production and not (caller.api and caller.reaches):
        return 403
    return 200


@pytest.mark.parametrize("production", [False, True])
def test_everybody_at_every_call(world: World, callers: list[Caller], production: bool) -> None:
    names = {"AppId": "calc", "Mode": "Production" if production else "Test", "PackageId": str(world.old.key)}
    # What a key is for on production makes no difference elsewhere
    asked = [caller for caller in callers if production or not caller.api]
    for caller, (name, call, method, _) in product(asked, every()):
        path = call.text
        for part, value in (names | {"JobId": "1", "SnapshotId": str(uuid4()), "Date": "2026-01-01"}).items():
            path = path.replace(f"{{{part}}}", value)
        api_limits.limiter.forget()
        with transaction.atomic():
            met, words = met_by(caller, method, path)
            transaction.set_rollback(True)
        wanted = expected(name, caller, production)
        says = f"{name} as {caller.who}, API Rights {caller.api}, reaches {caller.reaches}, reads {caller.read_only}"
        assert met == wanted, f"{says}: {met} instead of {wanted} ({words})"


def met_by(caller: Caller, method: str, path: str) -> tuple[int, str]:
    """Say how the gate decided; an error of the call itself means that it was reached."""
    try:
        caller.client.ask(method, path)
    except ApiError as refusal:
        gate = {"UNAUTHORIZED", "APP_NOT_FOUND", "NO_ACCESS"}
        return refusal.status if refusal.code in gate else 200, str(refusal)
    return 200, ""


def test_api_rights_that_are_taken_away_end_it_where_they_are(world: World) -> None:
    """Off production they are on by default; each environment counts for itself."""
    client = world.client()
    cast = world.cast
    assert client.environment("calc", "Test")
    row = {"environment": cast.test, "membership": cast.membership(cast.bob), "permission": Permission.API}
    NodePermission.objects.create(**row, granted=False, set_by="Alice")
    bob = world.client(cast.bob)
    with pytest.raises(ApiError, match=r"403 NO_ACCESS: You need API Rights on Test of Calc\. Alice, the Technical"):
        bob.environment("calc", "Test")
    assert bob.environment("calc", "Acceptance")


def test_a_missing_right_is_named_with_who_can_grant_it_and_recorded(world: World) -> None:
    from accounts.acts import Act
    from accounts.models import Activity

    with pytest.raises(ApiError, match=r"You need Transport Rights on Test of Calc\. Alice, the Technical Contact of"):
        world.client(world.cast.bob).stop("calc", "Test")
    entry = Activity.objects.get(act=Act.REFUSED)
    assert (entry.via, entry.target) == ("API", "Deploy API: You need Transport Rights on Test of Calc")
    assert entry.key.startswith("CI 1 (dp_")


def test_a_key_names_its_apps_only(world: World) -> None:
    other = flows.create_app(Actor(world.cast.alice), "Other", "other")
    client, both = world.client(), world.client(apps=[world.cast.app, other])
    assert [app["AppId"] for app in client.apps()] == ["calc"]
    assert [app["AppId"] for app in both.apps()] == ["calc", "other"]
    with pytest.raises(ApiError, match="404 APP_NOT_FOUND"):
        client.environments("other")
    theirs = world.client(apps=[other])
    with pytest.raises(ApiError, match="404 APP_NOT_FOUND"):
        theirs.download("calc", str(world.old.key))
    with pytest.raises(ApiError, match="404 PACKAGE_NOT_FOUND"):
        theirs.download("other", str(world.old.key))


class TestProduction:
    """Whether a key reaches production is decided when it is made; later grants don't widen it."""

    def test_a_grant_after_the_key_was_made_does_not_count(self, world: World) -> None:
        cast = world.cast
        before = world.client(cast.bob)
        world.open_production(cast.bob)
        with pytest.raises(ApiError, match="The key CI 1 does not reach Production of Calc"):
            before.environment("calc", "Production")
        assert world.client(cast.bob, production=[cast.production]).environment("calc", "Production")

    def test_rights_taken_away_and_given_again_do_not_bring_it_back(self, world: World) -> None:
        cast = world.cast
        world.open_production(cast.bob)
        client = world.client(cast.bob, production=[cast.production])
        NodePermission.objects.filter(membership__user=cast.bob, permission=Permission.API).delete()
        with pytest.raises(ApiError, match="403 NO_ACCESS: You need API Rights on Production"):
            client.environment("calc", "Production")
        world.open_production(cast.bob)
        with pytest.raises(ApiError, match="does not reach Production"):
            client.environment("calc", "Production")

    def test_an_environment_that_becomes_production_is_out_of_reach(self, world: World) -> None:
        cast = world.cast
        world.open_production(cast.bob)
        cast.grant(cast.bob, cast.production, Permission.TRANSPORT)
        client = world.client(cast.bob, production=[cast.production])
        assert client.environment("calc", "Acceptance")
        NodePermission.objects.create(
            environment=cast.acceptance,
            membership=cast.membership(cast.bob),
            permission=Permission.API,
            granted=True,
            set_by="Alice",
        )
        NodePermission.objects.update(set_at=world.made[-1].created_at)
        cast.acceptance.is_production = True
        cast.acceptance.save()
        with pytest.raises(ApiError, match="does not reach Acceptance"):
            client.environment("calc", "Acceptance")

    def test_a_key_made_under_a_window_that_ended_for_cause_reaches_it_no_more(self, world: World) -> None:
        from accounts import window
        from accounts.models import ProductionWindow

        cast = world.cast
        world.open_production(cast.bob)
        client = world.client(cast.bob, production=[cast.production])
        window.end_all(cast.bob, ProductionWindow.End.BY_PERSON)
        assert client.environment("calc", "Production")
        ProductionWindow.objects.update(ended_why=ProductionWindow.End.DISABLED)
        with pytest.raises(ApiError, match="does not reach Production"):
            client.environment("calc", "Production")
        assert client.environment("calc", "Test")

    def test_the_flows_ask_once_more(self, world: World) -> None:
        """Whoever gets past the gate with a key that does not reach production gets no further."""
        from accounts.actor import API
        from deployments.flows import request_placing
        from deployments.removal import delete_package
        from environments.authority import NotPermitted

        cast = world.cast
        key, _ = world.key()
        by = Actor(cast.alice, API, key=api_keys.key_of(key))
        with pytest.raises(NotPermitted, match="does not reach Production"):
            request_placing(cast.production, by, world.old)
        with pytest.raises(NotPermitted, match="does not reach production of Calc"):
            delete_package(world.old, by)
        with pytest.raises(NotPermitted):
            request_placing(cast.production, Actor(cast.alice, API), world.old)
        request_placing(cast.test, by, world.old)
        ApiKey.objects.update(read_only=True)
        with pytest.raises(NotPermitted, match="only reads"):
            request_placing(cast.acceptance, by, world.old)


def test_production_by_its_key_goes_through_to_the_end(world: World) -> None:
    cast = world.cast
    world.open_production(cast.bob, Permission.TRANSPORT)
    client: Any = world.client(cast.bob, production=[cast.production])
    client.transport("calc", "production", str(world.old.key))
    job = client.start("calc", "PRODUCTION")
    world.work()
    assert client.progress("calc", "Production", job) == {"Status": "Started"}
    assert actor_with_window(cast.bob).window, "which the key has nothing to do with"
