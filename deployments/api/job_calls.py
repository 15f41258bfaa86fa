"""Calls that change what runs on an environment: transport, start, stop, clean. A worker carries them out in order."""

from contextlib import suppress
from typing import Any

from accounts.actor import Actor
from deployments.api.answers import KEY, NOTHING, STATUS, TEXT, an_object, environment_answer
from deployments.api.app_calls import live_on
from deployments.api.calls import body_of, call, text_of
from deployments.api.package_calls import find_package
from deployments.errors import AlreadyAsked, NotStopped, Senseless
from deployments.flows import request_job, request_placing
from deployments.models import Job, Package
from deployments.states import STARTS, EnvironmentState, JobKind, JobState
from environments.api_access import ApiRequest
from environments.api_errors import ApiRefused, Code
from environments.models import Environment
from environments.permissions import Permission

LARGEST = 2**31 - 1
STARTING = an_object(JobId=TEXT)
PROGRESS = an_object(Status={"type": "string", "enum": ["Starting", "Started"]})
CLEANED = an_object(Status=STATUS, Mode=TEXT, Url=TEXT)
START_BODY = {"type": "object", "properties": {"AutoSyncDb": {"type": "boolean"}}}
TRANSPORT_BODY = {"type": "object", "properties": {"PackageId": KEY}, "required": ["PackageId"]}


@call(
    "Start the app; ask for its progress with the JobId",
    STARTING,
    Code.NO_MDA_HAS_BEEN_DEPLOYED,
    Code.APP_ALREADY_HAS_A_STARTING_JOB,
    Code.ALREADY_STARTED,
    Code.START_FAILED,
    permission=Permission.TRANSPORT,
    changes=True,
    refused=Code.START_FAILED,
    body=START_BODY,
    example={"AutoSyncDb": True},
)
def start(request: ApiRequest) -> dict[str, Any]:
    body_of(request)  # AutoSyncDb says what goes without saying here
    try:
        job = request_job(JobKind.START, request.environment, Actor.of(request))
    except AlreadyAsked as asked:
        raise ApiRefused(Code.APP_ALREADY_HAS_A_STARTING_JOB, str(asked)) from asked
    except Senseless as reason:
        if reason.state is EnvironmentState.EMPTY:
            raise ApiRefused(Code.NO_MDA_HAS_BEEN_DEPLOYED, str(reason)) from reason
        starting = any(job.starts for job in request.environment.jobs.active())
        code = Code.APP_ALREADY_HAS_A_STARTING_JOB if starting else Code.ALREADY_STARTED
        raise ApiRefused(code, str(reason)) from reason
    return {"JobId": str(job.number)}


@call("How a start goes", PROGRESS, Code.NO_SUCH_STARTJOB, Code.START_FAILED)
def progress(request: ApiRequest, job: str) -> dict[str, Any]:
    found = _start_job(request.environment, job)
    if found.is_active:
        return {"Status": "Starting"}
    if found.state != JobState.DONE:
        raise ApiRefused(Code.START_FAILED, found.result)
    return {"Status": "Started"}


@call(
    "Stop the app; what is stopped already stays so",
    NOTHING,
    Code.STOP_FAILED,
    permission=Permission.TRANSPORT,
    changes=True,
    refused=Code.STOP_FAILED,
)
def stop(request: ApiRequest) -> dict[str, Any]:
    # Stopped already, or about to be: what was asked for
    with suppress(AlreadyAsked, Senseless):
        request_job(JobKind.STOP, request.environment, Actor.of(request))
    return {}


@call(
    "Bring a package to an environment that is stopped, or about to be; it stays stopped until it is started",
    NOTHING,
    Code.TRANSPORT_NOT_ALLOWED,
    Code.APP_IS_RUNNING,
    Code.PACKAGE_NOT_FOUND,
    Code.PACKAGE_PARSE_FAILED,
    permission=Permission.TRANSPORT,
    changes=True,
    refused=Code.TRANSPORT_NOT_ALLOWED,
    body=TRANSPORT_BODY,
    example={"PackageId": "b3d14e53-2654-4534-b374-9179a69ef3cf"},
)
def transport(request: ApiRequest) -> dict[str, Any]:
    package = find_package(request.app, text_of(body_of(request), "PackageId", 100))
    _refuse_unreadable(package)
    try:
        request_placing(request.environment, Actor.of(request), package)
    except AlreadyAsked as asked:
        if not asked.job.stays_stopped:
            raise ApiRefused(Code.APP_IS_RUNNING, f"{asked} It starts by itself.") from asked
    except NotStopped as reason:
        live = live_on(request.environment)
        same = live is not None and live.is_running and live.package_id == package.pk
        says = f"{package} runs on {request.environment.name} already. To transport it again, stop it first."
        raise ApiRefused(Code.APP_IS_RUNNING, says if same else str(reason)) from reason
    return {}


@call(
    "Remove all data of an environment that is stopped, and what is on it",
    CLEANED,
    Code.ENVIRONMENT_NOT_STOPPED,
    permission=Permission.TRANSPORT,
    changes=True,
    refused=Code.ENVIRONMENT_NOT_STOPPED,
)
def clean(request: ApiRequest) -> dict[str, Any]:
    try:
        request_job(JobKind.CLEAR, request.environment, Actor.of(request))
    except AlreadyAsked:
        pass
    except Senseless as reason:
        if reason.state is not EnvironmentState.EMPTY:
            raise
    answer = environment_answer(request.app, request.environment, live_on(request.environment))
    return {name: answer[name] for name in ("Status", "Mode", "Url")}


def _refuse_unreadable(package: Package) -> None:
    try:
        package.file.open("rb").close()
    except OSError as error:
        says = f"The stored file of {package} can't be read. Upload it again."
        raise ApiRefused(Code.PACKAGE_PARSE_FAILED, says) from error


def _start_job(environment: Environment, number: str) -> Job:
    wanted = int(number) if number.isascii() and number.isdecimal() and len(number) < 12 else 0
    found = environment.jobs.filter(number=min(wanted, LARGEST), kind__in=STARTS, stays_stopped=False).first()
    if found is None:
        raise ApiRefused(Code.NO_SUCH_STARTJOB)
    return found
