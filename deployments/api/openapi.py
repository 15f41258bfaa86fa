"""The description of the Deploy API for programs (OpenAPI 3.1), made from what the calls declare."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, JsonResponse

from accounts.guards import declare
from deployments.api.calls import Operation
from deployments.api.table import CALLS
from environments.api_access import KEY, USERNAME, ApiGuard
from environments.api_errors import Code

ABOUT = (
    "Brings packages to environments from CI systems. There is no code to enter: each call on an environment needs API"
    " Rights there on top of the right itself, which on production the Technical Contact turns on for each person."
    " Slashes at the end of an address come and go. Times are milliseconds since 1970."
)
# What any call may answer; those of an app or an environment besides. A failure of the portal itself is no promise,
# so that a test by the description finds it
ALWAYS = (Code.UNAUTHORIZED, Code.KEY_IN_URL, Code.TOO_MANY_REQUESTS, Code.TOO_LARGE)
OF_APP = (Code.INVALID_APPID, Code.APP_NOT_FOUND, Code.NO_ACCESS)
OF_ENVIRONMENT = (Code.INVALID_ENVIRONMENT, Code.ENVIRONMENT_NOT_FOUND)
DESCRIBED = {
    "AppId": "The short name of an app, as in its address.",
    "Mode": "Test, Acceptance, Production or another environment's own name; capitals don't matter.",
    "PackageId": "A package, as upload and the lists of packages name it.",
    "JobId": "What `start` answered.",
    "SnapshotId": "A backup, as the list of snapshots names it.",
    "Date": "A day in UTC, as YYYY-MM-DD.",
}
TEXT = {"type": "string", "minLength": 1}
SCHEMAS: dict[str, dict[str, Any]] = {
    "AppId": {"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
    "Mode": {"type": "string", "pattern": "^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$", "maxLength": 60},
    **dict.fromkeys(("PackageId", "JobId", "SnapshotId"), TEXT),
    "Date": {"type": "string", "format": "date"},
}


@declare(ApiGuard(open=True))
def document(request: HttpRequest) -> JsonResponse:
    return JsonResponse(description())


@lru_cache
def description() -> dict[str, Any]:
    paths = {f"/{call.text}": _path(call.text, call.by_method) for call in CALLS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Deploy API", "version": "1", "description": ABOUT},
        "servers": [{"url": "/api/1"}],
        "security": [{"username": [], "key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "username": {"type": "apiKey", "in": "header", "name": USERNAME},
                "key": {"type": "apiKey", "in": "header", "name": KEY},
            }
        },
    }


def errors_of(address: str, operation: Operation) -> tuple[Code, ...]:
    """Give every code that a call may answer with, in the order of their statuses."""
    codes = {*ALWAYS, *operation.errors}
    codes |= {*OF_APP} if "{AppId}" in address else set()
    codes |= {*OF_ENVIRONMENT} if "{Mode}" in address else set()
    codes |= {Code.INVALID_REQUEST} if operation.body else set()
    return tuple(sorted(codes, key=lambda code: (code.status, code.name)))


def _path(address: str, by_method: Mapping[str, Operation]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "description": DESCRIBED[name], "schema": SCHEMAS[name]}
        for name in re.findall(r"{(\w+)}", address)
    ]
    methods = {method.lower(): _operation(address, method, operation) for method, operation in by_method.items()}
    return {**({"parameters": parameters} if parameters else {}), **methods}


def _operation(address: str, method: str, operation: Operation) -> dict[str, Any]:
    by_status: dict[str, list[Code]] = {}
    for code in errors_of(address, operation):
        by_status.setdefault(str(code.status), []).append(code)
    kind = "application/zip" if operation.answers.get("format") == "binary" else "application/json"
    good = {"description": "As asked", "content": _content(kind, operation.answers)}
    described: dict[str, Any] = {
        "operationId": f"{method.lower()} {address}",
        "summary": operation.summary,
        "responses": {"200": good, **{status: _error(codes) for status, codes in by_status.items()}},
    }
    if operation.is_upload:
        described["parameters"] = [NAME]
        described["requestBody"] = {"required": True, "content": UPLOAD}
    elif operation.body:
        required = bool(operation.body.get("required"))
        described["requestBody"] = {"required": required, "content": _content("application/json", operation.body)}
    return described


NAME = {
    "name": "name",
    "in": "query",
    "description": "The file's name: where the package does not say its name and version, they are read from it.",
    "schema": {"type": "string", "maxLength": 200},
}
UPLOAD = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
            "required": ["file"],
        }
    },
    "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
}


def _content(kind: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {kind: {"schema": schema}}


def _error(codes: list[Code]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "errorCode": {"type": "string", "enum": [code.shown for code in codes]},
            "errorMessage": {"type": "string"},
        },
        "required": ["errorCode", "errorMessage"],
        "additionalProperties": False,
    }
    meanings = " ".join(f"{code.shown}: {code.meaning}" for code in codes)
    answer: dict[str, Any] = {"description": meanings, "content": _content("application/json", schema)}
    if Code.TOO_MANY_REQUESTS in codes:
        answer["headers"] = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
    return answer
