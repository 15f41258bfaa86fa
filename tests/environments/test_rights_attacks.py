"""The attacks on rights that must fail (SECURITY.md, "Rights"), a test for each clause, through the pages.

Every form of an app is sent twice, as its page sends it and with what an attacker would add; both must end the same.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as Right
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import Activity, ProductionWindow, Session, User
from deployments.manifests import Manifest
from deployments.models import Backup, EnvironmentOptions, Job, Live, Package
from deployments.states import BackupKind, BackupState, EnvironmentState, JobKind, JobState
from environments import contact, flows, invitations
from environments.access import may
from environments.models import App, Environment, HandOver, Invitation, Membership, NodePermission, Role
from environments.permissions import Permission
from environments.settings_flows import fingerprint
from tests.cast import Cast, make_person, signed_in, unlocked
from tests.deployments.fakes import archive
from tests.deployments.test_options_page import form_of
from tests.test_access_matrix import EVERY as EVERY_ADDRESS

TOKEN = "a-link-that-the-test-knows"
PASSWORDS = {"new_password1": "seven green bottles", "new_password2": "seven green bottles"}
# Addresses below an app that have no form; whatever is sent there changes nothing
# Pages; the calls of the Deploy API take no cookie and have their own matrix (tests/deployments/api/test_access.py)
EVERY = {name: entry for name, entry in EVERY_ADDRESS.items() if not name.startswith("api:")}
WITHOUT_FORM = {
    *("environments:activity", "environments:activity_csv", "environments:environment_activity", "environments:team"),
    *("environments:invitations", "environments:person", "environments:production_access"),
    *("environments:permissions_csv", "environments:permissions_start", "environments:hand_over"),
    *("deployments:app", "deployments:packages", "deployments:package", "deployments:download"),
    *("deployments:environment", "deployments:deployments", "deployments:job", "deployments:event"),
    *("deployments:alerts", "deployments:backups", "deployments:backup", "deployments:download_backup"),
    *("deployments:logs", "deployments:log_lines", "deployments:log_days", "deployments:log_day"),
    "deployments:metrics",
}


@dataclass
class Form:
    """Who sends what where, as the page does it. `environment` is the one in the address, if any."""

    fields: dict[str, Any] = field(default_factory=dict)
    by: str = "alice"
    environment: str = "test"
    app: str = "calc"
    number: int = 3


@dataclass
class World:
    """Calc, with an offer to Bob, an invitation, packages and jobs; and Other, an app of Charlie's, with the same."""

    cast: Cast
    erin: User
    other: App
    calc: dict[str, Any]
    foreign: dict[str, Any]

    def browser(self, name: str) -> Client:
        browser = unlocked(self.erin if name == "erin" else getattr(self.cast, name))
        browser.get("/account/")  # which says once that the authenticator is set up
        return browser

    def path(self, name: str, **changed: Any) -> str:
        wanted = EVERY[name].pattern.regex.groupindex
        return reverse(name, kwargs={key: value for key, value in (self.calc | changed).items() if key in wanted})


def furnish(app: App, contact_: User, member: User, monkeypatch: pytest.MonkeyPatch, token: str) -> dict[str, Any]:
    """Put one of everything that has an id into an app; gives what stands in its addresses."""
    by, test = Actor(contact_, via="shell"), app.environments.get(slug="test")
    place = app.memberships.get(user=member)
    contact.offer(app, by, place)
    with monkeypatch.context() as known:
        known.setattr("secrets.token_urlsafe", lambda *_: token)
        invited = invitations.invite(app, by, f"{token[:5]}@example.org", Role.objects.get(name="End-user"))
    spare, old, new = (
        Package.objects.create(
            app=app, name=app.slug, version=version, file=f"{app.slug}-{version}.zip", size=1,
            sha256=uuid4().hex * 2, manifest=Manifest("true").as_dict(), uploader_name=contact_.name,
        )
        for version in ("0.9.0", "1.0.0", "1.1.0")
    )  # fmt: skip
    for slug, package, state in (
        ("test", new, EnvironmentState.RUNNING),
        ("acceptance", old, EnvironmentState.STOPPED),
    ):
        there = {"package": package, "state": state}
        Live.objects.update_or_create(environment=app.environments.get(slug=slug), defaults=there)
    production = app.environments.get(slug="production")
    for where, number, kind, brought, outcome in (
        (test, 1, JobKind.TRANSPORT, old, JobState.DONE),
        (test, 2, JobKind.TRANSPORT, new, JobState.DONE),
        (production, 3, JobKind.RESTART, None, JobState.QUEUED),
    ):
        Job.objects.create(
            environment=where, number=number, kind=kind, state=outcome, package=brought,
            package_name=str(brought or ""), asker_name=contact_.name, via="browser",
        )  # fmt: skip
    kept = Backup.objects.create(
        environment=test, number=3, kind=BackupKind.MANUAL, state=BackupState.COMPLETED, creator_name=contact_.name,
        expires_at=timezone.now() + timedelta(days=14), files="there.tar", files_size=1,
    )  # fmt: skip
    return {
        "app": app.slug, "environment": "test", "member": place.pk, "invitation": invited.pk, "package": spare.key,
        "number": 3, "event": "nightly", "token": token,
        "backup": kept.key, "choice": "full", "day": "2026-03-01",
    }  # fmt: skip


@pytest.fixture
def world(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> World:
    erin, tom = make_person("erin"), make_person("tom")
    flows.add_member(cast.app, Actor(cast.alice, via="shell"), erin, Role.objects.get(name="Application Operator"))
    cast.grant(erin, cast.test, Permission.MANAGE, Permission.TRANSPORT)
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    flows.add_member(other, Actor(cast.charlie), tom, Role.objects.get(name="Business Engineer"))
    other.environments.create(slug="secret", name="Secret-environment")
    cast.app.environments.create(slug="drafts", name="Drafts")
    flows.create_app(Actor(cast.alice), "Spare", "spare")
    calc = furnish(cast.app, cast.alice, cast.bob, monkeypatch, TOKEN)
    return World(cast, erin, other, calc, furnish(other, cast.charlie, tom, monkeypatch, "other-link"))


def forms(world: World) -> dict[str, Form]:
    """Every form of an app, by the name of its address."""
    end_user, bob = Role.objects.get(name="End-user").pk, world.calc["member"]
    return {
        "environments:new_app": Form({"name": "New", "slug": "new-one"}),
        "environments:settings": Form(
            {"name": "Calculator", "description": "", "colour": "red", "seen": fingerprint(world.cast.app)}
        ),
        "environments:add_environment": Form({"name": "Demo"}),
        "environments:order_environments": Form({"move": "down test", "order": "test acceptance production drafts"}),
        "environments:rename_environment": Form({"name": "Trial", "seen": "Test"}),
        "environments:invitation": Form({"name": "New", **PASSWORDS}, by="anybody"),
        "environments:leave": Form(by="bob"),
        "environments:change_role": Form({"role": end_user}),
        "environments:remove_member": Form(),
        "environments:invite": Form({"email": "new@example.org", "role": end_user}),
        "environments:send_again": Form(),
        "environments:withdraw": Form(),
        "environments:permissions": Form({f"seen-{bob}-transport": "0", f"{bob}-transport": "on"}),
        "environments:offer_hand_over": Form({"name": "Calc"}),
        "environments:withdraw_hand_over": Form(),
        "environments:accept_hand_over": Form(by="bob"),
        "environments:decline_hand_over": Form(by="bob"),
        "deployments:delete_app": Form({"name": "Spare"}, app="spare"),
        "deployments:delete_environment": Form({"name": "Drafts"}, environment="drafts"),
        "deployments:upload": Form({"file": archive(version="3.0.0")}),
        "deployments:delete_package": Form(),
        "deployments:transport": Form({"package": world.calc["package"]}, environment="production"),
        "deployments:start": Form(environment="acceptance"),
        "deployments:stop": Form(),
        "deployments:restart": Form(),
        "deployments:clear": Form({"name": "Acceptance"}, environment="acceptance"),
        "deployments:options": Form({"new-name-1": "COLOUR", "new-value-1": "blue"}),
        "deployments:cancel": Form(environment="production"),
        "deployments:roll_back": Form(number=1),
        "deployments:create_backup": Form({"comment": "Before the sale"}),
        "deployments:upload_data": Form({"file": archive(version="3.0.0")}),
        "deployments:restore": Form({"name": "Acceptance", "back_up": "on"}, environment="acceptance"),
    }


def forged(world: World) -> dict[str, Any]:
    """What an attacker adds to a form: every column that means a right, an owner or a place, and every permission."""
    production, other = world.cast.production.pk, world.other.pk
    master = Role.objects.get(name="SCRUM Master").pk
    extra = {
        **dict.fromkeys(("app", "app_id", "project_id", "from_app"), other),
        **dict.fromkeys(("environment", "environment_id", "live"), production),
        **dict.fromkeys(("technical_contact", "technical_contact_id", "contact"), world.erin.pk),
        **dict.fromkeys(("user", "user_id", "person", "actor", "asker", "asker_id", "uploaded_by"), world.erin.pk),
        **dict.fromkeys(("offered_to", "offered_to_id", "membership", "member", "members"), world.foreign["member"]),
        **dict.fromkeys(("offered_by", "offered_by_id", "invited_by", "invited_by_id", "successor"), world.erin.pk),
        **dict.fromkeys(("role", "role_id", "groups", "user_permissions"), master),
        **dict.fromkeys(("is_production", "is_staff", "is_superuser", "is_active", "granted", "deploys"), "on"),
        **dict.fromkeys(("manages_team", "confirmed", "blocked_at", "production", "may_transport"), "on"),
        **dict.fromkeys(("permission", "permissions", "kind", "state"), "manage"),
        **dict.fromkeys(("slug", "host", "email", "set_by", "asker_name", "uploader_name"), "forged"),
        **dict.fromkeys(("expires_at", "offered_at", "sent_at", "since", "created_at"), "2099-01-01"),
        "link": "0" * 64, "sha256": "0" * 64, "window": str(uuid4()), "via": "shell", "pk": 1, "id": 1,
    }  # fmt: skip
    for member in (*Membership.objects.values_list("pk", flat=True), 999_999):
        for permission in ("root", "admin", "is_production"):
            extra |= {f"{member}-{permission}": "on", f"seen-{member}-{permission}": "0"}
    return extra


def cells(*members: int) -> dict[str, str]:
    """Every permission of these members ticked, as if each had been off."""
    names = [f"{member}-{permission}" for member in members for permission in Permission]
    return dict.fromkeys(names, "on") | {f"seen-{name}": "0" for name in names}


def rights() -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the database that means a right, an owner or a place, in words that outlive a new id."""
    tables: dict[str, Any] = {
        "apps": App.objects.values_list("slug", "name", "description", "colour", "technical_contact__email"),
        "environments": Environment.objects.values_list(
            *("app__slug", "slug", "name", "is_production", "order", "host")
        ),
        "members": Membership.objects.values_list("app__slug", "user__email", "role__name"),
        "permissions": NodePermission.objects.values_list(
            *("environment__app__slug", "environment__slug", "membership__user__email", "permission", "granted"),
            "set_by",
        ),
        "roles": Role.objects.values_list("name", "deploys", "manages_team", "order"),
        "people": User.objects.values_list("email", "name", "is_active", "is_staff", "is_superuser", "groups__name"),
        "rights of people": User.user_permissions.through.objects.values_list("user__email", "permission__codename"),
        "options": EnvironmentOptions.objects.values_list("environment__host", "revision", "changed_by"),
        "offers": HandOver.objects.values_list("app__slug", "offered_by__email", "offered_to__user__email"),
        "invitations": Invitation.objects.values_list("app__slug", "email", "role__name", "invited_by__email"),
        "packages": Package.objects.values_list("app__slug", "name", "version", "uploader_name"),
        "jobs": Job.objects.values_list(
            *("environment__app__slug", "environment__slug", "number", "kind", "state", "package__version"),
            *("asker_name", "via"),
        ),
        "record": Activity.objects.exclude(
            act__in=(Act.REFUSED, Act.PERMISSIONS_EXPORTED, Act.ACTIVITY_EXPORTED)
        ).values_list(*("act", "actor_name", "target", "app_name", "environment_name")),
        "windows": ProductionWindow.objects.values_list("user__email", "ended_why"),
    }
    return {name: sorted(map(tuple, rows), key=repr) for name, rows in tables.items()}


def send(browser: Client, path: str, fields: dict[str, Any]) -> tuple[int, dict[str, list[tuple[Any, ...]]]]:
    """Send a form; gives the answer's code and what is true then, and takes all of it back."""
    file = fields.get("file")
    if file:
        file.seek(0)
    with transaction.atomic():
        answer = browser.post(path, fields)
        after = rights()
        transaction.set_rollback(True)
    return answer.status_code, after


# "The person, app and environment of a form come from the URL"


def test_the_list_of_forms_is_whole(world: World) -> None:
    below = {name for name, entry in EVERY.items() if "app" in entry.pattern.regex.groupindex}
    unknown = {name for name in below if not name.startswith("admin:")} - set(forms(world)) - WITHOUT_FORM
    assert not unknown, f"Say in `forms` what the form of {unknown} sends, or list them in WITHOUT_FORM."


def test_person_app_and_environment_of_a_form_come_from_the_url(world: World) -> None:
    browsers = {name: world.browser(name) for name in ("alice", "bob")}
    before, extra = rights(), forged(world)
    for name, form in forms(world).items():
        path = world.path(name, app=form.app, environment=form.environment, number=form.number)
        if name == "deployments:options":
            form.fields = form_of(browsers["alice"], path) | form.fields  # this one is told by what it leaves out
        honest = send(browsers.get(form.by, Client()), path, form.fields)
        attacked = send(browsers.get(form.by, Client()), path, extra | form.fields)
        assert attacked == honest, name
        assert honest[1] != before, f"{name} does nothing, so it proves nothing"
    assert rights() == before


def test_where_there_is_no_form_nothing_that_is_sent_counts(world: World) -> None:
    alice = world.browser("alice")
    before, extra = rights(), forged(world)
    for name in sorted(WITHOUT_FORM):
        assert send(alice, world.path(name), extra)[1] == before, name


# "only the listed booleans are read"


def test_only_the_listed_booleans_are_read(world: World) -> None:
    cast, alice = world.cast, world.browser("alice")
    bob, path = world.calc["member"], world.path("environments:permissions")
    before = rights()
    for fields in (
        {f"{bob}-transport": "on"},  # without what the page had shown
        {f"{bob}-transport": "on", f"seen-{bob}-transport": "yes"},
        {f"{bob}-transport": "on", f"seen-{bob}-transport": ""},
        {f"{bob}-root": "on", f"seen-{bob}-root": "0"},
        {f"{bob}-TRANSPORT": "on", f"seen-{bob}-TRANSPORT": "0"},
        {f"{bob} -transport": "on", f"seen-{bob} -transport": "0"},
        {f"0{bob}-transport": "on", f"seen-0{bob}-transport": "0"},
        {"transport": "on", "seen-transport": "0", "granted": "on", "permission": "transport", "member": bob},
    ):
        assert send(alice, path, fields)[1] == before, fields
    shown = {f"seen-{bob}-transport": "0", f"{bob}-transport": "anything"}
    assert send(alice, path, shown)[1] != before
    assert not may(cast.bob, cast.test, Permission.TRANSPORT)


# "ids of other apps anywhere (URL, body, formset, export) are 404 like ids that never existed"


NEVER = {
    "member": 999_999,
    "invitation": 999_999,
    "package": uuid4(),
    "backup": uuid4(),
    "number": 99,
    "environment": "nowhere",
}
FOREIGN = {"environment": "secret"}


def by_id() -> Iterator[tuple[str, str]]:
    for name, entry in sorted(EVERY.items()):
        wanted = entry.pattern.regex.groupindex
        yield from ((name, key) for key in NEVER if "app" in wanted and key in wanted and not name.startswith("admin:"))


def told(answer: Any) -> str:
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())


def test_ids_of_other_apps_in_the_url_are_404_like_ids_that_never_existed(world: World) -> None:
    alice = world.browser("alice")
    other_job = Job.objects.get(environment__app=world.other, number=3)
    Job.objects.filter(pk=other_job.pk).update(number=98)
    foreign = (
        {key: world.foreign[key] for key in ("member", "invitation", "package", "backup")} | FOREIGN | {"number": 98}
    )
    assert len(list(by_id())) > 25
    for name, key in by_id():
        for method in (alice.get, alice.post):
            theirs = method(world.path(name, **{key: foreign[key]}))
            never = method(world.path(name, **{key: NEVER[key]}))
            assert theirs.status_code == never.status_code, (name, key)
            assert theirs.status_code in (404, 405), (name, key)  # 405: a download is never sent a form
            assert told(theirs) == told(never), (name, key)


def test_another_app_in_the_url_is_404_like_one_that_never_existed(world: World) -> None:
    alice = world.browser("alice")
    for name, entry in sorted(EVERY.items()):
        if "app" not in entry.pattern.regex.groupindex or name.startswith("admin:"):
            continue
        for method in (alice.get, alice.post):
            theirs, never = method(world.path(name, app="other")), method(world.path(name, app="never-was"))
            assert theirs.status_code == never.status_code == 404, name
            assert told(theirs) == told(never), name


def test_ids_of_other_apps_in_a_body_are_like_ids_that_never_existed(world: World) -> None:
    alice = world.browser("alice")
    before = rights()
    theirs, never = world.foreign["member"], 999_999
    permissions = world.path("environments:permissions")
    assert send(alice, permissions, cells(theirs)) == send(alice, permissions, cells(never))
    transport = world.path("deployments:transport")
    answers = [alice.post(transport, {"package": key}) for key in (world.foreign["package"], uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert told(answers[0]) == told(answers[1])
    order = world.path("environments:order_environments")
    for slug in ("secret", "nowhere"):
        fields = {"move": f"up {slug}", "order": "test acceptance production drafts"}
        assert send(alice, order, fields)[1] == before
        assert send(alice, order, fields | {"order": f"test acceptance production drafts {slug}"})[1] == before
    assert rights() == before


def test_ids_of_other_apps_in_a_query_show_nothing_of_theirs(world: World) -> None:
    alice, secret = world.browser("alice"), world.other.environments.get(slug="secret")
    queries: tuple[tuple[str, dict[str, Any]], ...] = (
        ("deployments:transport", {"package": world.foreign["package"]}),
        ("environments:activity", {"environment": secret.pk}),
        ("environments:activity", {"person": "tom@example.org"}),
        ("environments:activity", {"person": "Charlie"}),
        ("environments:team", {"q": "tom"}),
        ("environments:hand_over", {"q": "tom"}),
        ("environments:permissions", {"q": "tom"}),
        ("environments:production_access", {"q": "tom"}),
        ("deployments:packages", {"q": "other"}),
    )
    for name, query in queries:
        page = alice.get(world.path(name), query).content.decode()
        assert not [word for word in ("Tom", "Secret-environment", "other 1") if word in page], (name, query)


def test_exports_hold_nothing_of_other_apps(world: World) -> None:
    alice, secret = world.browser("alice"), world.other.environments.get(slug="secret")
    queries: tuple[tuple[str, dict[str, Any]], ...] = (
        ("environments:permissions_csv", {}),
        ("environments:permissions_csv", {"app": "other", "environment": secret.pk}),
        ("environments:activity_csv", {}),
        ("environments:activity_csv", {"environment": secret.pk, "app": world.other.pk}),
    )
    for name, query in queries:
        answer: Any = alice.get(world.path(name), query)
        text = b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
        rows = list(csv.reader(text.lstrip("\ufeff").splitlines(), strict=answer.status_code == 200))
        assert rows or answer.status_code == 302  # to the page, which says what is wrong
        assert not [word for word in ("Other", "Charlie", "Tom", "Secret") if word in text], (name, query)


# "Manage Permissions: not for oneself, not Manage itself, not the Technical Contact, not another environment"


def changed_by_erin(world: World, where: Environment, who: User) -> set[str]:
    """Let Erin, who holds Manage Permissions on Test, change each permission of somebody; gives what was changed."""
    erin, member = world.browser("erin"), world.cast.membership(who)
    path, changed, before = world.path("environments:permissions", environment=where.slug), set(), rights()
    for permission in Permission:
        name = f"{member.pk}-{permission}"
        shown = may(who, where, permission)
        fields = {f"seen-{name}": "1", **({} if shown else {f"seen-{name}": "0", name: "on"})}
        if send(erin, path, fields)[1]["permissions"] != before["permissions"]:
            changed.add(permission.value)
    return changed


def test_manage_permissions_is_good_for_others_on_its_environment(world: World) -> None:
    """The control: without it the tests below would prove nothing."""
    changed = changed_by_erin(world, world.cast.test, world.cast.bob)
    assert changed == {"transport", "backups", "monitoring", "alerts", "api"}


def test_manage_permissions_is_not_for_oneself(world: World) -> None:
    # Receive Alerts is everybody's own to switch
    assert changed_by_erin(world, world.cast.test, world.erin) == {"alerts"}


def test_manage_permissions_does_not_grant_manage_itself(world: World) -> None:
    assert "manage" not in changed_by_erin(world, world.cast.test, world.cast.bob)
    alone = {f"seen-{world.calc['member']}-manage": "0", f"{world.calc['member']}-manage": "on"}
    erin, before = world.browser("erin"), rights()
    assert send(erin, world.path("environments:permissions"), alone)[1]["permissions"] == before["permissions"]


def test_manage_permissions_does_not_touch_the_technical_contact(world: World) -> None:
    alice = world.cast.membership(world.cast.alice)
    off = {f"seen-{alice.pk}-{permission}": "1" for permission in Permission}
    erin, path = world.browser("erin"), world.path("environments:permissions")
    before = rights()
    assert send(erin, path, off)[1] == before
    assert changed_by_erin(world, world.cast.test, world.cast.alice) == set()


@pytest.mark.parametrize("where", ["acceptance", "production"])
def test_manage_permissions_does_not_reach_another_environment(world: World, where: str) -> None:
    assert changed_by_erin(world, getattr(world.cast, where), world.cast.bob) == set()


# "nobody in the app can change an environment's type"


def test_nobody_in_the_app_can_change_an_environments_type(world: World) -> None:
    types = dict(Environment.objects.values_list("host", "is_production"))
    production, test = world.cast.production, world.cast.test
    shown = {"environment": "production", "is_production": "", "type": "ordinary"}
    browser = world.browser("alice")
    for name, form in forms(world).items():
        if form.by != "alice" or not name.startswith("environments:"):
            continue
        for value in ("on", ""):
            fields = {"is_production": value, "production": value, "type": value} | form.fields
            after = send(browser, world.path(name), fields)[1]["environments"]
            for app, slug, _, is_production, _, host in after:
                assert is_production == types.get(host, (app, slug) == ("new-one", "production")), (name, host)
    for environment in (production, test):
        for page in ("change", "type"):
            path = f"/admin/environments/environment/{environment.pk}/{page}/"
            assert browser.post(path, shown | {"reason": "Let me in."}).status_code == 404
    renamed = world.path("environments:rename_environment")
    answer = browser.post(renamed, {"name": "Production", "seen": "Test"})
    assert answer.status_code == 400
    assert dict(Environment.objects.values_list("host", "is_production")) == types


# "Transfers of the Technical Contact role at the same moment: one wins; always exactly one, never without deploy
# permission": with real threads in test_hand_over_races.py; here, what would leave an app with none


def test_there_is_always_exactly_one_technical_contact_never_without_deploy_permission(world: World) -> None:
    alice = world.cast.membership(world.cast.alice)
    boss = make_person("boss")
    User.objects.filter(pk=boss.pk).update(is_staff=True, is_superuser=True)
    flows.add_member(world.cast.app, Actor(world.cast.alice), make_person("max"), Role.objects.get(name="SCRUM Master"))
    before = rights()
    end_user = Role.objects.get(name="End-user").pk
    browser, operator = world.browser("alice"), unlocked(User.objects.get(pk=boss.pk))
    manager = unlocked(User.objects.get(email="max@example.org"))
    master = Role.objects.get(name="SCRUM Master")
    for sender, path, fields in (
        (browser, world.path("environments:leave"), {}),
        (browser, world.path("environments:change_role", member=alice.pk), {"role": end_user}),
        (manager, world.path("environments:change_role", member=alice.pk), {"role": end_user}),
        (manager, world.path("environments:remove_member", member=alice.pk), {}),
        (browser, world.path("environments:offer_hand_over", member=alice.pk), {"name": "Calc"}),
        (manager, world.path("environments:offer_hand_over"), {"name": "Calc"}),
        (manager, world.path("environments:accept_hand_over"), {}),
        (operator, f"/admin/environments/role/{master.pk}/change/", {"name": "SCRUM Master", "order": 0}),
        (operator, f"/admin/environments/app/{world.cast.app.pk}/appoint/", {"successor": "bob@example.org",
                                                                             "reason": "I want it so."}),
    ):  # fmt: skip
        after = send(sender, path, fields)[1]
        assert {key: after[key] for key in ("apps", "members", "roles")} == {
            key: before[key] for key in ("apps", "members", "roles")
        }, path


# "An account that must be stopped is deactivated at once, Technical Contact or not; support appoints the successor"


def test_an_account_that_must_be_stopped_is_deactivated_at_once(world: World) -> None:
    boss = make_person("boss")
    User.objects.filter(pk=boss.pk).update(is_staff=True, is_superuser=True)
    operator = unlocked(User.objects.get(pk=boss.pk))
    for person in (world.cast.alice, world.cast.bob):
        browser = unlocked(person)
        kept = {"name": person.name, "email": person.email}
        operator.post(f"/admin/accounts/user/{person.pk}/change/", kept)
        assert not Session.objects.filter(user=person).exists()
        assert not ProductionWindow.objects.filter(user=person, ended_at=None).exists()
        assert browser.get("/apps/calc/").headers["Location"].startswith("/sign-in/")
        assert not may(person, world.cast.test, Permission.TRANSPORT)


def test_support_appoints_the_successor_and_nobody_else_does(world: World) -> None:
    User.objects.filter(pk=world.cast.alice.pk).update(is_active=False)
    path, fields = f"/admin/environments/app/{world.cast.app.pk}/appoint/", {"reason": "Alice left the company."}
    for person in (world.cast.bob, world.erin, world.cast.charlie):
        browser = unlocked(person)
        assert send(browser, path, fields | {"successor": person.email}) == (404, rights())
    plain = make_person("plain")
    User.objects.filter(pk=plain.pk).update(is_staff=True)
    assert send(unlocked(User.objects.get(pk=plain.pk)), path, fields | {"successor": "bob@example.org"})[0] == 403
    plain.user_permissions.set(Right.objects.filter(codename__in=("change_app", "view_app")))
    plain.groups.set(Group.objects.exclude(name="Support"))
    assert send(unlocked(User.objects.get(pk=plain.pk)), path, fields | {"successor": "bob@example.org"})[0] == 403
    unlocked(world.cast.sam).post(path, fields | {"successor": "bob@example.org", "technical_contact": world.erin.pk})
    assert App.objects.get(slug="calc").technical_contact == world.cast.bob
    assert signed_in(world.cast.bob).get("/apps/calc/").status_code == 200
