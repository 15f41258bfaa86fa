"""What the Deploy API says when it does not do as asked: one catalogue of codes, each with its status and its meaning.

The codes are those of the interface that CI systems know (shared/DEPLOY_API.md names them), with a few of our own.
"""

from enum import Enum

from django.http import JsonResponse

from portal.logs import masked


class Code(Enum):
    """A code, as (HTTP status, what it means), and how it is written where two have the same name."""

    INVALID_REQUEST = 400, "The body or a parameter can't be used."
    INVALID_APPID = 400, "This is not the short name of an app."
    INVALID_ENVIRONMENT = 400, "This is not the name of an environment, or it means two of them."
    CONSTANT_NOT_FOUND = 400, "The package has no constant of this name."
    SCHEDULED_EVENT_NOT_FOUND = 400, "The package has no scheduled event of this name."
    KEY_IN_URL = 400, "The address holds an API key. It belongs into a header."
    NOT_FOUND = 404, "There is nothing at this address, or what it names does not exist."
    UNAUTHORIZED = 401, "The e-mail address and the API key don't fit together, or the key is not in force."
    NO_ACCESS = 403, "A right is missing; the message says which and who can grant it."
    TRANSPORT_NOT_ALLOWED = 403, "The package can't be transported there now."
    APP_IS_RUNNING = 403, "The environment must be stopped for this."
    ENVIRONMENT_NOT_STOPPED = 403, "The environment must be stopped before its data is removed."
    PACKAGE_IN_USE = 403, "The package is on an environment, or on its way to one."
    APP_NOT_FOUND = 404, "There is no such app, or not for this key."
    ENVIRONMENT_NOT_FOUND = 404, "The app has no such environment."
    PACKAGE_NOT_FOUND = 404, "There is no such package in the repository of the app."
    SNAPSHOT_NOT_FOUND = 404, "The environment has no such backup, or it was not completed."
    NO_SUCH_SNAPSHOT = 400, "The app has no such backup.", "NOT_FOUND"
    ERROR_NOT_ALLOWED = 400, "It can't be done now; the message says why."
    NO_SUCH_STARTJOB = 404, "No start of this number was asked for on this environment."
    METHOD_NOT_ALLOWED = 405, "The address does not take this method."
    TOO_LARGE = 413, "The body is larger than this address takes."
    TOO_MANY_REQUESTS = 429, "Too many calls. The header Retry-After says for how many seconds to wait."
    NO_MDA_HAS_BEEN_DEPLOYED = 500, "Nothing is on the environment yet."
    APP_ALREADY_HAS_A_STARTING_JOB = 500, "A start is under way already."
    ALREADY_STARTED = 500, "The app runs already."
    START_FAILED = 500, "The app did not start; the message says why."
    STOP_FAILED = 500, "The app can't be stopped; the message says why."
    SNAPSHOT_NOT_READY = 500, "The backup is being made. Try again later."
    UPLOAD_COPY_FAILED = 500, "The package could not be stored."
    INVALID_PACKAGE = 500, "The package was refused; the message says why."
    PACKAGE_PARSE_FAILED = 500, "The stored package can't be used."
    INVALID_SCHEDULED_EVENT_PARAMETER = 500, "A scheduled event is either Enabled or Disabled."
    INTERNAL_SERVER_ERROR = 500, "Something went wrong in the portal itself; its log says more."

    def __init__(self, status: int, meaning: str, shown: str = "") -> None:
        self.status, self.meaning, self.shown = status, meaning, shown or self.name


class ApiRefused(Exception):
    """A call that is not carried out; `retry_after` in seconds, where waiting helps."""

    def __init__(self, code: Code, message: str = "", retry_after: int | None = None) -> None:
        super().__init__(message or code.meaning)
        self.code, self.retry_after = code, retry_after


def error(code: Code, message: str = "", retry_after: int | None = None) -> JsonResponse:
    """Give the error object. SECURITY: whatever it repeats of the request, it repeats no key."""
    body = {"errorCode": code.shown, "errorMessage": masked(message or code.meaning)}
    answer = JsonResponse(body, status=code.status)
    if code.status == 500 and code is not Code.INTERNAL_SERVER_ERROR:
        # The interface answers like this where nothing is wrong with the portal; its log would say so otherwise
        answer._has_been_logged = True  # type: ignore[attr-defined]
    if retry_after is not None:
        answer["Retry-After"] = str(retry_after)
    return answer


def answer_of(refusal: ApiRefused) -> JsonResponse:
    return error(refusal.code, str(refusal), refusal.retry_after)
