"""Calls that look: the apps of the key, their environments, and what is on one."""

from typing import Any

from django.db.models import Prefetch, QuerySet

from deployments.api.answers import (
    APP,
    ENVIRONMENT,
    PACKAGE,
    a_list,
    app_answer,
    environment_answer,
    package_answer,
)
from deployments.api.calls import call
from deployments.models import Live
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.models import App, Environment


@call("The apps that the key is for and its person belongs to", a_list(APP))
def apps(request: ApiRequest) -> list[dict[str, Any]]:
    found = App.objects.for_member(request.user).filter(api_keys=request.api_key)
    return [_app(app) for app in _with_production(found)]


@call("One app", APP)
def app(request: ApiRequest) -> dict[str, Any]:
    return _app(_with_production(App.objects.filter(pk=request.app.pk)).get())


@call("The environments of an app, as its overview shows them to every member", a_list(ENVIRONMENT))
def environments(request: ApiRequest) -> list[dict[str, Any]]:
    found = request.app.environments.select_related("live__package")
    return [environment_answer(request.app, each, getattr(each, "live", None)) for each in found]


@call("One environment", ENVIRONMENT)
def environment(request: ApiRequest) -> dict[str, Any]:
    return environment_answer(request.app, request.environment, live_on(request.environment))


@call("The package that is on an environment", PACKAGE, Code.PACKAGE_NOT_FOUND)
def package(request: ApiRequest) -> dict[str, Any]:
    live = live_on(request.environment)
    if live is None or live.package is None:
        raise ApiRefused(Code.PACKAGE_NOT_FOUND, f"Nothing is on {request.environment.name} yet.")
    return package_answer(live.package)


def live_on(environment: Environment) -> Live | None:
    return Live.objects.filter(environment=environment).select_related("package").first()


def _with_production(apps: QuerySet[App]) -> QuerySet[App]:
    production = Environment.objects.filter(is_production=True)
    return apps.prefetch_related(Prefetch("environments", production, to_attr="production_first"))


def _app(app: Any) -> dict[str, Any]:
    return app_answer(app, next(iter(app.production_first), None))
