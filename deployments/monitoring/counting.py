"""Counts what environments store, beside the looks: a large one takes minutes, and health checks can't wait for it."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from deployments.models import Live
from deployments.monitoring.alert_models import Watch
from deployments.runtimes.base import Runtime, RuntimeFailure, Stored
from deployments.states import EnvironmentState

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)  # between two counts of what an environment stores, and at least
REST = 20  # times what the last count took
QUICK = 1.0  # seconds; what is counted by then is in the same look
LONGEST = timedelta(hours=1)  # between two counts; what is due later than that was written by a clock that was wrong


class Counter:
    """One worker's counts. They end with the process: nobody waits two minutes for one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._due: dict[int, datetime] = {}
        self._found: SimpleQueue[tuple[int, Stored | None, float]] = SimpleQueue()
        self._thread = threading.Thread()

    def count(self, environments: Iterable[int], now: datetime) -> dict[int, Stored]:
        """Begin to count what is due, and give those that were counted since the last call."""
        self._due = self._due_of(set(environments), now)
        idle = not self._thread.is_alive()  # asked first, so that all that it counted is taken now
        before = self._taken(now)
        due = [each for each, at in self._due.items() if at <= now or at > now + LONGEST]
        if due and idle:
            self._thread = threading.Thread(target=self._count_all, args=(due,), name="counts", daemon=True)
            self._thread.start()
            self._thread.join(QUICK)
        return before | self._taken(now)

    def _due_of(self, environments: set[int], now: datetime) -> dict[int, datetime]:
        """Give when each is due; what another worker has counted is not due at once."""
        known = {each: at for each, at in self._due.items() if each in environments}
        if new := environments - known.keys():
            counted = Watch.objects.filter(environment__in=new, counted_at__isnull=False)
            before = {each: at + EVERY for each, at in counted.values_list("environment", "counted_at") if at}
            known |= {each: before.get(each, now) for each in new}
        return known

    def _count_all(self, environments: Iterable[int]) -> None:
        for environment in environments:
            begun, stored = time.monotonic(), None
            try:
                stored = self._runtime.storage(environment)
            except (RuntimeFailure, OSError) as failure:
                log.info("What the environment %s stores was not counted: %s", environment, failure)
            self._found.put((environment, stored, time.monotonic() - begun))

    def _taken(self, now: datetime) -> dict[int, Stored]:
        found: dict[int, Stored] = {}
        with suppress(Empty):
            while True:
                environment, stored, took = self._found.get_nowait()
                if environment not in self._due:
                    continue  # nothing is on it any more
                self._due[environment] = now + max(EVERY, timedelta(seconds=REST * took))
                if stored:
                    found[environment] = stored
        return found


def keep(found: Mapping[int, Stored], now: datetime) -> None:
    """Keep what was counted, for alerts and pages; nothing of what was cleared or deleted meanwhile."""
    there = Live.objects.filter(environment__in=found).exclude(state=EnvironmentState.EMPTY)
    rows = [
        Watch(environment_id=each, database_bytes=found[each].database, files_bytes=found[each].files, counted_at=now)
        for each in there.values_list("environment", flat=True)
    ]
    Watch.objects.bulk_create(rows, update_conflicts=True, unique_fields=["environment"], update_fields=_KEPT)


_KEPT = ["database_bytes", "files_bytes", "counted_at"]
