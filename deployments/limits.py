"""What an archive may cost on this installation: the limits of `archive_entries`, as the operator has set them."""

from django.conf import settings

from deployments.archive_entries import Limits


def limits() -> Limits:
    return Limits(
        max_bytes=settings.PACKAGE_MAX_BYTES,
        max_entries=settings.PACKAGE_MAX_ENTRIES,
        max_unpacked_bytes=settings.PACKAGE_MAX_UNPACKED_BYTES,
        max_ratio=settings.PACKAGE_MAX_RATIO,
        max_depth=settings.PACKAGE_MAX_DEPTH,
    )
