"""`manage.py worker` as a process of its own: it works, leaves when asked, and may be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.actor import Actor
from deployments.flows import request_job
from deployments.models import EventClock, EventRun, Job, Live
from deployments.states import JobKind
from deployments.worker import is_alive
from tests.cast import Cast, make_cast
from tests.deployments.fakes import make_package
from tests.deployments.node import LocalNode, processes_with, wait_until
from tests.deployments.test_worker_real import HOST, package_of

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def database_url() -> str:
    name = str(connection.settings_dict["NAME"])
    return (
        f"sqlite:///{name}"
        if connection.vendor == "sqlite"
        else os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"
    )


def settings_for(node: LocalNode) -> dict[str, str]:
    """Give the variables by which a process is one of this node's portal, with the test's database and storage."""
    storage = node.var / "storage"
    if not storage.exists():
        storage.symlink_to(settings.VAR / "storage")
        (node.var / "uploads").mkdir()
    return os.environ | {
        "PORTAL_ENV_FILE": os.devnull,
        "PORTAL_MODE": "demo",
        "PORTAL_VAR": str(node.var),
        "APPS_PORT": str(node.port),
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }


@contextmanager
def worker_process(node: LocalNode, name: str = "w") -> Iterator["subprocess.Popen[bytes]"]:
    """Start the command as `make run` does; it is gone afterwards, whatever the test did to it."""
    command = [sys.executable, "manage.py", "worker", "--name", name]
    process = subprocess.Popen(command, cwd=ROOT, env=settings_for(node))
    try:
        wait_until(is_alive, 30)
        yield process
    finally:
        process.kill()
        process.wait()


def ask(cast: Cast, package: Any) -> Job:
    return request_job(JobKind.TRANSPORT, cast.test, Actor(cast.alice), package)


def state_of(job: Job) -> str:
    return Job.objects.values_list("state", flat=True).get(pk=job.pk)


def test_it_is_killed_in_the_middle_and_its_successor_puts_things_right(
    own_node: LocalNode, cast: Cast, tmp_path: Path
) -> None:
    node = own_node
    calc, slow = package_of(cast, tmp_path, "calc/1.0.0"), package_of(cast, tmp_path, "slow_start")
    with worker_process(node) as worker:
        first = ask(cast, calc)
        wait_until(lambda: state_of(first) == "done", 30)
        second = ask(cast, slow)
        wait_until(lambda: second.steps.get(name="health").state == "running", 30)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert state_of(second) == "running"
    assert node.get(HOST)[0] == 200
    with worker_process(node):
        wait_until(lambda: state_of(second) == "interrupted", 30)
        wait_until(lambda: [instance.number for instance in node.runtime.instances()] == [first.number], 30)
        assert node.get(HOST)[0] == 200
        third = ask(cast, slow)
        wait_until(lambda: state_of(third) == "done", 30)
    assert Live.objects.get().package == slow


def test_told_to_end_it_gives_up_what_has_changed_nothing_yet_and_leaves(
    own_node: LocalNode, cast: Cast, tmp_path: Path
) -> None:
    package = package_of(cast, tmp_path, "never_healthy")
    with worker_process(own_node) as worker:
        job = ask(cast, package)
        wait_until(lambda: job.steps.get(name="health").state == "running", 30)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    job.refresh_from_db()
    assert (job.state, job.result) == (
        "interrupted",
        "The portal was stopped meanwhile. Nothing is on it yet.",
    )
    assert own_node.runtime.instances() == []
    assert not is_alive()


def a_minute_passes_and_an_event_is_due() -> bool:
    """Put the clock back until the worker has noticed, which looks at it every two seconds."""
    EventClock.objects.update(looked_at=timezone.now() - timedelta(seconds=60))
    return EventRun.objects.filter(state="running").exists()


def test_told_to_end_it_waits_for_no_event(own_node: LocalNode, cast: Cast) -> None:
    event = {"name": "Endless", "interval": 60, "command": "exec sleep 98765"}
    serve = "python3 -m http.server $PORT --bind 127.0.0.1"
    with worker_process(own_node) as worker:
        job = ask(cast, make_package(cast.app, cast.alice, web=serve, scheduled_events=[event]))
        wait_until(lambda: state_of(job) == "done", 30)
        Live.objects.update(since=timezone.now() - timedelta(hours=1))
        wait_until(a_minute_passes_and_an_event_is_due, 30)
        wait_until(lambda: processes_with("98765"))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert "running" not in EventRun.objects.values_list("state", flat=True)
    assert EventRun.objects.filter(state="interrupted").exists()
    wait_until(lambda: not processes_with("98765"))
