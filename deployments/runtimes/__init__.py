"""Where packages run: the interface in `base`, one implementation a module."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployments.runtimes.base import Runtime


@functools.cache
def get_runtime() -> "Runtime":
    """Give the runtime that the settings name; one per process."""
    from django.conf import settings
    from django.utils.module_loading import import_string

    runtime: Runtime = import_string(settings.RUNTIME).from_settings()
    return runtime
