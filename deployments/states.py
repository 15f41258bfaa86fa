"""The states of jobs, steps and environments, and what each means. Pure: no database."""

from django.db.models import TextChoices


class JobKind(TextChoices):
    TRANSPORT = "transport", "Transport"
    START = "start", "Start"
    STOP = "stop", "Stop"
    RESTART = "restart", "Restart"
    CLEAR = "clear", "Clear"


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


_BESIDE: dict[JobKind, tuple[StepName, ...]] = {
    JobKind.TRANSPORT: (
        *(StepName.CHECK, StepName.UNPACK, StepName.START),
        *(StepName.HEALTH, StepName.SWITCH, StepName.STOP),
    ),
    JobKind.START: (StepName.CHECK, StepName.START, StepName.HEALTH, StepName.SWITCH),
    JobKind.RESTART: (StepName.CHECK, StepName.START, StepName.HEALTH, StepName.SWITCH, StepName.STOP),
    JobKind.STOP: (StepName.CHECK, StepName.SWITCH, StepName.STOP),
    JobKind.CLEAR: (StepName.CHECK, StepName.CLEAR),
}
_TITLES = {
    (JobKind.START, StepName.START): "Start",
    (JobKind.STOP, StepName.SWITCH): "Take it off its address",
    (JobKind.STOP, StepName.STOP): "Stop",
}


def steps_of(kind: JobKind, beside: bool, stays_stopped: bool = False) -> tuple[StepName, ...]:
    """Give the steps in their order; a package that can't run twice has the old one stopped before it starts.

    A transport that leaves its package stopped only puts it in place.
    """
    if stays_stopped:
        return (StepName.CHECK, StepName.UNPACK, StepName.SWITCH)
    steps = _BESIDE[kind]
    if beside or not {StepName.START, StepName.STOP} <= set(steps):
        return steps
    others: list[StepName] = [step for step in steps if step is not StepName.STOP]
    others.insert(others.index(StepName.START), StepName.STOP)
    return tuple(others)


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
}


class RunState(TextChoices):
    """How a run of a scheduled event went, or why there was none."""

    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    INTERRUPTED = "interrupted", "Interrupted"
    SKIPPED = "skipped", "Left out"
    MISSED = "missed", "Missed"
