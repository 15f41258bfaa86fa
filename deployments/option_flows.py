"""Reading and saving the options of an environment: rows and activity.

The row has the options as somebody set them last. What runs keeps to those that its job started it with, until it is
started anew.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.secrets import decrypt, encrypt
from deployments.errors import ChangedMeanwhile
from deployments.models import EnvironmentOptions, Job, JobOptions, Live
from deployments.options import Change, Options
from deployments.rights import permitted
from deployments.states import JobKind, JobState
from environments.models import Environment


@dataclass(frozen=True)
class Stored:
    """The options as they were saved last; revision 0 where nobody has saved any."""

    options: Options
    revision: int = 0
    changed_at: datetime | None = None
    changed_by: str = ""


def stored(environment: Environment) -> Stored:
    """Read an environment's options, in one query."""
    row = EnvironmentOptions.objects.filter(environment=environment).first()
    return read(row) if row else Stored(Options())


def held(environment: Environment) -> Stored:
    """Read them with their row locked until the transaction ends: whoever saves meanwhile waits, and sees what is new.

    The last lock that anybody takes.
    """
    row = EnvironmentOptions.objects.select_for_update().filter(environment=environment).first()
    return read(row) if row else Stored(Options())


def saved_since(environment: Environment, moment: datetime) -> str:
    """Name who saved options after a moment; empty where nobody did. Nobody does until the transaction ends."""
    now = held(environment)
    return now.changed_by if now.changed_at and now.changed_at > moment else ""


def read(row: EnvironmentOptions) -> Stored:
    return Stored(Options.from_json(decrypt(row.document)), row.revision, row.changed_at, row.changed_by)


def started_with(live: Live) -> Options:
    """Give the options that what is on the environment was started with.

    What an earlier version of the portal started had none: everything was as its package said.
    """
    if live.instance is None:
        return Options()
    row = JobOptions.objects.filter(job__environment=live.environment_id, job__number=live.instance).first()
    return Options.from_json(decrypt(row.document)) if row else Options()


def used_by(job: Job) -> Options | None:
    """Give the options that a job started something with; None for one that started nothing or kept none."""
    row = JobOptions.objects.filter(job=job).first()
    return Options.from_json(decrypt(row.document)) if row else None


def last_used_with(job: Job) -> Options | None:
    """Give the options that the version which a transport brought ran with last, before another one came."""
    transports = Job.objects.filter(environment=job.environment_id, kind=JobKind.TRANSPORT, state=JobState.DONE)
    following = transports.filter(number__gt=job.number).order_by("number").values_list("number", flat=True).first()
    rows = JobOptions.objects.filter(
        job__environment=job.environment_id, job__state=JobState.DONE, job__number__gte=job.number
    )
    row = (rows.filter(job__number__lt=following) if following else rows).order_by("-job__number").first()
    return Options.from_json(decrypt(row.document)) if row else None


def keep_for(job: Job, options: Options) -> None:
    """Keep the options that a job starts something with."""
    JobOptions.objects.update_or_create(job=job, defaults={"document": encrypt(options.as_json())})


def waiting_for_restart(live: Live | None, current: Options) -> list[Change]:
    """List what the app would get differently if it were started anew; nothing while it does not run."""
    if live is None or not live.is_running or live.package is None:
        return []
    return started_with(live).difference_at_restart(current, live.package.contents)


@transaction.atomic
def save_options(environment: Environment, by: Actor, options: Options, seen: int) -> list[Change]:
    """Save options as one change and give what differs; `seen` is the revision that the page had shown.

    Raises NotPermitted, or ChangedMeanwhile when somebody else has saved since.
    """
    environment = permitted(environment, by)
    before = held(environment)
    if before.revision != seen:
        raise ChangedMeanwhile(
            f"{before.changed_by} changed the options of {environment.name} in the meantime. Nothing of yours was"
            " saved. Look at what is there now, then save again."
        )
    return adopt(environment, by, options)


def adopt(environment: Environment, by: Actor, options: Options) -> list[Change]:
    """Make these the environment's options, with their activity record. Call it in a transaction."""
    now, before = timezone.now(), held(environment)
    stamped = options.stamped(before.options, by.user.name, now.isoformat())
    changes = before.options.difference(stamped)
    if not changes:
        return []
    values = {"document": encrypt(stamped.as_json()), "changed_at": now, "changed_by": by.user.name}
    EnvironmentOptions.objects.update_or_create(
        environment=environment, defaults={**values, "revision": before.revision + 1}
    )
    # SECURITY: names only. The whole team reads the activity, also those who may not see the options
    deeds = {change.name: change.deed for change in changes}
    record(Act.OPTIONS_CHANGED, by, environment.name, app=environment.app, environment=environment, after=deeds)
    return changes
