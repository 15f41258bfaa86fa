"""Counts what environments store, beside the looks: a large one takes minutes, and health checks can't wait for it."""

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from deployments.runtimes.base import Runtime, RuntimeFailure

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
        self._found: SimpleQueue[tuple[int, int | None, float]] = SimpleQueue()
        self._thread = threading.Thread()

    def count(self, environments: Iterable[int], now: datetime) -> dict[int, int]:
        """Begin to count what is due, and give the bytes of those that were counted since the last call."""
        self._due = {each: self._due.get(each, now) for each in environments}
        due = [each for each, at in self._due.items() if at <= now or at > now + LONGEST]
        if due and not self._thread.is_alive():
            self._thread = threading.Thread(target=self._count_all, args=(due,), name="counts", daemon=True)
            self._thread.start()
            self._thread.join(QUICK)
        return self._taken(now)

    def _count_all(self, environments: Iterable[int]) -> None:
        for environment in environments:
            begun, size = time.monotonic(), None
            try:
                size = self._runtime.storage(environment)
            except (RuntimeFailure, OSError) as failure:
                log.info("What the environment %s stores was not counted: %s", environment, failure)
            self._found.put((environment, size, time.monotonic() - begun))

    def _taken(self, now: datetime) -> dict[int, int]:
        found: dict[int, int] = {}
        with suppress(Empty):
            while True:
                environment, size, took = self._found.get_nowait()
                self._due[environment] = now + max(EVERY, timedelta(seconds=REST * took))
                if size is not None:
                    found[environment] = size
        return found
