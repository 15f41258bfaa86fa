"""The pages of apps, packages, environments and jobs: what they show, to whom, and what they cost."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actor import Actor
from accounts.models import Activity, Interrupted, ProductionWindow
from deployments.flows import request_job
from deployments.models import Job, Live, Package
from deployments.states import JobKind
from deployments.worker import Worker
from environments import flows
from environments.models import Environment, Role
from environments.permissions import Permission
from tests.cast import Cast, signed_in, unlock, unlocked
from tests.deployments.fakes import FakeRuntime, make_package

APP = "/apps/calc/"
TEST, PRODUCTION = APP + "environments/test/", APP + "environments/production/"


def text(answer: Any) -> str:
    return str(answer.content.decode())


def on_test(cast: Cast, version: str = "1.0.0", web: str = "python3 app.py") -> Job:
    package = make_package(cast.app, cast.alice, version, web)
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    runtime = FakeRuntime()
    runtime.dying.add("python3 dying.py")
    Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


def test_the_app_shows_what_is_where_the_packages_and_what_happened(cast: Cast) -> None:
    on_test(cast)
    page = text(signed_in(cast.bob).get(APP))
    assert "1.0.0" in page
    assert "Running" in page
    assert "http://test--calc.apps.localhost" in page
    assert page.count("No package was transported here yet.") == 2
    assert "Needs a code" in page
    assert "Completed: Transport calc 1.0.0 to Test" in page


def test_lists_of_packages_do_not_read_what_each_says_of_itself(cast: Cast) -> None:
    """That may be a megabyte each."""
    make_package(cast.app, cast.alice)
    client = signed_in(cast.alice)
    for address in (APP, APP + "packages/", TEST + "transport/"):
        with CaptureQueriesContext(connection) as queries:
            assert "calc" in text(client.get(address))
        whole = [query["sql"] for query in queries if '"manifest"' in query["sql"] and "live" not in query["sql"]]
        assert not whole, address


def test_a_job_says_under_which_authorisation_it_was_asked_for(cast: Cast) -> None:
    """On what became production later, too: what was asked for before was asked for without a code."""
    job, client = on_test(cast), unlocked(cast.alice)
    address = f"{TEST}deployments/{job.number}/"
    assert "Transport Rights; no code is needed here" in text(client.get(address))
    Environment.objects.filter(pk=cast.test.pk).update(is_production=True)
    assert "Transport Rights, without a code" in text(client.get(address))
    Job.objects.filter(pk=job.pk).update(via="API", key_name="ci (dp_1…)")
    assert "The API key ci (dp_1…)" in text(client.get(address))
    window = ProductionWindow.objects.get(user=cast.alice)
    Job.objects.filter(pk=job.pk).update(via="browser", key_name="", window=window.pk)
    assert "A code entered at" in text(client.get(address))


def test_a_member_without_the_deploy_permission_sees_how_the_environments_are_and_no_more(cast: Cast) -> None:
    job = on_test(cast)
    flows.add_member(cast.app, Actor(cast.alice), cast.charlie, Role.objects.get(name="End-user"))
    client = signed_in(cast.charlie)
    page = text(client.get(APP))
    assert "Running" in page
    assert "Upload" not in page
    assert "Transport" not in page
    for address in (TEST, f"{TEST}deployments/{job.number}/", f"{APP}packages/", f"{APP}packages/{job.package.key}/"):  # type: ignore[union-attr]
        assert client.get(address).status_code == 403


def test_a_new_app_says_how_to_begin(cast: Cast) -> None:
    page = text(signed_in(cast.alice).get(APP))
    assert "No packages yet" in page
    assert "Upload a package" in page
    assert "Upload a package first" in text(signed_in(cast.alice).get(TEST))


@pytest.mark.parametrize(
    "address", [APP, APP + "packages/", TEST, TEST + "deployments/", TEST + "transport/", "package", "job"]
)
def test_more_rows_cost_no_more_queries(cast: Cast, address: str) -> None:
    job = on_test(cast)
    address = {"package": f"{APP}packages/{job.package.key}/", "job": f"{TEST}deployments/1/"}.get(address, address)  # type: ignore[union-attr]
    client = unlocked(cast.alice)
    few = cost(lambda: client.get(address))
    fill(cast, job)
    many = cost(lambda: client.get(address))
    assert many <= few
    if address == APP:
        assert many <= 8


def cost(act: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert act().status_code == 200
    return len(queries)


def fill(cast: Cast, job: Job) -> None:
    model = job.package
    assert model
    Package.objects.bulk_create(
        Package(
            app=cast.app, name="calc", version=f"2.0.{number}", size=1, sha256=f"{number:064}",
            manifest=model.manifest, uploader_name="Bob", expires_at=model.expires_at, file="x",
        )
        for number in range(100)
    )  # fmt: skip
    packages = list(Package.objects.exclude(pk=model.pk)[:60])
    Job.objects.bulk_create(
        Job(environment=cast.test, number=number, kind="transport", state="done", package=package, asker_name="Bob")
        for number, package in enumerate(packages, 2)
    )
    for environment in (cast.acceptance, cast.production):
        Live.objects.create(environment=environment, state="running", package=packages[0], instance=1)
        Job.objects.create(environment=environment, number=1, kind="restart", asker_name="Bob")


def test_an_environment_shows_what_runs_and_the_history(cast: Cast) -> None:
    on_test(cast)
    client = signed_in(cast.alice)
    page = text(client.get(TEST))
    for part in ("1.0.0", "Running", "Restart", "Stop Test", "Transport a package", 'href="http://test--calc'):
        assert part in page
    assert "Transport calc 1.0.0" in text(client.get(TEST + "deployments/"))


def test_actions_that_are_not_permitted_are_not_shown_but_whom_to_ask(cast: Cast) -> None:
    on_test(cast)
    page = text(signed_in(cast.bob).get(TEST))
    assert "Stop Test" not in page
    assert "Alice, the Technical Contact, can grant them" in page
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    assert "Stop Test" in text(signed_in(cast.bob).get(TEST))


def test_a_package_page_offers_the_environments_that_the_person_may_change(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice, constants=[{"name": "GREETING", "default": "<b>Hi</b>"}])
    address = f"{APP}packages/{package.key}/"
    client = signed_in(cast.bob)
    assert "To transport you need Transport Rights" in text(client.get(address))
    cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
    page = text(client.get(address))
    assert "Transport to Test" in page
    assert "Transport to Production" not in page
    assert "&lt;b&gt;Hi&lt;/b&gt;" in page
    assert package.sha256 in page


def test_transport_is_chosen_compared_and_confirmed(cast: Cast) -> None:
    on_test(cast)
    package = make_package(cast.app, cast.alice, "1.1.0", constants=[{"name": "GREETING", "default": "Hi"}])
    client = signed_in(cast.alice)
    assert "calc 1.1.0" in text(client.get(TEST + "transport/"))
    page = text(client.get(f"{TEST}transport/?package={package.key}"))
    for part in ("1.0.0", "1.1.0", "New constant", "GREETING", "Transport 1.1.0 to Test", "the old one never left"):
        assert part in page
    answer = client.post(TEST + "transport/", {"package": package.key, "note": "At last"})
    assert answer.headers["Location"] == TEST + "deployments/2/"
    assert "At last" in text(client.get(answer.headers["Location"]))
    assert Job.objects.get(number=2).via == "browser"


def test_transport_without_a_package_asks_for_one(cast: Cast) -> None:
    make_package(cast.app, cast.alice)
    answer = signed_in(cast.alice).post(TEST + "transport/", {"note": "x"})
    assert answer.status_code == 400
    assert "Choose a package." in text(answer)


def test_too_long_a_note_is_kept_and_explained(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    answer = signed_in(cast.alice).post(TEST + "transport/", {"package": package.key, "note": "why " * 600})
    assert answer.status_code == 400
    assert "at most 2000 characters" in text(answer)
    assert "why why" in text(answer)
    assert not Job.objects.exists()


def test_a_second_click_leads_to_the_job_that_the_first_one_made(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    client = signed_in(cast.alice)
    answers = [client.post(TEST + "transport/", {"package": package.key}, follow=True) for _ in range(2)]
    assert answers[0].redirect_chain == answers[1].redirect_chain
    assert "is waiting for its turn already" in text(answers[1])
    assert Job.objects.count() == 1


def test_packages_and_jobs_of_other_apps_are_as_if_they_did_not_exist(cast: Cast) -> None:
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    package = make_package(other, cast.charlie)
    client = signed_in(cast.alice)
    for key in (package.key, uuid.uuid4()):
        assert client.get(f"{APP}packages/{key}/").status_code == 404
        assert client.get(f"{TEST}transport/?package={key}").status_code == 404
        assert client.post(TEST + "transport/", {"package": key}).status_code == 404
    for odd in ("nonsense", "\x00", "1" * 500):
        assert client.post(TEST + "transport/", {"package": odd}).status_code == 404
    for number in (7, 10**30):
        assert client.get(f"{TEST}deployments/{number}/").status_code == 404
    assert not Job.objects.exists()


def test_stop_start_and_restart_say_first_what_will_happen(cast: Cast) -> None:
    on_test(cast)
    client = signed_in(cast.alice)
    for word, sentence in (("restart", "starts a second time beside"), ("stop", "Its data stays.")):
        page = text(client.get(f"{TEST}{word}/"))
        assert sentence in page
        assert client.post(f"{TEST}{word}/").status_code == 302
    answer = client.post(TEST + "stop/", follow=True)
    assert "is waiting for its turn already" in text(answer)
    Worker(FakeRuntime(), "tester").run_once()
    Job.objects.filter(state="queued").update(state="cancelled")
    Live.objects.update(state="stopped", instance=None)
    answer = client.post(TEST + "stop/")
    assert (answer.status_code, "Test is stopped already." in text(answer)) == (409, True)
    assert "Test is stopped already." in text(client.get(TEST + "stop/"))
    assert "starts on Test" in text(client.get(TEST + "start/"))


def test_a_job_is_shown_while_it_waits_and_when_it_has_ended(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    client = signed_in(cast.alice)
    page = text(client.get(TEST + "deployments/1/"))
    assert 'hx-trigger="every 1s"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "It begins as soon as a worker is free." in page
    part = text(client.get(TEST + "deployments/1/", headers={"HX-Request": "true"}))
    assert part.lstrip().startswith('<div id="job"')
    Worker(FakeRuntime(), "tester").run_once()
    page = text(client.get(TEST + "deployments/1/"))
    assert "calc 1.0.0 runs on Test since" in page
    assert "hx-trigger" not in page
    assert "Open Test" in page


def test_output_of_what_failed_is_shown_with_control_characters_inert(cast: Cast) -> None:
    job = on_test(cast, web="python3 dying.py")
    page = text(signed_in(cast.alice).get(f"{TEST}deployments/{job.number}/"))
    assert "calc 1.0.0 ended while it started: exit code 3." in page
    assert "^[[31mNo such table" in page
    assert "\x1b" not in page


def test_the_version_before_is_offered_again(cast: Cast) -> None:
    first, second = on_test(cast, "1.0.0"), on_test(cast, "1.1.0")
    page = text(signed_in(cast.alice).get(f"{TEST}deployments/{second.number}/"))
    assert first.package
    assert "calc 1.0.0 is one click away." in page
    assert f"{TEST}deployments/{first.number}/roll-back/" in page


def test_a_watched_environment_is_shown_anew_when_its_job_has_ended(cast: Cast) -> None:
    on_test(cast)
    answer = signed_in(cast.alice).get(TEST, headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"


def test_trouble_is_said_on_the_page(cast: Cast) -> None:
    on_test(cast)
    Live.objects.update(trouble="It ended by itself: signal 9.")
    client = signed_in(cast.alice)
    assert "Offline" in text(client.get(APP))
    assert "It ended by itself: signal 9." in text(client.get(TEST))


class TestProduction:
    @pytest.mark.parametrize("word", ["", "transport/", "start/", "stop/", "restart/", "deployments/"])
    def test_its_pages_ask_for_a_code(self, cast: Cast, word: str) -> None:
        answer = signed_in(cast.alice).get(PRODUCTION + word)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/authenticator/")
        assert unlocked(cast.alice).get(PRODUCTION + word).status_code == 200

    def test_the_code_page_says_what_needs_the_code(self, cast: Cast) -> None:
        package = make_package(cast.app, cast.alice)
        unlocked(cast.alice)
        client = signed_in(cast.alice)
        page = text(client.get(f"{PRODUCTION}transport/?package={package.key}", follow=True))
        assert "Transport calc 1.0.0 to Production needs your code" in page
        assert "Production of Calc needs your code" in text(client.get(PRODUCTION, follow=True))

    def test_an_interrupted_transport_is_named_and_carried_out_after_the_code(self, cast: Cast) -> None:
        package = make_package(cast.app, cast.alice)
        client: Client = signed_in(cast.alice)
        client.post(PRODUCTION + "transport/", {"package": package.key, "note": "Kept"})
        kept = Interrupted.objects.get()
        assert kept.title == "Transport calc 1.0.0 to Production"
        assert not Job.objects.exists()
        unlock(client, cast.alice)
        answer = client.post(f"{PRODUCTION}transport/?waiting={kept.pk}", {"package": package.key, "note": "Kept"})
        assert answer.headers["Location"] == PRODUCTION + "deployments/1/"
        job = Job.objects.get()
        assert (job.note, job.window is not None) == ("Kept", True)
        assert "A code entered at" in text(client.get(answer.headers["Location"]))

    def test_without_the_right_no_code_is_asked_for_but_whom_to_ask_is_said(self, cast: Cast) -> None:
        answer = signed_in(cast.bob).get(PRODUCTION + "transport/")
        assert answer.status_code == 403
        assert "Transport Rights" in text(answer)
        assert "alice@example.org" in text(answer)
        assert Activity.objects.filter(act="access.refused").exists()
