"""The way back: to any version that ran before, in one action, with the options of then or of now."""

from typing import Any

import pytest

from accounts.actor import Actor
from accounts.models import Activity
from deployments.errors import AlreadyAsked, Refused
from deployments.flows import request_job, request_roll_back
from deployments.models import Job, JobOptions, Live, Package
from deployments.option_flows import save_options, stored
from deployments.options import Options, Setting
from deployments.runtimes.base import Instance
from deployments.states import JobKind
from deployments.worker import Worker
from environments.authority import NotPermitted
from tests.cast import Cast, signed_in, unlocked
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package

TEST = "/apps/calc/environments/test/"
SICK = "python3 sick.py"


@pytest.fixture
def runtime(settings: Any) -> FakeRuntime:
    settings.HEALTH_PATIENCE = 0
    fake = FakeRuntime()
    fake.sick.add(SICK)
    return fake


def work(runtime: FakeRuntime, job: Job) -> Job:
    assert Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


def transport(cast: Cast, runtime: FakeRuntime, version: str, web: str = "python3 app.py", **more: Any) -> Package:
    package = make_package(cast.app, cast.alice, version, web, **more)
    work(runtime, request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package))
    return package


def roll_back(cast: Cast, runtime: FakeRuntime, to: int, with_options: bool = True) -> Job:
    return work(runtime, request_roll_back(cast.test, Actor(cast.alice), to, "Sums are wrong", with_options))


def set_greeting(cast: Cast, value: str) -> None:
    options = Options(constants={"GREETING": Setting(value)})
    save_options(cast.test, Actor(cast.alice), options, stored(cast.test).revision)


def test_it_comes_back_without_being_unpacked_and_is_recorded_as_what_it_is(cast: Cast, runtime: FakeRuntime) -> None:
    first = transport(cast, runtime, "1.0.0")
    transport(cast, runtime, "1.1.0")
    runtime.calls.clear()
    first.file.storage.delete(str(first.file.name))
    job = roll_back(cast, runtime, 1)
    assert (job.state, job.result) == ("done", "calc 1.0.0 runs on Test.")
    assert (job.title, str(job), job.rolls_back_id) == (
        "Roll back Test to calc 1.0.0",
        "Roll back to calc 1.0.0",
        Job.objects.get(number=1).pk,
    )
    assert "prepare" not in runtime.calls
    assert (job.steps.get(name="unpack").state, job.steps.get(name="unpack").output) == (
        "skipped",
        "It is unpacked here already.",
    )
    assert Live.objects.get().package == first
    told = [str(entry) for entry in Activity.objects.all()[:2]]
    assert told == ["Alice completed: Roll back Test to calc 1.0.0", "Alice asked to roll back Test to calc 1.0.0"]


def test_where_its_release_is_gone_it_is_unpacked_again(cast: Cast, runtime: FakeRuntime) -> None:
    first = transport(cast, runtime, "1.0.0")
    transport(cast, runtime, "1.1.0")
    runtime.unpacked.discard(first.sha256)
    assert roll_back(cast, runtime, 1).steps.get(name="unpack").state == "done"


@pytest.mark.parametrize(("with_options", "greeting"), [(True, "old"), (False, "new")])
def test_options_are_as_they_were_or_as_they_are(
    cast: Cast, runtime: FakeRuntime, with_options: bool, greeting: str
) -> None:
    constants: dict[str, Any] = {"constants": [{"name": "GREETING", "default": "x"}]}
    set_greeting(cast, "old")
    transport(cast, runtime, "1.0.0", **constants)
    set_greeting(cast, "new")
    transport(cast, runtime, "1.1.0", **constants)
    job = roll_back(cast, runtime, 1, with_options)
    assert runtime.specs[Instance(cast.test.pk, 3)].variables == {"GREETING": greeting}
    assert stored(cast.test).options.constants["GREETING"].value == greeting
    assert Activity.objects.filter(act="options.changed", via="worker").count() == int(with_options)
    assert job.restores_options is with_options


@pytest.mark.parametrize("meanwhile", [True, False])
def test_options_saved_while_it_waits_are_replaced_and_that_is_said(
    cast: Cast, runtime: FakeRuntime, meanwhile: bool
) -> None:
    set_greeting(cast, "old")
    constants: dict[str, Any] = {"constants": [{"name": "GREETING", "default": "x"}]}
    transport(cast, runtime, "1.0.0", **constants)
    set_greeting(cast, "new")
    transport(cast, runtime, "1.1.0", **constants)
    job = request_roll_back(cast.test, Actor(cast.alice), 1, "", with_options=True)
    if meanwhile:
        set_greeting(cast, "just saved")
    work(runtime, job)
    said = job.steps.get(name="switch").output
    assert ("Alice saved options after this was asked for." in said) is meanwhile
    assert stored(cast.test).options.constants["GREETING"].value == "old"


def test_as_they_were_means_when_it_ran_last(cast: Cast, runtime: FakeRuntime) -> None:
    constants: dict[str, Any] = {"constants": [{"name": "GREETING", "default": "x"}]}
    transport(cast, runtime, "1.0.0", **constants)
    set_greeting(cast, "set later")
    work(runtime, request_job(JobKind.RESTART, cast.test, Actor(cast.alice)))
    set_greeting(cast, "never applied")
    transport(cast, runtime, "1.1.0", **constants)
    work(runtime, request_job(JobKind.RESTART, cast.test, Actor(cast.alice)))
    roll_back(cast, runtime, 1)
    assert runtime.specs[Instance(cast.test.pk, 5)].variables == {"GREETING": "set later"}


def test_one_that_does_not_get_healthy_changes_neither_version_nor_options(cast: Cast, runtime: FakeRuntime) -> None:
    constants: dict[str, Any] = {"constants": [{"name": "GREETING", "default": "x"}]}
    set_greeting(cast, "old")
    transport(cast, runtime, "1.0.0", **constants)
    set_greeting(cast, "new")
    second = transport(cast, runtime, "1.1.0", **constants)
    runtime.sick.add("python3 app.py")
    job = roll_back(cast, runtime, 1)
    assert job.state == "failed"
    assert job.result.endswith("calc 1.1.0 keeps running.")
    assert Live.objects.get().package == second
    assert stored(cast.test).options.constants["GREETING"].value == "new"
    assert runtime.instances() == [Instance(cast.test.pk, 2)]


def test_what_cannot_run_twice_comes_back_with_the_options_it_had(cast: Cast, runtime: FakeRuntime) -> None:
    constants: dict[str, Any] = {"constants": [{"name": "GREETING", "default": "x"}], "runs_twice": False}
    set_greeting(cast, "old")
    transport(cast, runtime, "1.0.0", **constants)
    set_greeting(cast, "new")
    transport(cast, runtime, "1.1.0", SICK, **constants)
    assert runtime.specs[Instance(cast.test.pk, 1)].variables == {"GREETING": "old"}


def test_there_must_be_something_to_go_back_to(cast: Cast, runtime: FakeRuntime) -> None:
    transport(cast, runtime, "1.0.0")
    transport(cast, runtime, "1.1.0", SICK)
    work(runtime, request_job(JobKind.RESTART, cast.test, Actor(cast.alice)))
    for number in (2, 3, 99):
        with pytest.raises(Refused, match="nothing to go back to"):
            request_roll_back(cast.test, Actor(cast.alice), number, "", False)
        assert signed_in(cast.alice).get(f"{TEST}deployments/{number}/roll-back/").status_code == 404
    JobOptions.objects.all().delete()
    with pytest.raises(Refused, match="not known"):
        request_roll_back(cast.test, Actor(cast.alice), 1, "", True)


def test_rights_window_and_doubles_are_looked_at(cast: Cast, runtime: FakeRuntime) -> None:
    transport(cast, runtime, "1.0.0")
    transport(cast, runtime, "1.1.0")
    with pytest.raises(NotPermitted):
        request_roll_back(cast.test, Actor(cast.bob), 1, "", False)
    request_roll_back(cast.test, Actor(cast.alice), 1, "", False)
    with pytest.raises(AlreadyAsked):
        request_roll_back(cast.test, Actor(cast.alice), 1, "", False)
    work(runtime, Job.objects.get(number=3))
    by = actor_with_window(cast.alice)
    work(runtime, request_job(JobKind.TRANSPORT, cast.production, by, Package.objects.get(version="1.0.0")))
    with pytest.raises(NotPermitted, match="Enter a code"):
        request_roll_back(cast.production, Actor(cast.alice), 1, "", False)


def test_it_is_offered_on_the_pages_and_done_in_one_action(cast: Cast, runtime: FakeRuntime) -> None:
    constants: dict[str, Any] = {"constants": [{"name": "GREETING", "default": "x"}]}
    set_greeting(cast, "old")
    transport(cast, runtime, "1.0.0", **constants)
    set_greeting(cast, "new")
    transport(cast, runtime, "1.1.0", **constants)
    client = signed_in(cast.alice)
    address = f"{TEST}deployments/1/roll-back/"
    for page in (TEST, f"{TEST}deployments/", f"{TEST}deployments/2/", f"{TEST}deployments/1/"):
        assert address in client.get(page).content.decode(), page
        assert address not in signed_in(cast.bob).get(page).content.decode(), page
    page = client.get(address).content.decode()
    for part in (
        "Roll back Test to calc 1.0.0",
        "As they were with calc 1.0.0",
        "<code>GREETING</code> new",
        "<b>old</b>",
    ):
        assert part in page
    assert client.post(address, {"options": "neither"}).status_code == 400
    answer = client.post(address, {"options": "then", "note": "Sums are wrong"})
    assert answer.headers["Location"] == f"{TEST}deployments/3/"
    work(runtime, Job.objects.get(number=3))
    page = client.get(f"{TEST}deployments/3/").content.decode()
    assert "calc 1.0.0 runs on Test since" in page
    assert "As they were with calc 1.0.0" in page
    page = client.get(f"{TEST}deployments/2/").content.decode()
    assert "calc 1.0.0 is on Test now." in page, "an old page does not say that its version runs"


def test_where_options_are_the_same_nothing_is_asked(cast: Cast, runtime: FakeRuntime) -> None:
    transport(cast, runtime, "1.0.0")
    transport(cast, runtime, "1.1.0")
    client = signed_in(cast.alice)
    assert "As they were with" not in client.get(f"{TEST}deployments/1/roll-back/").content.decode()
    assert client.post(f"{TEST}deployments/1/roll-back/").status_code == 302


def test_what_runs_is_promoted_to_the_next_environment(cast: Cast, runtime: FakeRuntime) -> None:
    package = transport(cast, runtime, "1.0.0")
    client = signed_in(cast.alice)
    address = f"/apps/calc/environments/acceptance/transport/?package={package.key}"
    for page in (TEST, f"{TEST}deployments/1/"):
        assert address in client.get(page).content.decode()
        assert "Transport to Acceptance" not in signed_in(cast.bob).get(page).content.decode()
    by = actor_with_window(cast.alice)
    for environment in (cast.acceptance, cast.production):
        work(runtime, request_job(JobKind.TRANSPORT, environment, by, package))
    page = unlocked(cast.alice).get("/apps/calc/environments/acceptance/").content.decode()
    assert "Transport to Production" in page
