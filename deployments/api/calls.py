"""What a call of the Deploy API declares, and how its answer or its error leaves the portal."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse, JsonResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path

from accounts.guards import declare
from accounts.secrets import Unreadable
from deployments.api.bodies import chunks_of
from deployments.api.errors import translated
from environments.api_access import ApiGuard, ApiGuards, ApiRequest
from environments.api_errors import ApiRefused, Code, answer_of, error
from environments.permissions import Permission

log = logging.getLogger(__name__)

Schema = Mapping[str, Any]
Answer = dict[str, Any] | list[dict[str, Any]] | HttpResponseBase
# How the parts of an address are called where it is written down, and in the functions that answer
PARTS = {
    "AppId": "app",
    "Mode": "mode",
    "PackageId": "package",
    "JobId": "job",
    "SnapshotId": "snapshot",
    "Date": "date",
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What is known of one method of an address: in words, in JSON Schema, and as the guard that the gate enforces."""

    answer: Callable[..., Answer]
    summary: str
    guard: ApiGuard
    answers: Schema
    errors: tuple[Code, ...]
    refused: Code
    body: Schema | None
    example: Mapping[str, Any] | None

    @property
    def is_upload(self) -> bool:
        return self.guard.max_body is not None


def call(
    summary: str,
    answers: Schema,
    *errors: Code,
    permission: Permission | None = None,
    deploys: bool = False,
    changes: bool = False,
    refused: Code = Code.INVALID_REQUEST,
    body: Schema | None = None,
    example: Mapping[str, Any] | None = None,
    max_body: int | None = None,
) -> Callable[[Callable[..., Answer]], Operation]:
    """Declare a call. `errors` are those beside the ones of its address; `refused` is what a flow's Refused means."""

    def make(function: Callable[..., Answer]) -> Operation:
        guard = ApiGuard(permission=permission, deploys=deploys, changes=changes, max_body=max_body)
        return Operation(
            answer=function,
            summary=summary,
            guard=guard,
            answers=answers,
            errors=errors,
            refused=refused,
            body=body,
            example=example,
        )

    return make


@dataclass(frozen=True)
class Address:
    """An address such as `apps/{AppId}/packages/` with its methods; `route` makes the portal listen there.

    It works with and without a slash at its end.
    """

    text: str
    name: str
    by_method: Mapping[str, Operation]

    @property
    def route(self) -> URLPattern:
        pattern = self.text.rstrip("/")
        for shown, argument in PARTS.items():
            pattern = pattern.replace(f"{{{shown}}}", f"(?P<{argument}>[^/]+)")
        return re_path(rf"^{pattern}/?\Z", resource(self.by_method), name=self.name)


def at(address: str, name: str, **operations: Operation) -> Address:
    return Address(address, name, {method.upper(): operation for method, operation in operations.items()})


def resource(by_method: Mapping[str, Operation]) -> Callable[..., HttpResponseBase]:
    """Make the view of an address. Whatever goes wrong in it is answered with an error object."""

    @declare(ApiGuards(by_method={method: operation.guard for method, operation in by_method.items()}))
    def view(request: ApiRequest, app: str = "", mode: str = "", **names: str) -> HttpResponseBase:
        operation = by_method.get("GET" if request.method == "HEAD" else request.method or "")
        if operation is None:
            refusal = error(Code.METHOD_NOT_ALLOWED, f"This address takes {' and '.join(by_method)}.")
            refusal["Allow"] = ", ".join(by_method)
            return refusal
        return _answer(operation, request, names)

    return view


def _answer(operation: Operation, request: ApiRequest, names: dict[str, str]) -> HttpResponseBase:
    return answered(request, lambda: operation.answer(request, **names), operation.refused)


def answered(request: Any, answer_it: Callable[[], Answer], refused: Code = Code.INVALID_REQUEST) -> HttpResponseBase:
    """Answer a call; whatever goes wrong is an error object, in which `refused` is what a flow's Refused means."""
    try:
        answer = answer_it()
    except ApiRefused as refusal:
        return answer_of(refusal)
    except UnreadablePostError:
        return error(Code.INVALID_REQUEST, "The body did not arrive whole.")
    except Unreadable:
        log.error("%s needs what no key of ENCRYPTION_KEYS fits.", request.path)
        return error(Code.INTERNAL_SERVER_ERROR, "The portal lacks the key to what it needs. Tell its operator.")
    except Exception as exception:
        if known := translated(exception, refused, request):
            return answer_of(known)
        log.exception("A call of the Deploy API failed: %s %s", request.method, request.path)
        return error(Code.INTERNAL_SERVER_ERROR)
    return answer if isinstance(answer, HttpResponseBase) else JsonResponse(answer, safe=False)


def body_of(request: ApiRequest) -> dict[str, Any]:
    """Read the JSON object that a call brings, whatever it says its type is; an empty body is an empty object."""
    chunks = chunks_of(request, settings.FORM_MAX_BYTES)
    try:
        text = (chunks.read() if chunks else request.body).decode("utf-8-sig")
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as problem:
        raise ApiRefused(Code.INVALID_REQUEST, "The body is not JSON.") from problem
    if not isinstance(value, dict):
        raise ApiRefused(Code.INVALID_REQUEST, "The body must be one JSON object.")
    return value


def text_of(body: Mapping[str, Any], name: str, longest: int, *, required: bool = True) -> str:
    """Read a text of the body; refuses what no column of the database can hold."""
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= longest:
        raise ApiRefused(Code.INVALID_REQUEST, f"{name} must be a text of 1 to {longest} characters.")
    if not is_plain(value):
        raise ApiRefused(Code.INVALID_REQUEST, f"{name} has characters that are no text.")
    return value.strip()


def is_plain(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def nothing_here(request: ApiRequest, **names: str) -> HttpResponse:
    """Answer below the API's address where there is no call."""
    return error(Code.NOT_FOUND)
