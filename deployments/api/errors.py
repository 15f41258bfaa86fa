"""What the refusals of the flows are called in the Deploy API: one table, in which the first that fits counts."""

from accounts import refusals
from deployments.errors import NoRoom, NotStopped, Refused
from deployments.packages import PackageRefused
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.authority import NotPermitted

TABLE: tuple[tuple[type[Exception], Code], ...] = (
    (NotPermitted, Code.NO_ACCESS),
    (NotStopped, Code.APP_IS_RUNNING),
    (NoRoom, Code.UPLOAD_COPY_FAILED),
    (PackageRefused, Code.INVALID_PACKAGE),
)


def translated(exception: Exception, refused: Code, request: ApiRequest) -> ApiRefused | None:
    """Give what a flow refused as an error of the API; None for what is no refusal but a failure.

    `refused` is what a plain Refused means in this call. Records what was refused for a right that is missing.
    """
    code = next((code for kind, code in TABLE if isinstance(exception, kind)), None)
    if code is None and isinstance(exception, Refused):
        code = refused
    if code is None:
        return None
    if code is Code.NO_ACCESS:
        environment = getattr(request, "environment", None)
        refusals.note(request, f"Deploy API: {str(exception).rstrip('.')}", getattr(request, "app", None), environment)
    reason = exception.reason if isinstance(exception, PackageRefused) else str(exception)
    return ApiRefused(code, reason)
