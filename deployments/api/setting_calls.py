"""Calls on the options of an environment, by the names that CI systems know: constants and scheduled events."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from accounts.actor import Actor
from deployments.api.answers import TEXT, a_list, an_object
from deployments.api.app_calls import live_on
from deployments.api.calls import body_of, call
from deployments.errors import ChangedMeanwhile
from deployments.manifests import Constant, Manifest, ScheduledEvent
from deployments.models import Live
from deployments.option_flows import save_options, started_with, stored
from deployments.options import Options, Setting
from deployments.states import JobKind
from deployments.variables import value_problem
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.models import Environment
from environments.permissions import Permission

MASK = "********"  # stands for a secret; sent back, it leaves the secret as it is
ON, OFF = "Enabled", "Disabled"
TRIES = 5  # somebody else may save at the same moment
CONSTANT = an_object(Name=TEXT, DataType=TEXT, Value=TEXT, DeployedValue=TEXT)
EVENT = an_object(Name=TEXT, Value={"type": "string", "enum": [ON, OFF]}, DeployedValue={"enum": [ON, OFF]})
SETTINGS = an_object(
    Constants=a_list(CONSTANT),
    CustomSettings={"type": "array", "maxItems": 0},
    ScheduledEvents=a_list(EVENT),
)
NAMED = {"type": "object", "properties": {"Name": TEXT, "Value": TEXT}, "required": ["Name", "Value"]}
SETTINGS_BODY = {
    "type": "object",
    "properties": {
        "Constants": a_list(NAMED),
        "CustomSettings": {"type": "array", "maxItems": 0},
        "ScheduledEvents": a_list(NAMED),
    },
}


@dataclass(frozen=True)
class Declared:
    """What the package that is on an environment, or on its way there, can be told."""

    constants: Mapping[str, Constant]
    events: Mapping[str, ScheduledEvent]

    @classmethod
    def by(cls, manifest: Manifest | None) -> "Declared":
        if manifest is None:
            return cls({}, {})
        return cls({c.name: c for c in manifest.constants}, {e.name: e for e in manifest.scheduled_events})


@call("Constants and scheduled events; secret values are masked", SETTINGS, permission=Permission.TRANSPORT)
def settings(request: ApiRequest) -> dict[str, Any]:
    return _answer(request.environment)


@call(
    "Change constants and scheduled events; what is not named stays as it is. Constants apply at the next start,"
    " scheduled events at once",
    SETTINGS,
    Code.CONSTANT_NOT_FOUND,
    Code.SCHEDULED_EVENT_NOT_FOUND,
    Code.INVALID_SCHEDULED_EVENT_PARAMETER,
    permission=Permission.TRANSPORT,
    changes=True,
    body=SETTINGS_BODY,
    example={"Constants": [{"Name": "GREETING", "Value": "Good day"}], "ScheduledEvents": []},
)
def change_settings(request: ApiRequest) -> dict[str, Any]:
    body, declared = body_of(request), Declared.by(_manifest(request.environment))
    if body.get("CustomSettings"):
        raise ApiRefused(Code.INVALID_REQUEST, "There are no custom settings. Set variables on the Options page.")
    for attempt in range(TRIES):
        before = stored(request.environment)
        wanted = _changed(before.options, declared, body)
        try:
            save_options(request.environment, Actor.of(request), wanted, before.revision)
            break
        except ChangedMeanwhile:
            if attempt == TRIES - 1:
                raise
    return _answer(request.environment)


def _changed(options: Options, declared: Declared, body: Mapping[str, Any]) -> Options:
    constants, off = dict(options.constants), set(options.events_off)
    for name, value in _named(body, "Constants"):
        if (constant := declared.constants.get(name)) is None:
            raise ApiRefused(Code.CONSTANT_NOT_FOUND, f"Constant not found: {name}.")
        _set(constants, constant, value, options)
    for name, value in _named(body, "ScheduledEvents"):
        if name not in declared.events:
            raise ApiRefused(Code.SCHEDULED_EVENT_NOT_FOUND, f"Scheduled event not found: {name}.")
        if value not in (ON, OFF):
            raise ApiRefused(Code.INVALID_SCHEDULED_EVENT_PARAMETER, f"{name} must be {ON} or {OFF}.")
        (off.add if value == OFF else off.discard)(name)
    return replace(options, constants=constants, events_off=frozenset(off))


def _set(constants: dict[str, Setting], constant: Constant, value: str, options: Options) -> None:
    secret = options.is_secret(constant)
    if value == _shown(constant, options, options) or (secret and value in (MASK, "")):
        return  # as it was shown: a program sends back what it got, with what it changed
    if problem := value_problem(constant.type, value):
        raise ApiRefused(Code.INVALID_REQUEST, f"{constant.name}: {problem}")
    if value != options.value_of(constant):
        constants[constant.name] = Setting(value, secret=secret)


def _named(body: Mapping[str, Any], what: str) -> list[tuple[str, str]]:
    items = body.get(what)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ApiRefused(Code.INVALID_REQUEST, f"{what} must be a list of objects with Name and Value.")
    pairs = [(item.get("Name"), item.get("Value")) for item in items]
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
        raise ApiRefused(Code.INVALID_REQUEST, f"Name and Value in {what} must be texts.")
    return pairs


def _answer(environment: Environment) -> dict[str, Any]:
    options, live = stored(environment).options, live_on(environment)
    manifest, deployed = _manifest(environment), _deployed(live)
    constants = manifest.constants if manifest else ()
    events = manifest.scheduled_events if manifest else ()
    return {
        "Constants": [
            {
                "Name": constant.name,
                "DataType": constant.type.value.capitalize(),
                "Value": _shown(constant, options, options),
                "DeployedValue": _shown(constant, deployed, options),
            }
            for constant in constants
        ],
        "CustomSettings": [],
        "ScheduledEvents": [
            {"Name": event.name, "Value": _on(event, options), "DeployedValue": _on(event, options)} for event in events
        ],
    }


def _shown(constant: Constant, options: Options, current: Options) -> str:
    value = options.value_of(constant)
    # SECURITY: what is a secret in either is shown in neither
    secret = options.is_secret(constant) or current.is_secret(constant)
    return MASK if secret and value else value or ""


def _on(event: ScheduledEvent, options: Options) -> str:
    return OFF if event.name in options.events_off else ON


def _deployed(live: Live | None) -> Options:
    return started_with(live) if live else Options()


def _manifest(environment: Environment) -> Manifest | None:
    """Give what can be set: what the package on its way there declares, else the one that is there."""
    transports = environment.jobs.active().filter(kind=JobKind.TRANSPORT).select_related("package")
    waiting = transports.order_by("-pk").first()
    live = live_on(environment)
    package = (waiting.package if waiting else None) or (live.package if live else None)
    return package.contents if package else None
