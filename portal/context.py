"""What every page's frame shows; it asks no database and tolerates a request that never met the gate."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def frame(request: HttpRequest) -> dict[str, Any]:
    """Give the open production window, the app and environment of the address, and who helps."""
    standing = getattr(request, "standing", None)
    return {
        "window": getattr(request, "window", None),
        "app": getattr(request, "app", None),
        "environment": getattr(request, "environment", None),
        "may_deploy": bool(getattr(standing, "deploys", False)),
        "demo": settings.DEMO,
        "support_email": settings.SUPPORT_EMAIL,
    }
