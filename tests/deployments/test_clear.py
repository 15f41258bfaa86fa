"""Clearing an environment: only a stopped one, after its name was typed; data and release go, history stays."""

import pytest

from accounts.actor import Actor
from accounts.models import Activity
from deployments.errors import Refused
from deployments.flows import request_job
from deployments.models import Job, Live, Package
from deployments.option_flows import save_options, stored
from deployments.options import Options
from deployments.states import JobKind
from deployments.worker import Worker
from environments.models import Environment
from tests.cast import Cast, signed_in
from tests.deployments.fakes import FakeRuntime, make_package

TEST = "/apps/calc/environments/test/"


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


def carry_out(
    cast: Cast, runtime: FakeRuntime, kind: JobKind, package: Package | None = None, on: Environment | None = None
) -> Job:
    job = request_job(kind, on or cast.test, Actor(cast.alice), package)
    assert Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


@pytest.fixture
def stopped(cast: Cast, runtime: FakeRuntime) -> Package:
    package = make_package(cast.app, cast.alice)
    carry_out(cast, runtime, JobKind.TRANSPORT, package)
    carry_out(cast, runtime, JobKind.STOP)
    return package


def test_data_and_release_go_and_the_history_stays(cast: Cast, runtime: FakeRuntime, stopped: Package) -> None:
    save_options(cast.test, Actor(cast.alice), Options(log_level="DEBUG"), 0)
    job = carry_out(cast, runtime, JobKind.CLEAR)
    assert (job.state, job.result, job.title) == ("done", "Test is empty.", "Clear Test")
    assert runtime.calls[-1] == f"clear {cast.test.pk}"
    assert runtime.unpacked == set()
    live = Live.objects.get()
    assert (live.state, live.package, live.instance) == ("empty", None, None)
    assert cast.test.jobs.count() == 3
    assert stored(cast.test).options.log_level == "DEBUG"
    assert [str(entry) for entry in Activity.objects.all()[:2]] == [
        "Alice completed: Clear Test",
        "Alice asked to clear Test",
    ]
    assert carry_out(cast, runtime, JobKind.TRANSPORT, stopped).state == "done"


def test_a_release_that_runs_elsewhere_stays(cast: Cast, runtime: FakeRuntime, stopped: Package) -> None:
    carry_out(cast, runtime, JobKind.TRANSPORT, stopped, cast.acceptance)
    assert carry_out(cast, runtime, JobKind.CLEAR).state == "done"
    assert runtime.unpacked == {stopped.sha256}


def test_what_runs_or_is_empty_is_not_cleared(cast: Cast, runtime: FakeRuntime) -> None:
    with pytest.raises(Refused, match="empty already"):
        request_job(JobKind.CLEAR, cast.test, Actor(cast.alice))
    carry_out(cast, runtime, JobKind.TRANSPORT, make_package(cast.app, cast.alice))
    with pytest.raises(Refused, match="Stop it first"):
        request_job(JobKind.CLEAR, cast.test, Actor(cast.alice))
    assert "Stop it first" in signed_in(cast.alice).get(TEST + "clear/").content.decode()


def test_what_can_not_be_removed_leaves_it_as_it_was(cast: Cast, runtime: FakeRuntime, stopped: Package) -> None:
    runtime.failing.add("clear")
    job = carry_out(cast, runtime, JobKind.CLEAR)
    assert (job.state, job.result) == ("failed", "The runtime can't clear. calc 1.0.0 is on it, stopped.")
    assert Live.objects.get().package == stopped


@pytest.mark.parametrize("typed", ["", "tset", "Production", "Test 2"])
def test_the_name_must_be_typed(cast: Cast, runtime: FakeRuntime, stopped: Package, typed: str) -> None:
    client = signed_in(cast.alice)
    assert "Clear Test…" in client.get(TEST).content.decode()
    assert "removed for good" in client.get(TEST + "clear/").content.decode()
    answer = client.post(TEST + "clear/", {"name": typed})
    assert answer.status_code == 400
    assert "Type Test." in answer.content.decode()
    assert not Job.objects.filter(kind=JobKind.CLEAR).exists()


@pytest.mark.parametrize("typed", ["Test", " test "])
def test_with_its_name_it_is_cleared(cast: Cast, runtime: FakeRuntime, stopped: Package, typed: str) -> None:
    """In whatever case, as where an environment is deleted."""
    answer = signed_in(cast.alice).post(TEST + "clear/", {"name": typed})
    assert answer.headers["Location"] == TEST + "deployments/3/"
    assert Worker(runtime, "tester").run_once()
    page = signed_in(cast.alice).get(TEST).content.decode()
    assert "Nothing is on Test yet" in page
