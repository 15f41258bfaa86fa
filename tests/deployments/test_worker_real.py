"""Deployments of real packages in real sandboxes behind the real router."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.actor import Actor
from deployments.events import carry_out_event, take_due
from deployments.flows import request_job, request_roll_back
from deployments.models import EventClock, EventRun, Job, Live, Package
from deployments.packages import build_archive
from deployments.reconciliation import reconcile
from deployments.states import JobKind
from deployments.worker import Worker
from tests.cast import Cast
from tests.deployments.fakes import make_package
from tests.deployments.node import PACKAGES, LocalNode, wait_until

HOST = "test--calc"


@pytest.fixture(autouse=True)
def _patience(settings: Any) -> None:
    settings.HEALTH_PATIENCE = 15
    settings.STOP_GRACE = 2


def package_of(cast: Cast, tmp_path: Path, source: str) -> Package:
    from django.core.files import File

    from deployments.flows import upload_package

    target = tmp_path / f"{source.replace('/', '-')}.zip"
    build_archive(PACKAGES / source, target)
    with target.open("rb") as file:
        return upload_package(cast.app, Actor(cast.alice), File(file, target.name), target.name)


def carry_out(node: LocalNode, cast: Cast, kind: JobKind, package: Package | None = None) -> Job:
    job = request_job(kind, cast.test, Actor(cast.alice), package)
    assert Worker(node.runtime, "real").run_once()
    job.refresh_from_db()
    return job


def outputs(job: Job) -> str:
    return "\n".join([job.result, *job.steps.values_list("output", flat=True)])


class Visitors:
    """People who ask for a page all the time, each on new connections; `refused` is what went wrong."""

    def __init__(self, node: LocalNode, count: int = 4) -> None:
        self.node = node
        self.answered = 0
        self.refused: list[str] = []
        self._leave = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        while not self._leave.is_set():
            try:
                status, _ = self.node.get(HOST, "/healthz")
            except OSError as error:
                self.refused.append(repr(error))
            else:
                self.answered += 1
                if status != 200:
                    self.refused.append(str(status))

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join()


def test_a_package_is_transported_and_replaced_without_one_failed_request(
    node: LocalNode, cast: Cast, tmp_path: Path
) -> None:
    first, second = (package_of(cast, tmp_path, f"calc/{version}") for version in ("1.0.0", "1.1.0"))
    job = carry_out(node, cast, JobKind.TRANSPORT, first)
    assert job.state == "done", outputs(job)
    assert node.get(HOST)[0] == 200
    with Visitors(node) as visitors:
        wait_until(lambda: visitors.answered > 25)
        job = carry_out(node, cast, JobKind.TRANSPORT, second)
        before = visitors.answered
        wait_until(lambda: visitors.answered > before + 25)
    assert job.state == "done", outputs(job)
    assert visitors.refused == []
    assert [instance.number for instance in node.runtime.instances()] == [2]


@pytest.mark.parametrize("source", ["never_healthy", "crashes"])
def test_a_version_that_is_not_well_leaves_the_old_one_where_it_is(
    node: LocalNode, cast: Cast, tmp_path: Path, settings: Any, source: str
) -> None:
    settings.HEALTH_PATIENCE = 2
    carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, "calc/1.0.0"))
    bad = package_of(cast, tmp_path, source)
    with Visitors(node, 1) as visitors:
        job = carry_out(node, cast, JobKind.TRANSPORT, bad)
    assert job.state == "failed"
    assert job.result.endswith("Calc 1.0.0 keeps running.")
    assert visitors.refused == []
    assert [instance.number for instance in node.runtime.instances()] == [1]
    expected = "Running, but not well." if source == "never_healthy" else "The price list is missing"
    assert expected in outputs(job)


def test_what_crashes_fails_at_once_and_says_how_it_ended(node: LocalNode, cast: Cast, tmp_path: Path) -> None:
    began = time.monotonic()
    job = carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, "crashes"))
    assert time.monotonic() - began < 10
    assert "exit code 3" in job.result


def test_stop_start_and_restart(node: LocalNode, cast: Cast, tmp_path: Path) -> None:
    carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, "calc/1.0.0"))
    assert carry_out(node, cast, JobKind.STOP).state == "done"
    assert node.get(HOST)[0] == 503
    assert node.runtime.instances() == []
    assert carry_out(node, cast, JobKind.START).state == "done"
    assert node.get(HOST)[0] == 200
    with Visitors(node, 2) as visitors:
        assert carry_out(node, cast, JobKind.RESTART).state == "done"
    assert visitors.refused == []


def test_what_takes_no_notice_of_being_asked_to_end_is_ended(
    node: LocalNode, cast: Cast, tmp_path: Path, settings: Any
) -> None:
    settings.STOP_GRACE = 0.5
    carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, "ignores_term"))
    assert carry_out(node, cast, JobKind.STOP).state == "done"
    assert node.runtime.instances() == []


def test_what_ended_by_itself_is_noticed_and_a_restart_brings_it_back(
    node: LocalNode, cast: Cast, tmp_path: Path
) -> None:
    carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, "calc/1.0.0"))
    node.stop_all()
    reconcile(node.runtime)
    wait_until(lambda: node.get(HOST)[0] == 200)
    assert Live.objects.get().trouble == ""


def test_an_event_runs_beside_the_app_with_its_data_and_options_and_clearing_takes_all_of_it(
    node: LocalNode, cast: Cast
) -> None:
    event = {"name": "Count", "interval": 60, "command": "echo $GREETING >> $DATA_DIR/count && wc -l < $DATA_DIR/count"}
    serve = "python3 -m http.server $PORT --bind 127.0.0.1"
    constants = [{"name": "GREETING", "default": "Hi"}]
    package = make_package(cast.app, cast.alice, web=serve, scheduled_events=[event], constants=constants)
    assert carry_out(node, cast, JobKind.TRANSPORT, package).state == "done"
    now = timezone.now()
    Live.objects.update(since=now - timedelta(hours=1))
    for count in (1, 2):
        EventClock.objects.update_or_create(pk=1, defaults={"looked_at": now - timedelta(seconds=60)})
        EventRun.objects.update(due_at=F("due_at") - timedelta(minutes=5))
        (run,) = take_due("real", now)
        carry_out_event(run, node.runtime)
        run.refresh_from_db()
        assert (run.state, run.result, run.output.strip()) == ("done", "Exit code 0.", str(count))
    data = node.runtime.layout.data(cast.test.pk)
    assert (data / "count").read_text() == "Hi\nHi\n"
    assert carry_out(node, cast, JobKind.STOP).state == "done"
    cleared = carry_out(node, cast, JobKind.CLEAR)
    assert cleared.state == "done", outputs(cleared)
    assert not (data / "count").exists()
    assert not node.runtime.has_release(package.sha256)
    assert carry_out(node, cast, JobKind.TRANSPORT, package).state == "done"


def test_the_way_back_needs_no_unpacking_and_loses_no_request(node: LocalNode, cast: Cast, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, f"calc/{version}"))
    with Visitors(node, 2) as visitors:
        job = request_roll_back(cast.test, Actor(cast.alice), 1, "", with_options=True)
        assert Worker(node.runtime, "real").run_once()
    job.refresh_from_db()
    assert job.state == "done", outputs(job)
    assert job.steps.get(name="unpack").state == "skipped"
    assert visitors.refused == []
    assert node.get(HOST, "/version")[1].strip() == '{"name": "calc", "version": "1.0.0"}'


def test_the_way_from_the_request_to_the_answer_is_short(node: LocalNode, cast: Cast, tmp_path: Path) -> None:
    """What the portal adds to the start itself is well below a second."""
    carry_out(node, cast, JobKind.TRANSPORT, package_of(cast, tmp_path, "calc/1.0.0"))

    def added() -> float:
        job = carry_out(node, cast, JobKind.RESTART)
        return sum(seconds(job, name) for name in ("check", "switch"))

    assert any(added() < 0.5 for _ in range(6))  # a busy machine may take longer, not every time


def seconds(job: Job, name: str) -> float:
    step = job.steps.get(name=name)
    assert step.started_at
    assert step.ended_at
    return (step.ended_at - step.started_at).total_seconds()
