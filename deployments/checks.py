"""Checks of the server on which environments have their databases.

By `manage.py run` and `check --deploy` only: they ask the server, which may be away, and no other command is to wait.
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from deployments.runtimes import server_checks
from deployments.runtimes.databases import Databases
from deployments.runtimes.layout import Layout

HINT = "docs/settings.md, “A server for databases of environments”, says what it needs."


@register(Tags.security, deploy=True)
def environments_server(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    databases = Databases(Layout(settings.VAR), settings.ENVIRONMENT_DATABASE_URL)
    found: list[CheckMessage] = [
        Error(problem, hint=HINT, id="deployments.E001") for problem in server_checks.problems(databases)
    ]
    if not found and (names := server_checks.open_to_apps(databases)):
        words = f"Every app can connect to these databases of the environments' server: {', '.join(names)}."
        found.append(
            Warning(
                words, hint=f"Type: REVOKE CONNECT ON DATABASE {', '.join(names)} FROM PUBLIC", id="deployments.W001"
            )
        )
    return found
