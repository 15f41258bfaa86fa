"""The call that leads to the log of a day."""

from datetime import UTC, datetime, time
from typing import Any

from deployments.api import links
from deployments.api.answers import KEY, TEXT, TIME, an_object, environment_key, milliseconds
from deployments.api.calls import call
from deployments.monitoring.logs import day_from, days_of
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.permissions import Permission

LOG = an_object(Environment=KEY, Date=TIME, DownloadUrl=TEXT)


@call("A link to the log of a day (UTC), good for ten minutes", LOG, Code.NOT_FOUND, permission=Permission.MONITORING)
def log(request: ApiRequest, date: str) -> dict[str, Any]:
    environment, day = request.environment, day_from(date)
    if day is None or day not in {kept.day for kept in days_of(environment)}:
        raise ApiRefused(Code.NOT_FOUND, f"No log of {environment.name} is kept of that day. Write it as YYYY-MM-DD.")
    return {
        "Environment": str(environment_key(request.app.project_id, environment)),
        "Date": milliseconds(datetime.combine(day, time(), UTC)),
        "DownloadUrl": links.to_log(request.api_key, environment, day),
    }
