"""Says whether the process lives (`/healthz`) and whether the portal can do its work (`/readyz`)."""

from collections.abc import Callable

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string

from accounts.guards import public


@public
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@public
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, storage and a worker are there and the keys fit, else 503, naming what is wrong."""
    checks: dict[str, Callable[[], bool]] = {
        "database": _database,
        "storage": _storage,
        "worker": import_string(settings.WORKER_ALIVE),
        "ENCRYPTION_KEYS": import_string(settings.KEYS_FIT),
    }
    found = {name: _holds(check) for name, check in checks.items()}
    return JsonResponse(found, status=200 if all(found.values()) else 503)


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (DatabaseError, OSError):
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _storage() -> bool:
    name = default_storage.save("readyz", ContentFile(b"ok"))
    default_storage.delete(name)
    return True
