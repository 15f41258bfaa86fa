"""Carrying out jobs: what happens in which order, and what is true when something goes wrong."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts import authenticators
from accounts.actor import Actor
from accounts.models import Activity, ProductionWindow, User
from deployments.execution import Execution
from deployments.flows import request_job
from deployments.journal import Lost
from deployments.models import Job, Live, Package
from deployments.models import Worker as WorkerRow
from deployments.reconciliation import reconcile
from deployments.runtimes.base import Instance, Isolation
from deployments.states import JobKind, JobState
from deployments.worker import Worker, is_alive
from environments.models import Environment
from environments.permissions import Permission
from tests.cast import Cast, make_cast
from tests.deployments.fakes import FakeRuntime, actor_with_window, make_package

SICK, DYING = "python3 sick.py", "python3 dying.py"


@pytest.fixture
def runtime(settings: Any) -> FakeRuntime:
    settings.HEALTH_PATIENCE = 0
    fake = FakeRuntime()
    fake.sick.add(SICK)
    fake.dying.add(DYING)
    return fake


def carry_out(
    runtime: FakeRuntime, kind: JobKind, environment: Environment, by: User | Actor, package: Package | None = None
) -> Job:
    actor = by if isinstance(by, Actor) else Actor(by)
    job = request_job(kind, environment, actor, package)
    assert Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    return job


def states(job: Job) -> dict[str, str]:
    return dict(job.steps.values_list("name", "state"))


def test_the_first_transport_runs_and_answers(cast: Cast, runtime: FakeRuntime) -> None:
    package = make_package(cast.app, cast.alice, constants=[{"name": "GREETING", "default": "Hi"}], health_path="/up")
    job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package)
    assert (job.state, job.result) == ("done", "calc 1.0.0 runs on Test.")
    assert runtime.calls == ["prepare", "start 1", "check /up", "route 1"]
    assert states(job) | {"stop": "done"} == dict.fromkeys(states(job), "done")
    assert states(job)["stop"] == "skipped"
    assert runtime.specs[Instance(cast.test.pk, 1)].variables == {"GREETING": "Hi"}
    live = cast.test.live
    assert (live.state, live.package, live.instance) == ("running", package, 1)
    assert str(Activity.objects.first()) == "Alice completed: Transport calc 1.0.0 to Test"
    assert Activity.objects.first().via == "worker"  # type: ignore[union-attr]


def test_the_next_one_starts_beside_takes_over_and_then_the_old_one_stops(cast: Cast, runtime: FakeRuntime) -> None:
    for version in ("1.0.0", "1.1.0"):
        package = make_package(cast.app, cast.alice, version)
        job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package)
    assert runtime.calls[4:] == ["prepare", "start 2", "check /", "route 2", "drain 1", "stop 1"]
    assert (job.name_before, runtime.instances()) == ("calc 1.0.0", [Instance(cast.test.pk, 2)])


@pytest.mark.parametrize(
    ("web", "sentence"),
    [
        (SICK, "calc 2 did not get healthy within 0 seconds: It answered 503. calc 1 keeps running."),
        (DYING, "calc 2 ended while it started: exit code 3. calc 1 keeps running."),
    ],
)
def test_what_does_not_get_healthy_never_replaces_what_runs(
    cast: Cast, runtime: FakeRuntime, web: str, sentence: str
) -> None:
    good, bad = make_package(cast.app, cast.alice, "1"), make_package(cast.app, cast.alice, "2", web)
    carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, good)
    job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, bad)
    assert (job.state, job.result) == ("failed", sentence)
    assert states(job) == {
        "check": "done", "unpack": "done", "start": "done", "health": "failed", "switch": "skipped", "stop": "skipped",
    }  # fmt: skip
    assert "No such table" in job.steps.get(name="health").output
    assert runtime.instances() == [Instance(cast.test.pk, 1)]
    assert runtime.hosts[cast.test.host] == Instance(cast.test.pk, 1)
    assert Live.objects.get(environment=cast.test).package == good


def test_a_first_package_that_fails_leaves_the_environment_empty(cast: Cast, runtime: FakeRuntime) -> None:
    job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "1", SICK))
    assert job.result.endswith("Nothing is on it yet.")
    assert not Live.objects.exists()
    assert runtime.instances() == []


def test_what_cannot_run_twice_comes_back_when_the_new_one_fails(cast: Cast, runtime: FakeRuntime) -> None:
    good = make_package(cast.app, cast.alice, "1", runs_twice=False)
    bad = make_package(cast.app, cast.alice, "2", SICK)
    carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, good)
    job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, bad)
    assert job.state == "failed"
    assert job.result.endswith("calc 1 runs again.")
    assert list(job.steps.values_list("name", flat=True)) == ["check", "unpack", "stop", "start", "health", "switch"]
    assert runtime.instances() == [Instance(cast.test.pk, 1)]
    assert runtime.hosts[cast.test.host] == Instance(cast.test.pk, 1)


def test_whatever_the_new_one_prints_the_old_one_comes_back(
    cast: Cast, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NUL among it is more than PostgreSQL can keep."""
    monkeypatch.setattr(runtime, "output", lambda instance: "It ended\0 badly")
    once: dict[str, Any] = {"runs_twice": False}
    carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, **once))
    job = carry_out(
        runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "1.1.0", DYING, **once)
    )
    assert (job.state, job.steps.get(name="health").output) == ("failed", "It ended badly")
    assert job.result.endswith("calc 1.0.0 runs again.")


def test_stop_start_and_restart(cast: Cast, runtime: FakeRuntime) -> None:
    package = make_package(cast.app, cast.alice)
    carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package)
    stopped = carry_out(runtime, JobKind.STOP, cast.test, cast.alice)
    assert (stopped.state, stopped.result) == ("done", "Test is stopped.")
    assert runtime.instances() == []
    assert runtime.hosts[cast.test.host] is None
    live = Live.objects.get(environment=cast.test)
    assert (live.state, live.package, live.instance) == ("stopped", package, None)
    started = carry_out(runtime, JobKind.START, cast.test, cast.alice)
    assert (started.state, runtime.instances()) == ("done", [Instance(cast.test.pk, 3)])
    restarted = carry_out(runtime, JobKind.RESTART, cast.test, cast.alice)
    assert (restarted.state, runtime.instances()) == ("done", [Instance(cast.test.pk, 4)])
    assert runtime.calls.count("prepare") == 1


def test_an_old_one_that_does_not_stop_does_not_spoil_the_deployment(cast: Cast, runtime: FakeRuntime) -> None:
    carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "1"))
    runtime.failing.add("stop")
    job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "2"))
    assert job.state == "done"
    assert "goes on trying" in job.steps.get(name="stop").output
    runtime.failing.clear()
    reconcile(runtime)
    assert runtime.instances() == [Instance(cast.test.pk, 2)]


@pytest.mark.parametrize("step", ["prepare", "start", "route"])
def test_a_runtime_that_fails_leaves_what_runs(cast: Cast, runtime: FakeRuntime, step: str) -> None:
    carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "1"))
    runtime.failing.add(step)
    job = carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "2"))
    assert job.state == "failed"
    assert job.result == f"The runtime can't {step}. calc 1 keeps running."
    assert runtime.instances() == [Instance(cast.test.pk, 1)]
    assert Live.objects.get(environment=cast.test).instance == 1


def test_what_nobody_expected_fails_in_plain_words(
    cast: Cast, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), make_package(cast.app, cast.alice))
    Package.objects.update(manifest={"odd": 1})
    Worker(runtime, "tester").run_once()
    job.refresh_from_db()
    assert job.state == "failed"
    assert job.result.startswith("Something went wrong in the portal itself")
    assert "Traceback" not in job.result + "".join(job.steps.values_list("output", flat=True))
    assert "Traceback" in caplog.text


class TestPermission:
    """What was permitted when the job was asked for is looked at again when it runs."""

    def run(self, runtime: FakeRuntime, job: Job) -> Job:
        Worker(runtime, "tester").run_once()
        job.refresh_from_db()
        assert runtime.calls == []
        assert (job.state, Live.objects.count()) == ("cancelled", 0)
        assert job.result.startswith("No longer permitted: ")
        assert job.result.endswith("Nothing was changed.")
        assert set(states(job).values()) == {"failed", "skipped"}
        return job

    def by_bob(self, cast: Cast) -> Job:
        cast.grant(cast.bob, cast.test, Permission.TRANSPORT)
        return request_job(JobKind.TRANSPORT, cast.test, Actor(cast.bob), make_package(cast.app, cast.bob))

    def on_production(self, cast: Cast) -> Job:
        by = actor_with_window(cast.alice)
        return request_job(JobKind.TRANSPORT, cast.production, by, make_package(cast.app, cast.alice))

    def test_withdrawn(self, cast: Cast, runtime: FakeRuntime) -> None:
        job = self.by_bob(cast)
        cast.membership(cast.bob).node_permissions.update(granted=False)
        self.run(runtime, job)

    def test_left_the_team(self, cast: Cast, runtime: FakeRuntime) -> None:
        job = self.by_bob(cast)
        cast.membership(cast.bob).delete()
        self.run(runtime, job)

    def test_deactivated(self, cast: Cast, runtime: FakeRuntime) -> None:
        job = self.by_bob(cast)
        User.objects.filter(pk=cast.bob.pk).update(is_active=False)
        self.run(runtime, job)

    def test_authenticator_disabled(self, cast: Cast, runtime: FakeRuntime) -> None:
        job = self.on_production(cast)
        authenticators.disable(cast.alice, Actor(cast.sam, via="admin"), "Her phone was stolen", "Called her back")
        self.run(runtime, job)

    def test_authenticator_disabled_after_the_window_was_ended_by_its_person(
        self, cast: Cast, runtime: FakeRuntime
    ) -> None:
        job = self.on_production(cast)
        now = timezone.now()
        ProductionWindow.objects.update(ended_at=now, ended_why=ProductionWindow.End.BY_PERSON)
        authenticators.disable(cast.alice, Actor(cast.sam, via="admin"), "Her phone was stolen", "Called her back")
        self.run(runtime, job)

    @pytest.mark.parametrize("why", ProductionWindow.FOR_CAUSE)
    def test_window_ended_for_cause(self, cast: Cast, runtime: FakeRuntime, why: str) -> None:
        job = self.on_production(cast)
        ProductionWindow.objects.update(ended_at=timezone.now(), ended_why=why)
        self.run(runtime, job)

    def test_made_production_meanwhile(self, cast: Cast, runtime: FakeRuntime) -> None:
        job = self.by_bob(cast)
        Environment.objects.filter(pk=cast.test.pk).update(is_production=True)
        assert "no code was entered" in self.run(runtime, job).result

    def test_a_window_that_merely_ran_out_is_fine(self, cast: Cast, runtime: FakeRuntime) -> None:
        job = self.on_production(cast)
        ProductionWindow.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
        Worker(runtime, "tester").run_once()
        job.refresh_from_db()
        assert job.state == "done"


def test_a_host_that_cannot_keep_packages_apart_runs_no_production(
    cast: Cast, runtime: FakeRuntime, settings: Any
) -> None:
    runtime.isolated = Isolation(False, "The program bwrap is missing.")
    package, by = make_package(cast.app, cast.alice), actor_with_window(cast.alice)
    job = carry_out(runtime, JobKind.TRANSPORT, cast.production, by, package)
    assert (job.state, runtime.calls) == ("failed", [])
    assert "The program bwrap is missing." in job.result
    assert carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package).state == "done"
    settings.ACCEPT_WEAK_ISOLATION = True
    assert carry_out(runtime, JobKind.TRANSPORT, cast.production, by, package).state == "done"


def test_a_package_that_was_changed_or_is_missing_in_the_storage_is_not_started(
    cast: Cast, runtime: FakeRuntime
) -> None:
    package = make_package(cast.app, cast.alice)
    path = Path(package.file.path)
    path.write_bytes(path.read_bytes() + b"x")
    assert "damaged" in carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package).result
    path.unlink()
    assert "can't be read" in carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package).result
    assert runtime.calls == []


def test_jobs_of_an_environment_take_turns_and_others_do_not_wait(cast: Cast, runtime: FakeRuntime) -> None:
    first, second = (make_package(cast.app, cast.alice, version) for version in ("1", "2"))
    by = Actor(cast.alice)
    jobs = [request_job(JobKind.TRANSPORT, cast.test, by, package) for package in (first, second)]
    elsewhere = request_job(JobKind.TRANSPORT, cast.acceptance, by, first)
    one, two = Worker(runtime, "one"), Worker(runtime, "two")
    assert one.claim() == jobs[0]
    assert two.claim() == elsewhere
    assert one.claim() is None
    Job.objects.filter(pk=jobs[0].pk).update(state=JobState.DONE)
    assert two.claim() == jobs[1]


class TestInterrupted:
    """A worker that was killed leaves its job running; whoever notices says what is true."""

    def killed(self, cast: Cast, runtime: FakeRuntime, name: str = "killed") -> Job:
        carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice, "1"))
        package = make_package(cast.app, cast.alice, "2")
        job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
        assert Worker(runtime, name).claim() == job
        job.steps.filter(name="health").update(state="running")
        runtime.unpacked.add(package.sha256)
        runtime.specs[Instance(cast.test.pk, job.number)] = runtime.specs[Instance(cast.test.pk, 1)]
        return job

    def test_a_dead_heartbeat_is_noticed_and_a_young_one_is_not(self, cast: Cast, runtime: FakeRuntime) -> None:
        job, other = self.killed(cast, runtime), Worker(runtime, "other")
        other.sweep()
        job.refresh_from_db()
        assert job.state == "running"
        Job.objects.filter(pk=job.pk).update(heartbeat=timezone.now() - timedelta(seconds=31))
        other.sweep()
        job.refresh_from_db()
        assert job.state == "interrupted"
        assert job.result == "The worker ended during “Health check”. calc 1 is what runs there."
        assert states(job)["health"] == "failed"
        assert "was interrupted: Transport calc 2 to Test" in str(Activity.objects.first())

    def test_its_successor_notices_at_once_and_the_next_deployment_works(
        self, cast: Cast, runtime: FakeRuntime
    ) -> None:
        job = self.killed(cast, runtime)
        reconcile(runtime)
        assert len(runtime.instances()) == 2, "a running job is left alone"
        Worker(runtime, "killed").begin()
        job.refresh_from_db()
        assert job.state == "interrupted"
        reconcile(runtime)
        assert runtime.instances() == [Instance(cast.test.pk, 1)]
        package = Package.objects.get(version="2")
        assert carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, package).state == "done"

    def test_a_worker_that_was_only_slow_finds_that_the_job_is_not_its_own_any_more(
        self, cast: Cast, runtime: FakeRuntime
    ) -> None:
        job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), make_package(cast.app, cast.alice))
        slow = Worker(runtime, "slow")
        check = runtime.check

        def while_it_slept(*args: Any) -> Any:
            Job.objects.filter(pk=job.pk).update(heartbeat=timezone.now() - timedelta(minutes=1))
            Worker(runtime, "other").sweep()
            return check(*args)

        runtime.check = while_it_slept  # type: ignore[assignment, method-assign]
        slow.run_once()
        job.refresh_from_db()
        assert job.state == "interrupted"
        assert not Live.objects.exists()
        assert "route 1" not in runtime.calls


class TestReconciliation:
    def running(self, cast: Cast, runtime: FakeRuntime) -> Instance:
        carry_out(runtime, JobKind.TRANSPORT, cast.test, cast.alice, make_package(cast.app, cast.alice))
        return Instance(cast.test.pk, 1)

    def test_what_should_run_is_started_and_routed_again(self, cast: Cast, runtime: FakeRuntime) -> None:
        instance = self.running(cast, runtime)
        runtime.specs.clear()
        runtime.hosts.clear()
        runtime.unpacked.clear()
        reconcile(runtime)
        assert runtime.instances() == [instance]
        assert runtime.hosts == {cast.test.host: instance}

    def test_what_nobody_knows_is_stopped(self, cast: Cast, runtime: FakeRuntime) -> None:
        instance = self.running(cast, runtime)
        runtime.specs[Instance(999, 1)] = runtime.specs[instance]
        reconcile(runtime)
        assert runtime.instances() == [instance]

    def test_what_ended_by_itself_is_said_until_it_runs_again(self, cast: Cast, runtime: FakeRuntime) -> None:
        instance = self.running(cast, runtime)
        runtime.ended[instance] = "signal 9"
        reconcile(runtime)
        assert Live.objects.get().trouble == "It ended by itself: signal 9."
        assert carry_out(runtime, JobKind.RESTART, cast.test, cast.alice).state == "done"
        assert Live.objects.get().trouble == ""

    def test_nothing_is_done_when_all_is_well(self, cast: Cast, runtime: FakeRuntime) -> None:
        self.running(cast, runtime)
        runtime.calls.clear()
        reconcile(runtime)
        assert runtime.calls == []

    def test_trouble_with_one_does_not_keep_it_from_the_others(self, cast: Cast, runtime: FakeRuntime) -> None:
        package = make_package(cast.app, cast.alice)
        for environment in (cast.test, cast.acceptance):
            carry_out(runtime, JobKind.TRANSPORT, environment, cast.alice, package)
        runtime.hosts.clear()
        runtime.specs[Instance(999, 1)] = runtime.specs[Instance(cast.test.pk, 1)]
        runtime.failing.add("stop")
        reconcile(runtime)
        assert set(runtime.hosts) == {cast.test.host, cast.acceptance.host}


def test_a_worker_is_alive_while_it_beats(db: None, runtime: FakeRuntime) -> None:
    assert not is_alive()
    Worker(runtime, "tester").beat()
    assert is_alive()
    WorkerRow.objects.update(heartbeat=timezone.now() - timedelta(seconds=16))
    assert not is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_thread_died_does_not_run_for_ever(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end could not be written: the disk was full for longer than the worker tries. The worker itself lives on."""
    cast = make_cast()
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), make_package(cast.app, cast.alice))
    monkeypatch.setattr("deployments.worker.carry_out", lambda *_: None)
    worker = Worker(runtime, "tester")
    assert worker._turn()
    while worker._at_work():
        time.sleep(0.01)
    Job.objects.filter(pk=job.pk).update(heartbeat=timezone.now() - timedelta(seconds=31))
    worker.beat()
    worker.sweep()
    job.refresh_from_db()
    assert job.state == "interrupted"


def test_a_job_that_was_taken_away_switches_nothing(cast: Cast, runtime: FakeRuntime) -> None:
    job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), make_package(cast.app, cast.alice))
    claimed = Worker(runtime, "slow").claim()
    assert claimed
    Job.objects.filter(pk=job.pk).update(state=JobState.INTERRUPTED)
    with pytest.raises(Lost):
        Execution(claimed, runtime, lambda: False)._switch()
    assert not Live.objects.exists()
    assert runtime.calls == []
