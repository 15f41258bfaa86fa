"""Uploading packages and asking for what changes an environment: rows and activity, no processes.

Each is one transaction with its activity record, and checks once more what the page's guard has checked.
"""

from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import Max

from accounts.activity import record
from accounts.actor import API, Actor
from accounts.acts import Act
from deployments.errors import AlreadyAsked, ChangedMeanwhile, NotStopped, Refused, Senseless
from deployments.journal import end
from deployments.models import Backup, Job, Live, Package, Step
from deployments.option_flows import adopt, keep_for, last_used_with, stored
from deployments.options import Options, Settings
from deployments.repository import upload_package
from deployments.rights import permitted
from deployments.states import (
    ABOUT_DATA,
    CLOCK,
    FINAL,
    SENSELESS,
    STARTS,
    EnvironmentState,
    JobKind,
    JobState,
    steps_of,
)
from environments.models import Environment

__all__ = [
    "Wish",
    "cancel_job",
    "put_in_queue",
    "refuse_senseless",
    "request_job",
    "request_placing",
    "request_roll_back",
    "request_transport",
    "runs_beside",
    "upload_package",
]

NOTE_LENGTH = 2000
ASKED = {
    JobKind.TRANSPORT: Act.TRANSPORT_ASKED,
    JobKind.START: Act.START_ASKED,
    JobKind.STOP: Act.STOP_ASKED,
    JobKind.RESTART: Act.RESTART_ASKED,
    JobKind.CLEAR: Act.CLEAR_ASKED,
    JobKind.BACKUP: Act.BACKUP_ASKED,
    JobKind.RESTORE: Act.RESTORE_ASKED,
    JobKind.UPLOAD: Act.DATA_UPLOADED,
}
TOO_LATE = (
    "It is too late to cancel “{title}”: it can't be undone half-way any more. Let it end, then go back if need be."
)


@dataclass(frozen=True)
class Wish:
    """What is asked for. Transports need the package, other kinds have none; a roll back names where it goes back.

    `backs_up` says whether the data are saved first (None: on production), `backup` what a restore brings.
    """

    kind: JobKind
    package: Package | None = None
    note: str = ""
    rolls_back: Job | None = None
    restores: Options | None = None
    stays_stopped: bool = False
    backs_up: bool | None = False
    backup: Backup | None = None


@transaction.atomic
def request_job(
    kind: JobKind, environment: Environment, by: Actor, package: Package | None = None, note: str = ""
) -> Job:
    """Queue a job for the worker; it waits in order behind what is active on the environment.

    Raises NotPermitted, AlreadyAsked (same kind and package, queued or running) or Refused (it makes no sense
    now, or constants of the package have no value).
    """
    return put_in_queue(permitted(environment, by), by, Wish(kind, package, note, backs_up=None))


@transaction.atomic
def request_placing(environment: Environment, by: Actor, package: Package) -> Job:
    """Queue a transport that leaves its package stopped, to an environment that is stopped when it is its turn.

    Raises what `request_job` raises; NotStopped where the environment runs, or is about to.
    """
    wish = Wish(JobKind.TRANSPORT, package, stays_stopped=True, backs_up=None)
    return put_in_queue(permitted(environment, by), by, wish)


@transaction.atomic
def request_transport(
    environment: Environment,
    by: Actor,
    package: Package,
    note: str,
    constants: Settings,
    seen: int,
    back_up: bool | None = None,
) -> Job:
    """Queue a transport together with the constants that were filled in for it, as one change.

    `constants` are all that are to be set then, `seen` the revision of the options that the page had shown,
    `back_up` whether the data are saved first (None: on production).
    Raises what `request_job` raises, and ChangedMeanwhile.
    """
    environment = permitted(environment, by)
    before = stored(environment)
    if constants != before.options.constants:
        if before.revision != seen:
            raise ChangedMeanwhile(
                f"{before.changed_by} changed the options of {environment.name} in the meantime. Nothing was done."
                " Look at what is there now, then confirm again."
            )
        adopt(environment, by, replace(before.options, constants=constants))
    return put_in_queue(environment, by, Wish(JobKind.TRANSPORT, package, note, backs_up=back_up))


@transaction.atomic
def request_roll_back(
    environment: Environment, by: Actor, to: int, note: str, with_options: bool, back_up: bool | None = None
) -> Job:
    """Queue a transport of what the job of this number brought, with the options of then or as they are.

    Raises what `request_job` raises; Refused as well where there is nothing to go back to.
    """
    environment = permitted(environment, by)
    job = environment.jobs.filter(number=to).select_related("package").first()
    if job is None or not goes_back_to(job) or job.package is None:
        raise Refused("There is nothing to go back to: that package is not in the repository any more, or never ran.")
    options = last_used_with(job) if with_options else None
    if with_options and options is None:
        raise Refused(f"The options that {job.package} ran with then are not known. Roll back with those of now.")
    if options:
        options = stored(environment).options.back_to(options, job.package.contents)
    return put_in_queue(environment, by, Wish(JobKind.TRANSPORT, job.package, note, job, options, backs_up=back_up))


def goes_back_to(job: Job) -> bool:
    """Say whether the job brought a version that ran, and that is still there to go back to."""
    return job.kind == JobKind.TRANSPORT and job.state == JobState.DONE and job.package_id is not None


@transaction.atomic
def cancel_job(environment: Environment, by: Actor, number: int) -> Job:
    """Cancel a job: one that waits at once, one that runs as soon as its worker sees it, before it changes anything.

    Raises NotPermitted, or Refused when it has ended or can't be undone half-way any more.
    """
    environment = permitted(environment, by)
    # Each job's worker takes this lock before it decides
    job = environment.jobs.select_for_update(of=("self",)).select_related("environment__app").get(number=number)
    if not job.is_active:
        raise Refused(f"“{job.title}” has ended already.")
    if job.state == JobState.QUEUED:
        end(job, JobState.CANCELLED, f"Cancelled by {by.user.name}. Nothing was changed.", by)
    elif job.decided_at:
        raise Refused(TOO_LATE.format(title=job.title))
    elif not job.canceller_name:
        job.canceller_name = by.user.name
        job.save(update_fields=["canceller_name"])
        record(Act.CANCEL_ASKED, by, job.title, app=environment.app, environment=environment)
    return job


def put_in_queue(environment: Environment, by: Actor, wish: Wish) -> Job:
    """Queue what somebody wishes who was found to be permitted; call it in the transaction that locks the environment.

    Raises AlreadyAsked or Refused.
    """
    package = wish.package
    if (wish.kind is JobKind.TRANSPORT) != (package is not None) or (package and package.app_id != environment.app_id):
        raise Refused("Choose a package of this app.")
    # Whoever deletes a package locks it, too (deployments.removal)
    if package and not Package.objects.select_for_update(no_key=True).filter(pk=package.pk).exists():
        raise Refused(f"{package} is not in the repository any more. Choose another package.")
    active = list(environment.jobs.active().select_related("environment").order_by("pk"))
    for job in active:
        if job.kind == wish.kind and job.package_id == (package.pk if package else None):
            raise AlreadyAsked(job)
    live = Live.objects.filter(environment=environment).select_related("package").first()
    state = _state_then(live, active)
    if wish.stays_stopped and state is EnvironmentState.RUNNING:
        raise NotStopped(f"{environment.name} runs. Stop it first, then transport {package} to it.")
    refuse_senseless(wish.kind, environment, state)
    if by.via == API and wish.kind is JobKind.START:
        refuse_to_start_another(environment)
    # What waits before it may change what is on the environment, so that is judged when it is its turn
    if not wish.stays_stopped and (package or (wish.kind in STARTS and not active)):
        refuse_without_values(package or (live.package if live else None), wish.restores or stored(environment).options)
    job = _queue(environment, by, wish, live)
    if by.via != CLOCK:
        act = Act.ROLL_BACK_ASKED if job.is_roll_back else ASKED[wish.kind]
        record(act, by, _target(job), app=environment.app, environment=environment, reason=job.note)
    return job


def _target(job: Job) -> str:
    if job.kind in ABOUT_DATA:
        return job.environment.name
    return job.title.removeprefix("Roll back" if job.is_roll_back else job.get_kind_display()).strip()


def refuse_without_values(package: Package | None, options: Options) -> None:
    """Raise Refused, naming them, where constants of the package have no value that it can start with."""
    if package and (lacks := options.problems(package.contents)):
        sentences = " ".join(lack.sentence for lack in lacks[:3])
        more = f" So it is with {len(lacks) - 3} more." if len(lacks) > 3 else ""
        raise Refused(f"{package} can't start. {sentences}{more} Set what is missing first.")


def refuse_to_start_another(environment: Environment, before: int | None = None) -> None:
    """Raise Refused where the last transport by the Deploy API did not arrive: a program that transports and then
    starts would take the old version for the new one. `before` is the number of the job that starts.
    """
    transports = environment.jobs.filter(kind=JobKind.TRANSPORT).order_by("-number")
    last = (transports.filter(number__lt=before) if before else transports).first()
    if last and last.stays_stopped and last.state in FINAL and last.state != JobState.DONE:
        raise Refused(f"{last.package_name} did not arrive on {environment.name}, so nothing is started. {last.result}")


def refuse_senseless(kind: JobKind, environment: Environment, state: EnvironmentState) -> None:
    """Raise Senseless, in words, when a job of this kind has nothing to do on an environment in this state."""
    if sentence := SENSELESS.get((kind, state)):
        raise Senseless(sentence.format(environment=environment.name), state)


def _state_then(live: Live | None, active: list[Job]) -> EnvironmentState:
    """What the environment will be when it is this job's turn, if what is before it goes well."""
    changing = [job for job in active if job.kind not in ABOUT_DATA]
    if changing:
        return changing[-1].leads_to
    return EnvironmentState(live.state) if live else EnvironmentState.EMPTY


def _queue(environment: Environment, by: Actor, wish: Wish, live: Live | None) -> Job:
    number = (environment.jobs.aggregate(last=Max("number"))["last"] or 0) + 1
    package, before = wish.package, live.package if live else None
    backs_up = environment.is_production if wish.backs_up is None else wish.backs_up
    job = Job.objects.create(
        environment=environment,
        number=number,
        kind=wish.kind,
        package=package,
        package_name=str(package or before or ""),
        package_before=before,
        name_before=str(before or ""),
        rolls_back=wish.rolls_back,
        restores_options=wish.restores is not None,
        note=wish.note.strip()[:NOTE_LENGTH],
        asked_by=by.user if by.user.pk else None,
        asker_name=by.user.name,
        via=by.via,
        address=by.address,
        window=by.window,
        api_key_id=by.key.pk if by.key else None,
        key_name=str(by.key or ""),
        stays_stopped=wish.stays_stopped,
        backs_up=backs_up and wish.kind in (JobKind.TRANSPORT, JobKind.RESTORE),
        restores=wish.backup,
    )
    if wish.restores:
        keep_for(job, wish.restores)
    names = steps_of(wish.kind, runs_beside(package or before, before), wish.stays_stopped, job.backs_up)
    Step.objects.bulk_create(Step(job=job, order=order, name=name) for order, name in enumerate(names))
    return job


def runs_beside(package: Package | None, before: Package | None) -> bool:
    """Say whether the new one may start while the old one still runs: both must bear it."""
    return all(each.contents.runs_twice for each in (package, before) if each)
