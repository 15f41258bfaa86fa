"""The states of jobs, steps and environments, and what each means. Pure: no database."""

from django.db.models import TextChoices


class JobKind(TextChoices):
    TRANSPORT = "transport", "Transport"
    START = "start", "Start"
    STOP = "stop", "Stop"
    RESTART = "restart", "Restart"
    CLEAR = "clear", "Clear"
    BACKUP = "backup", "Back up"
    RESTORE = "restore", "Restore"
    UPLOAD = "upload", "Check uploaded data"


# Kinds that are about an environment's data and leave what is on it as it is
ABOUT_DATA = (JobKind.BACKUP, JobKind.RESTORE, JobKind.UPLOAD)
# Kinds that the list of backups shows; one a night would hide the deployments in theirs
NO_DEPLOYMENTS = (JobKind.BACKUP, JobKind.UPLOAD)
CLOCK = "clock"  # by which way the portal itself asks for what is due
# Kinds that start something, each with the options of that moment
STARTS = (JobKind.TRANSPORT, JobKind.START, JobKind.RESTART)


class JobState(TextChoices):
    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    INTERRUPTED = "interrupted", "Interrupted"


ACTIVE = (JobState.QUEUED, JobState.RUNNING)
FINAL = (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED)


class StepState(TextChoices):
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Not needed"
    CANCELLED = "cancelled", "Cancelled"


class StepName(TextChoices):
    CHECK = "check", "Check"
    UNPACK = "unpack", "Unpack"
    START = "start", "Start the new one"
    HEALTH = "health", "Health check"
    SWITCH = "switch", "Switch the address"
    STOP = "stop", "Stop the old one"
    CLEAR = "clear", "Remove its data"
    BACK_UP = "backup", "Back up"
    DATABASE = "database", "Save the database"
    FILES = "files", "Save the files"
    VERIFY = "verify", "Restore it aside, to be sure"
    STAGE = "stage", "Unpack the backup aside"
    SWAP = "swap", "Switch the data"


_BESIDE: dict[JobKind, tuple[StepName, ...]] = {
    JobKind.TRANSPORT: (
        *(StepName.CHECK, StepName.UNPACK, StepName.START),
        *(StepName.HEALTH, StepName.SWITCH, StepName.STOP),
    ),
    JobKind.START: (StepName.CHECK, StepName.START, StepName.HEALTH, StepName.SWITCH),
    JobKind.RESTART: (StepName.CHECK, StepName.START, StepName.HEALTH, StepName.SWITCH, StepName.STOP),
    JobKind.STOP: (StepName.CHECK, StepName.SWITCH, StepName.STOP),
    JobKind.CLEAR: (StepName.CHECK, StepName.CLEAR),
    JobKind.BACKUP: (StepName.CHECK, StepName.DATABASE, StepName.FILES, StepName.VERIFY),
    JobKind.UPLOAD: (StepName.CHECK, StepName.STAGE, StepName.DATABASE, StepName.FILES),
    JobKind.RESTORE: (
        *(StepName.CHECK, StepName.STOP, StepName.BACK_UP, StepName.STAGE),
        *(StepName.SWAP, StepName.START, StepName.HEALTH),
    ),
}
_TITLES = {
    (JobKind.START, StepName.START): "Start",
    (JobKind.STOP, StepName.SWITCH): "Take it off its address",
    (JobKind.STOP, StepName.STOP): "Stop",
    (JobKind.UPLOAD, StepName.STAGE): "Unpack it aside and look through it",
    (JobKind.RESTORE, StepName.STOP): "Stop the app",
    (JobKind.RESTORE, StepName.BACK_UP): "Back up what is overwritten",
    (JobKind.RESTORE, StepName.START): "Start the app",
}


def steps_of(kind: JobKind, beside: bool, stays_stopped: bool = False, backs_up: bool = False) -> tuple[StepName, ...]:
    """Give the steps in their order; a package that can't run twice has the old one stopped before it starts.

    A transport that leaves its package stopped only puts it in place. With `backs_up` the data are saved first.
    """
    if stays_stopped:
        steps: list[StepName] = [StepName.CHECK, StepName.UNPACK, StepName.SWITCH]
    else:
        steps = list(_BESIDE[kind])
    if kind is JobKind.RESTORE and not backs_up:
        steps.remove(StepName.BACK_UP)
    if not beside and kind is not JobKind.RESTORE and {StepName.START, StepName.STOP} <= set(steps):
        steps.remove(StepName.STOP)
        steps.insert(steps.index(StepName.START), StepName.STOP)
    if backs_up and kind is JobKind.TRANSPORT:
        steps.insert(steps.index(StepName.UNPACK) + 1, StepName.BACK_UP)
    return tuple(steps)


def title_of(kind: JobKind, step: StepName, stays_stopped: bool = False) -> str:
    if stays_stopped and step is StepName.SWITCH:
        return "Put it in place"
    return _TITLES.get((kind, step), step.label)


class EnvironmentState(TextChoices):
    EMPTY = "empty", "Empty"
    STOPPED = "stopped", "Stopped"
    RUNNING = "running", "Running"


_LEADS_TO = {JobKind.STOP: EnvironmentState.STOPPED, JobKind.CLEAR: EnvironmentState.EMPTY}


def leads_to(kind: JobKind) -> EnvironmentState:
    """What an environment is after a job of this kind went well."""
    return _LEADS_TO.get(kind, EnvironmentState.RUNNING)


# What an environment must be for a job to make sense, and what is said where it is not; a transport always does
SENSELESS: dict[tuple[JobKind, EnvironmentState], str] = {
    (JobKind.START, EnvironmentState.RUNNING): "{environment} runs already.",
    (JobKind.START, EnvironmentState.EMPTY): "Nothing is on {environment} yet. Transport a package to it first.",
    (JobKind.STOP, EnvironmentState.STOPPED): "{environment} is stopped already.",
    (JobKind.STOP, EnvironmentState.EMPTY): "Nothing is on {environment} yet, so there is nothing to stop.",
    (JobKind.RESTART, EnvironmentState.STOPPED): "{environment} is stopped. Start it instead.",
    (JobKind.RESTART, EnvironmentState.EMPTY): "Nothing is on {environment} yet. Transport a package to it first.",
    (JobKind.CLEAR, EnvironmentState.RUNNING): "{environment} runs. Stop it first, then clear it.",
    (JobKind.CLEAR, EnvironmentState.EMPTY): "{environment} is empty already.",
    (JobKind.BACKUP, EnvironmentState.EMPTY): "Nothing is on {environment} yet, so there is nothing to back up.",
    (JobKind.RESTORE, EnvironmentState.EMPTY): "Nothing is on {environment} yet. Transport a package to it first.",
}


class BackupKind(TextChoices):
    """Why there is a backup."""

    NIGHTLY = "nightly", "Nightly"
    MANUAL = "manual", "By hand"
    SAFETY = "safety", "Before a restore"
    BEFORE_TRANSPORT = "transport", "Before a transport"
    UPLOADED = "uploaded", "Uploaded"


class BackupState(TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"


class Holds(TextChoices):
    """What a backup holds; only what was uploaded ever holds less than all."""

    FULL = "full", "Database and files"
    DATABASE = "database", "Database only"
    FILES = "files", "Files only"


class RunState(TextChoices):
    """How a run of a scheduled event went, or why there was none."""

    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    INTERRUPTED = "interrupted", "Interrupted"
    SKIPPED = "skipped", "Left out"
    MISSED = "missed", "Missed"
