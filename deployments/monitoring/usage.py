"""What an environment's data take, and what room is left for them: as of the last count, never counted for a page."""

import logging
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from deployments.monitoring.alert_models import Watch
from deployments.monitoring.alerts import FULL
from deployments.runtimes.base import DatabaseKind, Runtime, RuntimeFailure, Stored

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """Bytes that the data take (None where nobody has counted yet) and that apps may still write where they are."""

    database: DatabaseKind
    stored: Stored | None
    counted_at: datetime | None
    room: int

    @property
    def used(self) -> int | None:
        """What takes room there; a database on a server has its own."""
        if self.stored is None:
            return None
        return self.stored.files + (self.stored.database if self.database is DatabaseKind.SQLITE else 0)

    @property
    def limit(self) -> int | None:
        return None if self.used is None else self.used + self.room

    @property
    def is_nearly_full(self) -> bool:
        return self.used is not None and bool(self.limit) and self.used >= FULL * (self.limit or 0)


def usage_of(environment: int, watch: Watch | None, runtime: Runtime) -> Usage | None:
    """Give it by what was last seen of an environment; None where the runtime can't say."""
    try:
        database, free = runtime.database(environment), runtime.room(environment)
    except (RuntimeFailure, OSError) as failure:
        log.warning("What room is left for the environment %s is not known: %s", environment, failure)
        return None
    stored = watch.stored if watch else None
    counted_at = watch.counted_at if watch and stored else None
    return Usage(database, stored, counted_at, max(0, free - int(settings.DISK_RESERVE_BYTES)))
