"""What views of jobs share: asking a flow, and telling the person what came of it."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from deployments.errors import AlreadyAsked, Refused
from deployments.models import Job
from environments.access import AppRequest
from environments.authority import NotPermitted


def ask(request: AppRequest, flow: Callable[[], Job]) -> Job | str:
    """Ask a flow for a job; gives it, or the sentence that says why not."""
    try:
        return flow()
    except AlreadyAsked as asked:
        messages.info(request, str(asked))
        return asked.job
    except Refused as reason:
        return str(reason)
    except NotPermitted as reason:
        raise PermissionDenied from reason


def job_page(request: AppRequest, job: Job) -> str:
    return reverse("deployments:job", args=[request.app.slug, request.environment.slug, job.number])


def environment_page(request: AppRequest) -> str:
    return reverse("deployments:environment", args=[request.app.slug, request.environment.slug])
