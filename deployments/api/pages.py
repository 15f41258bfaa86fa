"""The page about the Deploy API: every call with an example that can be typed. It says nothing that is secret."""

import json
import shlex
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.guards import public
from deployments.api.calls import Operation
from deployments.api.openapi import errors_of
from deployments.api.table import CALLS
from environments.api_access import KEY, USERNAME

SHOWN = {
    "AppId": "calc",
    "Mode": "Acceptance",
    "PackageId": "b3d14e53-2654-4534-b374-9179a69ef3cf",
    "JobId": "12",
    "SnapshotId": "0c982ca3-621f-40e9-9c6e-96492934170a",
    "Date": "2026-11-24",
}
HEADERS = f'-H "{USERNAME}: $DEPLOY_USER" -H "{KEY}: $DEPLOY_KEY"'


@public
def about(request: HttpRequest) -> HttpResponse:
    return render(request, "deployments/api.html", {"calls": _calls(), "headers": HEADERS, "root": _root()})


def _calls() -> list[dict[str, Any]]:
    return [
        {
            "method": method,
            "address": pattern.text,
            "summary": operation.summary,
            "needs": _needs(pattern.text, operation),
            "example": example_of(pattern.text, method, operation),
            "errors": [code for code in errors_of(pattern.text, operation) if code in operation.errors],
        }
        for pattern in CALLS
        for method, operation in pattern.by_method.items()
    ]


def _needs(address: str, operation: Operation) -> str:
    guard = operation.guard
    needs = []
    if guard.permission:
        needs.append(guard.permission.label)
    elif guard.deploys or "{Mode}" in address:
        needs.append("the deploy permission of a role")
    if "{Mode}" in address:
        needs.append("API Rights")
    words = " and ".join(needs) or "membership" if "{AppId}" in address else "a key"
    return f"{words}; no key that only reads" if guard.changes else words


def example_of(address: str, method: str, operation: Operation) -> str:
    """Give a call as a shell would make it."""
    path = address
    for name, value in SHOWN.items():
        path = path.replace(f"{{{name}}}", value)
    parts = ["curl", HEADERS]
    if operation.is_upload:
        parts.append("-F file=@calc-1.2.0.zip")
    elif operation.example is not None:
        parts.append(f"-d {shlex.quote(json.dumps(operation.example))}")
    elif method != "GET":
        parts.append(f"-X {method}")
    if operation.answers.get("format") == "binary":
        parts.append("-o calc.zip")
    return " ".join([*parts, f"{_root()}/{path}"])


def _root() -> str:
    return f"{settings.PORTAL_URL}/api/1"
