"""What the calls answer with, and its JSON Schema beside it. Times are milliseconds since 1970."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from deployments.api.calls import Schema
from deployments.models import Live, Package
from deployments.runtimes import get_runtime
from deployments.states import EnvironmentState
from environments.models import App, Environment

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "integer", "minimum": 0, "description": "milliseconds since 1970"}
FLAG: Schema = {"type": "boolean"}
KEY: Schema = {"type": "string", "format": "uuid"}
NOTHING: Schema = {"type": "object", "additionalProperties": False}


def an_object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def a_list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


APP = an_object(AppId=TEXT, Name=TEXT, ProjectId=KEY, Url=TEXT)
STATUS: Schema = {"type": "string", "enum": [state.label for state in EnvironmentState]}
ENVIRONMENT = an_object(
    EnvironmentId=KEY, Status=STATUS, Mode=TEXT, Url=TEXT, ModelVersion=TEXT, MendixVersion=TEXT, Production=FLAG
)
PACKAGE = an_object(
    PackageId=KEY,
    Name=TEXT,
    Description=TEXT,
    Version=TEXT,
    Creator=TEXT,
    CreationDate=TIME,
    ExpiryDate=TIME,
    Status={"const": "Succeeded"},
    Size={"type": "integer", "minimum": 0, "description": "bytes"},
)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def app_answer(app: App, production: Environment | None) -> dict[str, Any]:
    return {
        "AppId": app.slug,
        "Name": app.name,
        "ProjectId": str(app.project_id),
        "Url": get_runtime().address(production.host) if production else "",
    }


def environment_answer(app: App, environment: Environment, live: Live | None) -> dict[str, Any]:
    package = live.package if live else None
    return {
        "EnvironmentId": str(environment_key(app.project_id, environment)),
        "Status": EnvironmentState(live.state if live else EnvironmentState.EMPTY).label,
        "Mode": environment.name,
        "Url": get_runtime().address(environment.host),
        "ModelVersion": package.version if package else "",
        "MendixVersion": str(package.manifest.get("runtime") or "") if package else "",
        "Production": environment.is_production,
    }


def environment_key(project: UUID, environment: Environment) -> UUID:
    """Name an environment for programs: the same as long as it exists, and unlike any other's."""
    return uuid5(project, f"environment {environment.pk}")


def package_answer(package: Package) -> dict[str, Any]:
    return {
        "PackageId": str(package.key),
        "Name": package.name,
        "Description": package.description,
        "Version": package.version,
        "Creator": package.uploader_name,
        "CreationDate": milliseconds(package.created_at),
        "ExpiryDate": milliseconds(package.expires_at),
        "Status": "Succeeded",
        "Size": package.size,
    }
