"""Jobs at the same instant, with real threads on a real database, and a worker in its own threads."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections
from django.db.utils import OperationalError
from django.utils import timezone

from accounts.actor import Actor
from deployments.errors import AlreadyAsked, Refused
from deployments.events import take_due
from deployments.flows import cancel_job, request_job
from deployments.models import EventClock, EventRun, Job, Live, Package
from deployments.models import Worker as WorkerRow
from deployments.option_flows import save_options, stored
from deployments.options import Options, Setting
from deployments.runtimes.base import Finished, Spec
from deployments.states import JobKind, JobState
from deployments.worker import Worker, is_alive
from environments import flows
from tests.cast import Cast, make_cast, signed_in
from tests.deployments.fakes import FakeRuntime, archive, make_package

pytestmark = pytest.mark.django_db(transaction=True)
TRANSPORT = "/apps/calc/environments/test/transport/"


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """Do all of it at the same instant, each in a thread with a connection of its own; raised errors are answers."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait(20)
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"It did not come true within {seconds} seconds."
        time.sleep(0.02)


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    def work() -> None:
        worker.run_forever()
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        worker.leave()
        thread.join(20)
    assert not thread.is_alive()


def test_two_transports_at_once_make_one_active_job_and_one_polite_refusal(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    ask = lambda: request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)  # noqa: E731
    answers = at_once([ask, ask])
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyAsked", "Job"]
    refusal = next(answer for answer in answers if isinstance(answer, AlreadyAsked))
    assert refusal.job == Job.objects.active().get()


def test_ten_clicks_at_once_lead_to_one_job(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    clients = [signed_in(cast.alice) for _ in range(10)]
    answers = at_once([lambda c=c: c.post(TRANSPORT, {"package": str(package.key)}) for c in clients])  # type: ignore[misc]
    assert {answer.headers["Location"] for answer in answers} == {"/apps/calc/environments/test/deployments/1/"}
    assert Job.objects.count() == 1


def test_different_jobs_at_once_get_numbers_of_their_own_and_take_turns(cast: Cast) -> None:
    packages = [make_package(cast.app, cast.alice, f"1.{number}") for number in range(4)]
    at_once(
        [lambda p=p: request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), p) for p in packages]  # type: ignore[misc]
    )
    assert sorted(Job.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
    workers = [Worker(FakeRuntime(), f"worker-{number}") for number in range(4)]
    claimed = [job for job in at_once([worker.claim for worker in workers]) if job]
    assert [job.number for job in claimed] == [Job.objects.order_by("pk").first().number]  # type: ignore[union-attr]


def test_jobs_of_different_environments_go_to_different_workers(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    for environment in (cast.test, cast.acceptance):
        request_job(JobKind.TRANSPORT, environment, Actor(cast.alice), package)
    workers = [Worker(FakeRuntime(), f"worker-{number}") for number in range(4)]
    claimed = {job for _ in range(2) for job in at_once([worker.claim for worker in workers]) if job}
    assert {job.environment_id for job in claimed} == {cast.test.pk, cast.acceptance.pk}


def test_the_same_upload_twice_at_once_is_one_package(cast: Cast) -> None:
    content = archive().read()
    clients = [signed_in(cast.alice) for _ in range(2)]

    def send(client: Any) -> Any:
        from django.core.files.uploadedfile import SimpleUploadedFile

        return client.post("/apps/calc/packages/upload/", {"file": SimpleUploadedFile("calc.zip", content)})

    answers = at_once([lambda c=c: send(c) for c in clients])  # type: ignore[misc]
    package = Package.objects.get()
    assert {answer.headers["Location"] for answer in answers} == {f"/apps/calc/packages/{package.key}/"}
    assert package.file.storage.exists(str(package.file.name))


def test_a_worker_carries_out_what_comes_and_leaves_when_asked(cast: Cast) -> None:
    package = make_package(cast.app, cast.alice)
    with working(Worker(FakeRuntime(), "tester")):
        wait_for(is_alive)
        asked = time.monotonic()
        job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
        wait_for(lambda: not Job.objects.get(pk=job.pk).is_active)
        took = time.monotonic() - asked
    job.refresh_from_db()
    assert job.state == "done"
    assert took < 5  # a busy machine; an idle one needs 0.1 s
    assert not WorkerRow.objects.exists()
    assert not is_alive()


def test_a_slow_job_does_not_hold_up_another_environment(cast: Cast) -> None:
    runtime, gate = FakeRuntime(), threading.Event()
    runtime.sick.add("python3 slow.py")
    slow, quick = make_package(cast.app, cast.alice, "1", "python3 slow.py"), make_package(cast.app, cast.alice, "2")
    with working(Worker(runtime, "tester")):
        first = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), slow)
        wait_for(lambda: Job.objects.get(pk=first.pk).state == "running")
        second = request_job(JobKind.TRANSPORT, cast.acceptance, Actor(cast.alice), quick)
        wait_for(lambda: Job.objects.get(pk=second.pk).state == "done")
        assert Job.objects.get(pk=first.pk).state == "running"
        gate.set()
    first.refresh_from_db()
    assert first.state == "interrupted"
    assert first.result == "The portal was stopped meanwhile. Nothing is on it yet."
    assert [instance.environment for instance in runtime.instances()] == [cast.acceptance.pk]


def test_a_database_that_is_away_for_a_while_is_waited_for(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both while it looks for work and in the middle of a job."""
    package = make_package(cast.app, cast.alice)
    worker = Worker(FakeRuntime(), "tester")
    away = iter([True, True])
    claim = worker.claim

    def claim_when_there() -> Job | None:
        if next(away, False):
            raise OperationalError("the database system is shutting down")
        return claim()

    worker.claim = claim_when_there  # type: ignore[method-assign]
    hold = iter([False, True, True])
    from deployments.journal import Journal

    original = Journal.hold

    def hold_when_there(self: Journal) -> None:
        if next(hold, False):
            raise OperationalError("server closed the connection unexpectedly")
        original(self)

    monkeypatch.setattr(Journal, "hold", hold_when_there)
    with working(worker):
        job = request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
        wait_for(lambda: not Job.objects.get(pk=job.pk).is_active)
    job.refresh_from_db()
    assert job.state == "done", job.result
    assert "The database does not answer" in caplog.text


def test_cancelling_and_claiming_at_once_end_in_one_of_the_two(cast: Cast) -> None:
    """Whoever is first: the job is cancelled and never begins, or it runs and heeds what was asked."""
    for number in range(5):
        runtime = FakeRuntime()
        job = request_job(
            JobKind.TRANSPORT, cast.test, Actor(cast.alice), make_package(cast.app, cast.alice, f"1.{number}")
        )
        answers = at_once(
            [
                lambda job=job: cancel_job(cast.test, Actor(cast.alice), job.number),  # type: ignore[misc]
                lambda runtime=runtime: Worker(runtime, "worker").run_once(),  # type: ignore[misc]
            ]
        )
        job.refresh_from_db()
        assert not isinstance(answers[1], Exception), answers
        assert job.state == ("done" if isinstance(answers[0], Refused) else "cancelled"), (answers, job.result)
        assert not Job.objects.active().exists()


def test_two_who_save_options_at_once_do_not_overwrite_each_other(cast: Cast) -> None:
    values = [Options(variables={name: Setting("x")}) for name in ("A", "B", "C", "D")]
    answers = at_once([lambda o=o: save_options(cast.test, Actor(cast.alice), o, 0) for o in values])  # type: ignore[misc]
    assert sorted(type(answer).__name__ for answer in answers) == ["ChangedMeanwhile"] * 3 + ["list"]
    assert len(stored(cast.test).options.variables) == 1


def test_workers_at_once_run_an_event_once(cast: Cast) -> None:
    event = {"name": "Tick", "command": "true", "interval": 60}
    package = make_package(cast.app, cast.alice, scheduled_events=[event])
    request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)
    Worker(FakeRuntime(), "worker").run_once()
    now = timezone.now()
    EventClock.objects.create(pk=1, looked_at=now - timedelta(seconds=60))
    Live.objects.update(since=now - timedelta(hours=1))
    taken = at_once([lambda n=n: take_due(f"worker-{n}", now) for n in range(4)])  # type: ignore[misc]
    assert sorted(map(len, taken)) == [0, 0, 0, 1], taken
    assert EventRun.objects.count() == 1


def test_slow_jobs_of_one_app_do_not_hold_up_another(cast: Cast) -> None:
    """Versions that may take an hour to get healthy, on all of its environments; its own others wait their turn."""
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    for app, environments in ((cast.app, cast.app.environments.all()), (other, other.environments.filter(slug="test"))):
        package = make_package(app, app.technical_contact)
        for environment in environments:
            request_job(JobKind.TRANSPORT, environment, Actor(app.technical_contact, via="shell"), package)
    claimed = [Worker(FakeRuntime(), name).claim() for name in ("one", "two", "one", "two")]
    assert [job and str(job.environment.host) for job in claimed] == [
        "test--calc",
        "acceptance--calc",
        "test--other",
        None,
    ]
    Job.objects.filter(pk=claimed[0].pk if claimed[0] else 0).update(state=JobState.DONE)
    third = Worker(FakeRuntime(), "one").claim()
    assert third
    assert third.environment == cast.production


def test_long_events_of_one_app_do_not_keep_those_of_another_from_running(cast: Cast) -> None:
    class Slow(FakeRuntime):
        def run(self, spec: Spec, command: str, timeout: float) -> Finished:
            assert command == "quick" or let_go.wait(20)
            return super().run(spec, command, timeout)

    let_go, runtime = threading.Event(), Slow()
    other = flows.create_app(Actor(cast.charlie), "Other", "other")
    every_minute = [{"name": f"Long {n}", "command": "long", "interval": 60} for n in range(12)]
    for app, events in ((cast.app, every_minute), (other, [{"name": "Quick", "command": "quick", "interval": 60}])):
        package = make_package(app, app.technical_contact, scheduled_events=events)
        request_job(JobKind.TRANSPORT, app.environments.get(slug="test"), Actor(app.technical_contact), package)
        Worker(runtime, "worker").run_once()
    now = timezone.now()
    EventClock.objects.create(pk=1, looked_at=now - timedelta(seconds=60))
    Live.objects.update(since=now - timedelta(hours=1))
    Worker(runtime, "worker").run_events(now)
    try:
        wait_for(EventRun.objects.filter(event="Quick", state="done").exists)
        assert EventRun.objects.filter(event__startswith="Long", state="running").count() == 12
    finally:
        let_go.set()
        for thread in threading.enumerate():
            if thread.name.startswith("worker-event"):
                thread.join(15)
    assert not EventRun.objects.filter(state="running").exists()
