"""Uploading packages and asking for what changes an environment: rows and activity, no processes.

Each is one transaction with its activity record, and checks once more what the page's guard has checked.
"""

from django.db import transaction
from django.db.models import Max

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from deployments.errors import AlreadyAsked, Refused
from deployments.models import Job, Live, Package, Step
from deployments.repository import upload_package
from deployments.states import SENSELESS, EnvironmentState, JobKind, leads_to, steps_of
from environments.access import may
from environments.authority import NotPermitted, need_window_on
from environments.models import Environment
from environments.permissions import Permission

__all__ = ["refuse_senseless", "request_job", "runs_beside", "upload_package"]

NOTE_LENGTH = 2000
ASKED = {
    JobKind.TRANSPORT: Act.TRANSPORT_ASKED,
    JobKind.START: Act.START_ASKED,
    JobKind.STOP: Act.STOP_ASKED,
    JobKind.RESTART: Act.RESTART_ASKED,
}


@transaction.atomic
def request_job(
    kind: JobKind, environment: Environment, by: Actor, package: Package | None = None, note: str = ""
) -> Job:
    """Queue a job for the worker; it waits in order behind what is active on the environment.

    Raises NotPermitted, AlreadyAsked (same kind and package, queued or running) or Refused (it makes no sense
    now). Transports need the package, other kinds have none.
    """
    # The row's lock puts those who ask at the same moment in order
    environment = Environment.objects.select_for_update(of=("self",)).select_related("app").get(pk=environment.pk)
    _permit(environment, by)
    if (kind is JobKind.TRANSPORT) != (package is not None) or (package and package.app_id != environment.app_id):
        raise Refused("Choose a package of this app.")
    # Whoever deletes a package locks it, too (deployments.removal)
    if package and not Package.objects.select_for_update(no_key=True).filter(pk=package.pk).exists():
        raise Refused(f"{package} is not in the repository any more. Choose another package.")
    active = list(environment.jobs.active().select_related("environment").order_by("pk"))
    for job in active:
        if job.kind == kind and job.package_id == (package.pk if package else None):
            raise AlreadyAsked(job)
    live = Live.objects.filter(environment=environment).select_related("package").first()
    refuse_senseless(kind, environment, _state_then(live, active))
    job = _queue(kind, environment, by, package, live, note)
    target = job.title.removeprefix(job.get_kind_display()).strip()
    record(ASKED[kind], by, target, app=environment.app, environment=environment, reason=job.note)
    return job


def refuse_senseless(kind: JobKind, environment: Environment, state: EnvironmentState) -> None:
    """Raise Refused, in words, when a job of this kind has nothing to do on an environment in this state."""
    if sentence := SENSELESS.get((kind, state)):
        raise Refused(sentence.format(environment=environment.name))


def _permit(environment: Environment, by: Actor) -> None:
    if not may(by.user, environment, Permission.TRANSPORT):
        raise NotPermitted(f"You need {Permission.TRANSPORT.label} on {environment.name} for this.")
    need_window_on(environment, by)


def _state_then(live: Live | None, active: list[Job]) -> EnvironmentState:
    """What the environment will be when it is this job's turn, if what is before it goes well."""
    if active:
        return leads_to(JobKind(active[-1].kind))
    return EnvironmentState(live.state) if live else EnvironmentState.EMPTY


def _queue(
    kind: JobKind, environment: Environment, by: Actor, package: Package | None, live: Live | None, note: str
) -> Job:
    number = (environment.jobs.aggregate(last=Max("number"))["last"] or 0) + 1
    before = live.package if live else None
    job = Job.objects.create(
        environment=environment,
        number=number,
        kind=kind,
        package=package,
        package_name=str(package or before or ""),
        package_before=before,
        name_before=str(before or ""),
        note=note.strip()[:NOTE_LENGTH],
        asked_by=by.user,
        asker_name=by.user.name,
        via=by.via,
        address=by.address,
        window=by.window,
    )
    names = steps_of(kind, beside=runs_beside(package or before, before))
    Step.objects.bulk_create(Step(job=job, order=order, name=name) for order, name in enumerate(names))
    return job


def runs_beside(package: Package | None, before: Package | None) -> bool:
    """Say whether the new one may start while the old one still runs: both must bear it."""
    return all(each.contents.runs_twice for each in (package, before) if each)
