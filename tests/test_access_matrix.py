"""Walks every address of the portal: address × person × window × GET and POST. An unlisted address fails.

What a person meets is one of: "sign in", "code" (asked for), "403", "404" (an outsider learns nothing) or
"in" (the view was reached, whatever it then made of an empty form).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.actor import Actor
from deployments.manifests import Manifest
from deployments.models import Backup, EventRun, Job, Package
from deployments.states import BackupKind, BackupState, JobKind, JobState, RunState
from environments import flows, invitations
from environments.models import Role
from environments.permissions import Permission
from tests.cast import Cast, make_cast, make_person, signed_in, unlock

BACKUP = {
    name: {"kind": BackupKind.MANUAL, "state": BackupState.COMPLETED, "key": uuid4()} for name in ("test", "production")
}
MANIFEST = Manifest(web="true").as_dict()
# Who an address is for
PUBLIC, SIGNED_IN, STAFF = "public", "signed in", "staff"
WITH_WINDOW = "signed in, with a window"
MEMBER, DEPLOYER, TRANSPORT, TEAM = "member", "deployer", "transport", "team manager"
MONITORING, BACKUPS, CONTACT = "monitoring", "backups", "technical contact"
BOB_TOO = "technical contact, and Bob, whom the address names"

ADDRESSES = {
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    "accounts:sign_in": PUBLIC,
    "accounts:password_reset": PUBLIC,
    "accounts:password_reset_sent": PUBLIC,
    "accounts:password_reset_confirm": PUBLIC,
    "accounts:sign_out": SIGNED_IN,
    "accounts:account": SIGNED_IN,
    "accounts:password_change": SIGNED_IN,
    "accounts:email_change": SIGNED_IN,
    "accounts:email_confirm": SIGNED_IN,
    "accounts:history": SIGNED_IN,
    "accounts:end_session": SIGNED_IN,
    "accounts:end_session_window": SIGNED_IN,
    "accounts:end_other_sessions": SIGNED_IN,
    "accounts:code": SIGNED_IN,
    "accounts:code_dialog": SIGNED_IN,
    "accounts:set_up": SIGNED_IN,
    "accounts:end_window": SIGNED_IN,
    "accounts:help": SIGNED_IN,
    "accounts:carry_on": SIGNED_IN,
    "environments:apps": SIGNED_IN,
    "environments:keys": SIGNED_IN,
    "environments:new_key": SIGNED_IN,
    "environments:new_production_key": WITH_WINDOW,
    "environments:revoke_key": SIGNED_IN,
    "environments:new_app": SIGNED_IN,
    "environments:activity": DEPLOYER,
    "environments:activity_csv": DEPLOYER,
    "environments:environment_activity": DEPLOYER,
    "environments:settings": TEAM,
    "environments:add_environment": CONTACT,
    "environments:order_environments": CONTACT,
    "environments:rename_environment": CONTACT,
    "environments:team": DEPLOYER,
    "environments:invite": TEAM,
    "environments:invitations": DEPLOYER,
    "environments:send_again": TEAM,
    "environments:withdraw": TEAM,
    "environments:change_role": TEAM,
    "environments:remove_member": TEAM,
    "environments:leave": MEMBER,
    "environments:invitation": PUBLIC,
    "environments:permissions_start": DEPLOYER,
    "environments:permissions": DEPLOYER,
    "environments:person": BOB_TOO,
    "environments:production_access": CONTACT,
    "environments:permissions_csv": CONTACT,
    "environments:hand_over": CONTACT,
    "environments:offer_hand_over": CONTACT,
    "environments:withdraw_hand_over": CONTACT,
    "environments:accept_hand_over": CONTACT,
    "environments:decline_hand_over": CONTACT,
    "deployments:app": MEMBER,
    "deployments:delete_app": CONTACT,
    "deployments:delete_environment": CONTACT,
    "deployments:alerts": DEPLOYER,
    "deployments:packages": DEPLOYER,
    "deployments:upload": DEPLOYER,
    "deployments:package": DEPLOYER,
    "deployments:download": DEPLOYER,
    "deployments:delete_package": DEPLOYER,
    "deployments:environment": DEPLOYER,
    "deployments:deployments": DEPLOYER,
    "deployments:job": DEPLOYER,
    "deployments:transport": TRANSPORT,
    "deployments:start": TRANSPORT,
    "deployments:stop": TRANSPORT,
    "deployments:restart": TRANSPORT,
    "deployments:clear": TRANSPORT,
    "deployments:cancel": TRANSPORT,
    "deployments:roll_back": TRANSPORT,
    "deployments:options": TRANSPORT,
    "deployments:event": TRANSPORT,
    "deployments:backups": BACKUPS,
    "deployments:create_backup": BACKUPS,
    "deployments:upload_data": BACKUPS,
    "deployments:backup": BACKUPS,
    "deployments:download_backup": BACKUPS,
    "deployments:restore": BACKUPS,
    "deployments:logs": MONITORING,
    "deployments:log_lines": MONITORING,
    "deployments:log_days": MONITORING,
    "deployments:log_day": MONITORING,
    "deployments:metrics": MONITORING,
}
# What decides about production without naming it in its address (PORTAL, "The two-factor gate", 2)
DECIDES_PRODUCTION = {
    "environments:add_environment",
    "environments:order_environments",
    "environments:rename_environment",
    "deployments:delete_app",
    "deployments:delete_environment",
    "environments:activity_csv",
    "environments:person",
    "environments:production_access",
    "environments:permissions_csv",
    "environments:invite",
    "environments:send_again",
    "environments:withdraw",
    "environments:change_role",
    "environments:remove_member",
    "environments:leave",
    "environments:hand_over",
    "environments:offer_hand_over",
    "environments:withdraw_hand_over",
    "environments:accept_hand_over",
    "deployments:delete_package",
}


def names(resolver: URLResolver, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from names(entry, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)
        else:
            yield f"{namespace}{entry.name}", entry


API = "api:"  # calls of programs: tests/deployments/api/test_access.py walks them
EVERY = dict(names(get_resolver()))
ADMIN = sorted(name for name in EVERY if name.startswith("admin:"))


@dataclass
class World:
    cast: Cast
    package: Package
    browsers: dict[tuple[str, bool], Client]
    invitation: int


@pytest.fixture(scope="module")
def everybody(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once for all tests: each of them undoes what it changed, and the last transaction all the rest."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_world(make_cast())
        transaction.set_rollback(True)


@pytest.fixture
def world(everybody: World, db: None) -> World:
    return everybody


def make_world(cast: Cast) -> World:
    """Everybody twice: in a browser with a closed and in one with an open window."""
    dora, erin = make_person("dora"), make_person("erin")
    flows.add_member(cast.app, Actor(cast.alice), dora, Role.objects.get(name="Product Owner"))
    flows.add_member(cast.app, Actor(cast.alice), erin, Role.objects.get(name="Application Operator"))
    for environment in (cast.test, cast.production):
        cast.grant(erin, environment, Permission.TRANSPORT, Permission.BACKUPS)
        cast.grant(cast.bob, environment, Permission.MONITORING)
    package = Package.objects.create(
        app=cast.app, name="calc", version="1.0.0", file="x.zip", size=1, sha256="0" * 64, manifest=MANIFEST
    )
    for environment in (cast.test, cast.production):
        done = {"kind": JobKind.TRANSPORT, "state": JobState.DONE, "package": package, "asker_name": "x"}
        Job.objects.create(environment=environment, number=1, **done)
        Backup.objects.create(environment=environment, number=1, expires_at=timezone.now(), **BACKUP[environment.slug])
        EventRun.objects.create(environment=environment, event="nightly", due_at=timezone.now(), state=RunState.DONE)
    people = {"dora": dora, "erin": erin} | {n: getattr(cast, n) for n in ("alice", "bob", "charlie", "sam")}
    browsers: dict[tuple[str, bool], Client] = {("anybody", False): Client()}
    for name, person in people.items():
        for window in (True, False):
            browsers[name, window] = signed_in(person)
            if window:
                unlock(browsers[name, window], person)
    end_user = Role.objects.get(name="End-user")
    invitation = invitations.invite(cast.app, Actor(cast.alice, via="shell"), "new@example.org", end_user)
    return World(cast, package, browsers, invitation.pk)


def expected(who: str, window: bool, audience: str, production: bool) -> str:
    """The contract's order of checks, written down once more: signed in, member, permitted, window."""
    if audience == PUBLIC:
        return "in"
    if who == "anybody":
        return "sign in"
    if audience == SIGNED_IN:
        return "in"
    if audience == WITH_WINDOW:
        return "in" if window else "code"
    if audience == STAFF:
        return "404" if who != "sam" else "in" if window else "code"
    if who in ("charlie", "sam"):
        return "404"
    if audience in (DEPLOYER, TRANSPORT, BACKUPS, MONITORING) and who == "dora":
        return "403"
    if (audience in (TRANSPORT, BACKUPS) and who == "bob") or (audience == MONITORING and who == "erin"):
        return "403"
    if audience in (TEAM, CONTACT) and who != "alice":
        return "403"
    if audience == BOB_TOO and who not in ("alice", "bob"):
        return "403"
    return "code" if production and not window else "in"


def met(answer: HttpResponse, name: str, audience: str, signed_in: bool) -> str:
    to = answer.headers.get("Location", "")
    if not signed_in and to.startswith("/sign-in/") and name != "accounts:sign_in":
        return "sign in"
    if to.startswith("/authenticator/?") and name != "accounts:set_up":
        return "code"
    if answer.status_code == 403 and audience != STAFF:  # the admin refuses by itself what staff lack a right for
        return "403"
    if answer.status_code == 404 and audience not in (PUBLIC, SIGNED_IN):
        return "404"
    assert answer.status_code < 500 or name == "readyz", (name, answer.status_code)
    return "in"


def ask(world: World, name: str, kwargs: dict[str, Any], audience: str, production: bool = False) -> None:
    path = "/" + _reverse(name, kwargs)
    for (who, window), browser in world.browsers.items():
        for method in ("get", "post"):
            send: Callable[..., Any] = getattr(browser, method)
            cookies = SimpleCookie(browser.cookies)
            with transaction.atomic():
                answer = send(path)
                transaction.set_rollback(True)
            browser.cookies = cookies
            meant = expected(who, window, audience, production)
            got = met(answer, name, audience, signed_in=who != "anybody")
            if audience == STAFF and meant == "in" and got == "404":
                continue  # the admin was reached and found no such row
            assert got == meant, f"{method.upper()} {path} as {who}, window {'open' if window else 'closed'}"


def _reverse(name: str, kwargs: dict[str, Any]) -> str:
    from django.urls import reverse

    return reverse(name, kwargs=kwargs).lstrip("/")


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_everybody_at(name: str, world: World) -> None:
    wanted = EVERY[name].pattern.converters
    known = {
        "app": "calc",
        "package": world.package.key,
        "number": 1,
        "event": "nightly",
        "day": "2026-01-01",
        "choice": "full",
        "backup": BACKUP["test"]["key"],
        "member": world.cast.membership(world.cast.bob).pk,
        "invitation": world.invitation,
        "waiting": uuid4(),
        "reference": uuid4(),
        "key": 1,
        "uidb64": "MQ",
        "token": "x-y",
    }
    for environment in ("test", "production") if "environment" in wanted else ("",):
        kwargs = {key: environment if key == "environment" else known[key] for key in _parameters(name)}
        ask(world, name, kwargs, ADDRESSES[name], production=environment == "production" or name in DECIDES_PRODUCTION)


def _parameters(name: str) -> list[str]:
    return list(EVERY[name].pattern.regex.groupindex)


@pytest.mark.parametrize("name", ADMIN)
def test_the_admin_is_for_staff_with_a_window(name: str, world: World) -> None:
    from django.contrib.contenttypes.models import ContentType

    values = {"content_type_id": ContentType.objects.first().pk, "app_label": "accounts"}  # type: ignore[union-attr]
    parameters = _parameters(name)
    if name.endswith(("None", ":")) or "url" in parameters:
        path = "/admin/does-not-exist/"
        assert world.browsers["sam", False].get(path).headers["Location"].startswith("/authenticator/?")
        assert world.browsers["alice", True].get(path).status_code == 404
        return
    ask(world, name, {key: values.get(key, "1") for key in parameters}, STAFF)


def test_no_address_is_left_out() -> None:
    assert {name for name in EVERY if not name.startswith(("admin:", API))} == set(ADDRESSES)


def test_addresses_of_other_apps_are_as_if_they_did_not_exist(world: World) -> None:
    """Ids of another app in the address: 404, like ids that never existed."""
    other = flows.create_app(Actor(world.cast.charlie), "Other", "other")
    theirs = Package.objects.create(
        app=other, name="o", version="1", file="y.zip", size=1, sha256="1" * 64, manifest=MANIFEST
    )
    alice = world.browsers["alice", True]
    for path in (
        "/apps/other/",
        f"/apps/calc/packages/{theirs.key}/",
        f"/apps/calc/packages/{theirs.key}/download/",
        f"/apps/calc/packages/{theirs.key}/delete/",
        f"/apps/calc/environments/test/transport/?package={theirs.key}",
        "/apps/calc/environments/nowhere/",
        "/apps/calc/environments/test/deployments/99/",
    ):
        assert alice.get(path).status_code == 404, path


def test_a_view_that_declares_nothing_is_refused(world: World, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.undeclared_urls"
    for browser in world.browsers.values():
        for method in ("get", "post"):
            assert getattr(browser, method)("/undeclared/").status_code == 403
            assert getattr(browser, method)("/apps/calc/environments/test/undeclared/").status_code in (302, 403, 404)
    assert world.browsers["alice", True].get("/apps/calc/environments/test/undeclared/").status_code == 403
