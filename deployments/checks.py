"""Checks of the server on which environments have their databases.

By `manage.py run` and `check --deploy` only: they ask the server, which may be away, and no other command is to wait.
"""

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register

from deployments.runtimes import get_runtime

HINT = "docs/settings.md, “A server for databases of environments”, says what it needs."


@register(Tags.security, deploy=True)
def environments_server(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    server = get_runtime().database_server()
    found: list[CheckMessage] = [Error(problem, hint=HINT, id="deployments.E001") for problem in server.problems]
    if names := server.open_to_apps:
        words = f"Every app can connect to these databases of the environments' server: {', '.join(names)}."
        found.append(
            Warning(
                words, hint=f"Type: REVOKE CONNECT ON DATABASE {', '.join(names)} FROM PUBLIC", id="deployments.W001"
            )
        )
    return found
