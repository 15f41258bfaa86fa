"""Two worker processes on one database share the queue and never take the same job."""

from collections import Counter
from pathlib import Path

import pytest

from accounts.actor import Actor
from accounts.models import Activity
from deployments.flows import request_job
from deployments.models import Job, Package
from deployments.models import Worker as WorkerRow
from deployments.states import JobKind
from deployments.worker import MOST_AT_ONCE
from environments import flows
from environments.models import App, Environment
from tests.cast import Cast, make_cast
from tests.deployments.fakes import make_package
from tests.deployments.node import LocalNode, wait_until
from tests.deployments.test_worker_process import worker_process

pytestmark = pytest.mark.django_db(transaction=True)
APPS = MOST_AT_ONCE // 2 + 1  # two environments each: more than one worker takes at once
HELD = 'while [ ! -e "$DATA_DIR/go" ]; do sleep 0.1; done; exec python3 -m http.server --bind 127.0.0.1 "$PORT"'


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def places(cast: Cast) -> list[tuple[Environment, Package]]:
    """Two environments in each of some apps, each app with a package of its own."""
    apps: list[App] = [cast.app]
    apps += [flows.create_app(Actor(cast.alice), f"App {number}", f"app-{number}") for number in range(1, APPS)]
    found = []
    for app in apps:
        package = make_package(app, cast.alice, web=HELD)
        found += [(environment, package) for environment in app.environments.filter(is_production=False)]
    return found


def taken_by() -> set[str]:
    return set(Job.objects.exclude(worker="").values_list("worker", flat=True))


def let_go(node: LocalNode, job: Job) -> None:
    """Let what the job starts listen; until then the job waits for it."""
    data = node.runtime.layout.data(job.environment_id)
    wait_until(data.is_dir, 30)
    (data / "go").touch()


def test_two_workers_share_the_queue_and_never_take_the_same_job(
    own_node: LocalNode, cast: Cast, tmp_path: Path
) -> None:
    with worker_process(own_node, "first"), worker_process(own_node, "second"):
        wait_until(lambda: WorkerRow.objects.count() == 2, 30)
        jobs = [
            request_job(JobKind.TRANSPORT, environment, Actor(cast.alice), package)
            for environment, package in places(cast)
        ]
        wait_until(lambda: taken_by() == {"first", "second"}, 60)
        for job in jobs:
            let_go(own_node, job)
        wait_until(lambda: not Job.objects.active().exists(), 60)
    results = Counter(Job.objects.values_list("state", flat=True))
    assert results == {"done": len(jobs)}, [job.result for job in Job.objects.all()]
    assert len(own_node.runtime.instances()) == len(jobs)
    for job in jobs:
        assert len(job.steps.all()) == len(set(job.steps.values_list("name", flat=True)))
        started = [step.started_at for step in job.steps.order_by("order") if step.started_at]
        assert started == sorted(started)
    done = Activity.objects.filter(via="worker").values_list("pk", flat=True)
    assert len(done) == len(jobs)
