"""The states of jobs, steps and environments, and what each means. Pure: no database."""

from django.db.models import TextChoices


class JobKind(TextChoices):
    TRANSPORT = "transport", "Transport"
    START = "start", "Start"
    STOP = "stop", "Stop"
    RESTART = "restart", "Restart"


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


class StepName(TextChoices):
    CHECK = "check", "Check"
    UNPACK = "unpack", "Unpack"
    START = "start", "Start beside the old version"
    HEALTH = "health", "Health check"
    SWITCH = "switch", "Switch the address"
    STOP = "stop", "Stop the old version"


STEPS: dict[JobKind, tuple[StepName, ...]] = {
    JobKind.TRANSPORT: tuple(StepName),
    JobKind.START: (StepName.CHECK, StepName.START, StepName.HEALTH, StepName.SWITCH),
    JobKind.RESTART: (StepName.CHECK, StepName.START, StepName.HEALTH, StepName.SWITCH, StepName.STOP),
    JobKind.STOP: (StepName.CHECK, StepName.SWITCH, StepName.STOP),
}


class EnvironmentState(TextChoices):
    EMPTY = "empty", "Empty"
    STOPPED = "stopped", "Stopped"
    RUNNING = "running", "Running"
