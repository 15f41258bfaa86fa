"""What a key proves and what it does not: apart from cookies, never in an address, dead with what it stands on."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as portal
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.acts import Act
from accounts.models import Activity, ProductionWindow, Session
from environments.models import ApiKey, Membership, Role
from environments.permissions import Permission
from portal.logs import Line
from tests.cast import signed_in, unlocked
from tests.deployments.api.client import ApiError, DeployClient
from tests.deployments.api.conftest import World, through_django
from tests.deployments.fakes import archive

APPS, ENVIRONMENTS = "/api/1/apps/", "/api/1/apps/calc/environments/"


def headers(client: DeployClient) -> dict[str, str]:
    return {"Mendix-Username": client.username, "Mendix-ApiKey": client.key}


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.content)["errorCode"]


UNAUTHORIZED = (401, "UNAUTHORIZED")


def test_a_session_cookie_never_authenticates_a_call(world: World) -> None:
    browser = unlocked(world.cast.alice)
    for path in (APPS, ENVIRONMENTS, "/api/1/apps/calc/environments/Production"):
        assert code_of(browser.get(path)) == UNAUTHORIZED
    assert code_of(browser.post("/api/1/apps/calc/environments/Test/stop")) == UNAUTHORIZED


def test_a_call_is_made_by_whom_the_key_names_whatever_the_cookies_say(world: World) -> None:
    client = world.client(world.cast.bob)
    browser = unlocked(world.cast.alice)
    client.send = through_django(browser)
    with pytest.raises(ApiError, match="You need Transport Rights"):
        client.stop("calc", "Test")
    with pytest.raises(ApiError, match="You need API Rights on Production"):
        client.environment("calc", "Production")
    entry = Activity.objects.filter(act=Act.REFUSED).latest("pk")
    assert (entry.actor_id, entry.via) == (world.cast.bob.pk, "API")


def test_a_key_opens_no_page_and_no_window(world: World) -> None:
    world.open_production(world.cast.alice)
    client = world.client(production=[world.cast.production])
    ProductionWindow.objects.all().delete()
    Session.objects.all().delete()
    for path in ("/", "/apps/calc/", "/account/keys/", "/authenticator/", "/apps/calc/environments/production/"):
        assert Client().get(path, headers=headers(client)).headers["Location"].startswith("/sign-in/")
    assert Client().get("/admin/", headers=headers(client)).status_code == 302
    bob = signed_in(world.cast.bob)
    assert bob.get("/apps/calc/environments/test/start/", headers=headers(client)).status_code == 403
    answer = bob.get("/apps/calc/environments/production/", headers=headers(client))
    assert answer.headers["Location"].startswith("/authenticator/")


def test_no_call_sets_or_reads_a_cookie_and_none_is_stored(world: World) -> None:
    client = world.client()
    browser = signed_in(world.cast.alice)
    before = browser.cookies.output()
    with CaptureQueriesContext(connection) as queries:
        answer = browser.get(APPS, headers=headers(client))
    assert answer.status_code == 200
    assert "session" not in str(queries.captured_queries)
    assert browser.cookies.output() == before
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_foreign_page_can_not_make_a_call(world: World) -> None:
    """The form that a foreign page sends has the person's cookies and no key."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(world.cast.alice)
    answer = browser.post(f"{ENVIRONMENTS}Test/stop", headers={"origin": "https://elsewhere.example.org"})
    assert code_of(answer) == UNAUTHORIZED
    assert browser.post("/apps/new/", {"name": "X"}).status_code == 403, "pages are checked as ever"


def test_the_same_answer_for_an_unknown_address_a_wrong_key_and_none(world: World) -> None:
    key, text = world.key()
    wrong = text[:-1] + ("0" if text[-1] != "0" else "1")
    answers, costs = [], []
    for username, sent in (
        ("alice@example.org", wrong),
        ("bob@example.org", text),
        ("nobody@example.org", text),
        ("nobody@example.org", "dp_ffffffff_x"),
        ("", ""),
        ("alice@example.org", ""),
        ("alice@example.org\udc80", "dp_\u00e9"),
    ):
        with CaptureQueriesContext(connection) as queries:
            answer = Client().get(APPS, headers={"Mendix-Username": username, "Mendix-ApiKey": sent})
        answers.append((answer.status_code, answer.content))
        costs.append(len(queries))
    assert {status for status, _ in answers} == {401}
    assert len({content for _, content in answers}) == 1
    assert costs[3:] == [2, 2, 2, 2], "whether the account exists or not"
    noted = Activity.objects.filter(act=Act.KEY_REFUSED)
    assert [(e.actor_id, e.target) for e in noted] == [
        (world.cast.alice.pk, f"CI 1 ({key.prefix}…) with a wrong secret or another e-mail address")
    ]


def test_header_names_in_any_case_and_values_with_trailing_blanks(world: World) -> None:
    client = world.client()
    for name, key in (("MENDIX-USERNAME", "mendix-apikey"), ("mendix-username", "Mendix-Apikey")):
        sent = {name: f" {client.username.upper()}  ", key: f"{client.key} \t"}
        assert Client().get(APPS, headers=sent).status_code == 200


def test_a_key_in_the_address_is_refused_whether_it_is_right_or_not(world: World) -> None:
    client = world.client()
    for name in ("api_key", "apikey", "Mendix-ApiKey", "apiKey", "x"):
        answer = Client().get(f"{APPS}?{name}={client.key}&username={client.username}", headers=headers(client))
        assert code_of(answer) == (400, "KEY_IN_URL")
        assert client.key not in answer.content.decode()
    for query in ("api_key=something", f"x={client.key}&x=1", client.key):
        assert code_of(Client().get(f"{APPS}?{query}", headers=headers(client))) == (400, "KEY_IN_URL")
    assert code_of(Client().get(f"{APPS}{client.key}", headers=headers(client))) == (400, "KEY_IN_URL")


def test_keys_are_masked_in_errors_and_in_logs(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = world.client()
    with pytest.raises(ApiError) as refusal:
        client.call("POST", f"{APPS}calc/environments/Test/settings/".removeprefix("/api/1/"), _with(client.key))
    assert client.key not in refusal.value.message
    assert client.key[:11] in refusal.value.message
    record = logging.LogRecord("x", logging.WARNING, "", 0, "Not Found: /%s and %s", (client.key, "dp_x"), None)
    line = Line("{message}", style="{").format(record)
    assert line == f"Not Found: /{client.key[:11]}… and dp_x"
    Client().get(f"/nothing/{client.key}")
    assert client.key not in "".join(Line("{message}", style="{").format(each) for each in caplog.records)
    formatters: Any = portal.LOGGING["formatters"]
    assert [formatter["()"] for formatter in formatters.values()] == ["portal.logs.Line"]


def _with(key: str) -> dict[str, Any]:
    return {"Constants": [{"Name": key, "Value": "x"}]}


class TestItDies:
    """Everything that a key stands on is read at each call."""

    @pytest.fixture
    def bob(self, world: World) -> DeployClient:
        world.cast.grant(world.cast.bob, world.cast.test, Permission.TRANSPORT)
        client = world.client(world.cast.bob)
        assert client.stop("calc", "Test") == {}
        return client

    def test_with_its_revocation(self, world: World, bob: DeployClient) -> None:
        ApiKey.objects.all().delete()
        with pytest.raises(ApiError, match="401 UNAUTHORIZED"):
            bob.apps()

    def test_with_its_last_day(self, world: World, bob: DeployClient) -> None:
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        with pytest.raises(ApiError, match="401 UNAUTHORIZED"):
            bob.apps()
        assert "has expired" in Activity.objects.get(act=Act.KEY_REFUSED).target

    def test_with_the_account(self, world: World, bob: DeployClient) -> None:
        world.cast.bob.is_active = False
        world.cast.bob.save()
        with pytest.raises(ApiError, match="401 UNAUTHORIZED"):
            bob.apps()

    def test_with_the_membership(self, world: World, bob: DeployClient) -> None:
        Membership.objects.filter(user=world.cast.bob).delete()
        assert bob.apps() == []
        with pytest.raises(ApiError, match="404 APP_NOT_FOUND"):
            bob.stop("calc", "Test")

    def test_with_the_role(self, world: World, bob: DeployClient) -> None:
        Membership.objects.filter(user=world.cast.bob).update(role=Role.objects.get(name="End-user"))
        with pytest.raises(ApiError, match="403 NO_ACCESS: Your role in Calc does not carry the deploy permission"):
            bob.stop("calc", "Test")
        with pytest.raises(ApiError, match="403 NO_ACCESS"):
            bob.upload_bare("calc", "a.zip", archive().read())
        assert len(bob.environments("calc")) == 3, "the overview stays"

    def test_with_the_permission(self, world: World, bob: DeployClient) -> None:
        world.cast.membership(world.cast.bob).node_permissions.all().delete()
        with pytest.raises(ApiError, match="403 NO_ACCESS: You need Transport Rights"):
            bob.stop("calc", "Test")

    @pytest.mark.parametrize("how", ["revoked", "API Rights", "Transport Rights"])
    def test_and_with_it_what_waits(self, world: World, bob: DeployClient, how: str) -> None:
        bob.transport("calc", "Test", str(world.old.key))
        member = world.cast.membership(world.cast.bob)
        if how == "revoked":
            ApiKey.objects.all().delete()
        elif how == "API Rights":
            member.node_permissions.create(
                environment=world.cast.test, permission=Permission.API, granted=False, set_by="Alice"
            )
        else:
            member.node_permissions.all().delete()
        world.work()
        assert world.jobs() == ["transport cancelled"]
        assert not world.runtime.specs

    def test_but_what_waits_outlives_its_last_day(self, world: World, bob: DeployClient) -> None:
        bob.transport("calc", "Test", str(world.old.key))
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        world.work()
        assert world.jobs() == ["transport done"]

    def test_an_upload_whose_key_is_revoked_meanwhile_is_refused_at_its_end(
        self, world: World, bob: DeployClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from deployments.api import uploads

        complete = uploads._complete
        monkeypatch.setattr(uploads, "_complete", lambda *a: (ApiKey.objects.all().delete(), complete(*a))[1])
        with pytest.raises(ApiError, match="403 NO_ACCESS: This API key was revoked"):
            bob.upload_bare("calc", "a.zip", archive("9.0.0").read())
        assert world.cast.app.packages.count() == 2


def test_last_use_is_known_to_the_minute(world: World) -> None:
    key, text = world.key()
    client = DeployClient(through_django(), "alice@example.org", text)
    client.apps()
    key.refresh_from_db()
    assert key.last_used_at
    assert key.last_used_from == "127.0.0.1"
    with CaptureQueriesContext(connection) as queries:
        client.apps()
    assert not [q for q in queries.captured_queries if q["sql"].startswith("UPDATE")]


def test_a_key_that_asks_too_often_waits_and_others_do_not(world: World, settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE, settings.WEB_WORKERS = 6, 2
    client, other = world.client(), world.client()
    for _ in range(3):
        assert client.apps()
    answer = Client().get(APPS, headers=headers(client))
    assert code_of(answer) == (429, "TOO_MANY_REQUESTS")
    assert 15 <= int(answer.headers["Retry-After"]) <= 20
    assert other.apps()
    elsewhere = Client().get(APPS, headers=headers(client), REMOTE_ADDR="203.0.113.9")
    assert elsewhere.status_code == 200, "a thief can't keep the owner out"


def test_wrong_keys_from_an_address_wait_and_right_ones_pass(world: World, settings: Any) -> None:
    settings.API_WRONG_KEYS_PER_MINUTE, settings.WEB_WORKERS = 2, 1
    client = world.client()
    wrong = DeployClient(client.send, "alice@example.org", "dp_00000000_0")
    for _ in range(2):
        with pytest.raises(ApiError, match="401"):
            wrong.apps()
    with pytest.raises(ApiError, match="429 TOO_MANY_REQUESTS"):
        wrong.apps()
    assert client.apps()


def test_a_view_below_the_apis_address_that_declares_nothing_of_it_is_refused(world: World, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.undeclared_urls"
    client = world.client()
    for browser in (Client(), unlocked(world.cast.alice)):
        for path in ("/api/1/undeclared/", "/api/1/for-browsers/", "/a-call-elsewhere/"):
            for method in ("get", "post"):
                answer = getattr(browser, method)(path, headers=headers(client))
                assert answer.status_code == 403, path
                assert b"reached" not in answer.content


def test_what_is_not_there_is_an_error_object(world: World) -> None:
    for path in ("/api/1/", "/api/1/nothing/", "/api/2/apps/", "/api/x", "/api/1/apps/calc/environments/Test/fly"):
        assert code_of(Client().get(path)) == (404, "NOT_FOUND"), path
    assert code_of(Client().get("/api/1/apps/%00/")) == (400, "INVALID_REQUEST")
    client = world.client()
    answer = Client().put(f"{ENVIRONMENTS}Test/start", headers=headers(client))
    assert code_of(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST"


def test_a_failure_of_the_portal_is_an_error_object_that_says_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from deployments.api import app_calls

    def broken(*_: Any) -> Any:
        raise RuntimeError("the database password is hunter2")

    monkeypatch.setattr(app_calls, "environment_answer", broken)
    with pytest.raises(ApiError, match="500 INTERNAL_SERVER_ERROR") as refusal:
        world.client().environments("calc")
    assert "hunter2" not in refusal.value.message
    assert "hunter2" in caplog.text


def test_activity_shows_what_was_done_by_the_api_with_the_key(world: World) -> None:
    client = world.client()
    client.transport("calc", "Test", str(world.old.key))
    world.work()
    key = world.made[0]
    entries = Activity.objects.filter(act__in=(Act.TRANSPORT_ASKED, Act.JOB_DONE)).order_by("pk")
    assert [(e.via, e.key) for e in entries] == [("API", f"CI 1 ({key.prefix}…)"), ("worker", f"CI 1 ({key.prefix}…)")]
    browser = signed_in(world.cast.bob)
    for address in ("/apps/calc/activity/", "/apps/calc/environments/test/deployments/1/"):
        page = browser.get(address).content.decode()
        assert f"by the Deploy API, key CI 1 ({key.prefix}…)" in page
        assert client.key not in page
    assert "by the Deploy API" in browser.get("/apps/calc/environments/test/deployments/").content.decode()
