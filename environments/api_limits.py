"""How often the Deploy API is asked: each key by each address, and wrong keys by each address.

Counted in the memory of each web process, so that a call costs no write. A process grants its share of the limit:
all of them together never grant more than it.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

from django.conf import settings

PERIOD = 60.0  # seconds that the limits are for
MOST_KEPT = 10_000  # callers remembered by a process; the one that was quiet longest is forgotten first


@dataclass
class _Bucket:
    left: float
    at: float


class Limiter:
    """Lets each caller through so often a minute, evenly or in one burst."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._lock = Lock()

    def wait(self, caller: Hashable, most: float, now: float | None = None) -> int:
        """Count a call; gives 0 when it may pass, else the seconds to wait."""
        now = time.monotonic() if now is None else now
        with self._lock:
            bucket = self._buckets.pop(caller, None) or _Bucket(most, now)
            self._buckets[caller] = bucket
            if len(self._buckets) > MOST_KEPT:
                self._buckets.popitem(last=False)
            bucket.left = min(most, bucket.left + (now - bucket.at) * most / PERIOD)
            bucket.at = now
            if bucket.left >= 1:
                bucket.left -= 1
                return 0
            return max(1, math.ceil((1 - bucket.left) * PERIOD / most))

    def forget(self) -> None:
        with self._lock:
            self._buckets.clear()


limiter = Limiter()


def wait_for_key(key: int, address: str) -> int:
    # SECURITY: by key and address together, so that a thief of the key can't keep its owner out
    return limiter.wait((key, address), share_of(settings.API_CALLS_PER_MINUTE))


def wait_after_wrong_key(address: str) -> int:
    return limiter.wait(address, share_of(settings.API_WRONG_KEYS_PER_MINUTE))


def share_of(limit: int) -> float:
    workers: int = settings.WEB_WORKERS
    return max(1.0, limit / workers)
