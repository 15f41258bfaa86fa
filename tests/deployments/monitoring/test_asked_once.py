"""Real workers and a real app: it is asked for its health once at a time, for pictures and alerts together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.models import Sum

from deployments import worker
from deployments.models import Alert, Live, Measurement, Sampling, Watch
from deployments.worker import Worker
from tests.cast import make_cast
from tests.deployments.fakes import make_package
from tests.deployments.node import SERVER, LocalNode, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# Writes down who asks, and says that it is not well for as long as it is told so
COUNTS = SERVER.replace(
    "        body =",
    '        with open("/data/asked", "a") as file: file.write(self.path + "\\n")\n        body =',
).replace('os.environ.get("STATUS", "200")', '503 if os.path.exists("/data/sick") else 200')


@contextmanager
def at_work(*workers: Worker) -> Iterator[list[threading.Thread]]:
    """Workers as their processes run them; all are gone afterwards."""

    def run(each: Worker) -> None:
        try:
            each.run_forever()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(each,)) for each in workers]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for each in workers:
            each.leave()
        for thread in threads:
            thread.join()


def test_two_workers_ask_an_app_once_for_pictures_and_alerts(
    node: LocalNode, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEALTH_EVERY = 0
    monkeypatch.setattr(worker, "EVERY", 0.2)
    monkeypatch.setattr(worker, "WATCH", 0.1)
    cast = make_cast()
    package, key = make_package(cast.app, cast.alice, health_path="/well"), cast.test.pk
    instance = node.start(node.release({"app.py": COUNTS}), environment=key)
    assert node.healthy(instance).healthy
    Live.objects.create(environment=cast.test, state="running", package=package, instance=instance.number)
    data = node.runtime.layout.data(key)
    first, second = Worker(node.runtime, "first"), Worker(node.runtime, "second")
    with at_work(first, second):
        wait_until(lambda: Watch.objects.filter(environment=key, count__gt=3).exists())
        (data / "sick").touch()
        wait_until(lambda: Alert.objects.open().filter(environment=key, kind="unhealthy").exists())
        leaves = next(each for each in (first, second) if each.name == Sampling.objects.get().worker)
        leaves.leave()
        before = Watch.objects.get(environment=key).count
        wait_until(lambda: Watch.objects.get(environment=key).count > before + 2)
    asked = (data / "asked").read_text().splitlines().count("/well")
    months = Measurement.objects.filter(environment=key, span=6 * 3600)
    checks, failures = months.aggregate(Sum("checks"), Sum("failures")).values()
    assert asked == checks, "each request is in the pictures"
    assert Watch.objects.get(environment=key).count == failures >= 3, "and counts for alerts"
