"""Why a request is not carried out. Each says, in a sentence for the person who asked, what is in the way."""

from deployments.models import Job
from deployments.states import EnvironmentState


class Refused(Exception):
    """What was asked for does not make sense now; nothing was changed."""


class Senseless(Refused):
    """An environment is in a state, or will be when it is the job's turn, in which there is nothing to do for it."""

    def __init__(self, sentence: str, state: EnvironmentState) -> None:
        super().__init__(sentence)
        self.state = state


class NotStopped(Refused):
    """What was asked for needs the environment to be stopped, and it runs or is about to."""


class NoRoom(Refused):
    """The disk is too full to take more; the operator's reserve is kept."""


class ChangedMeanwhile(Refused):
    """Somebody else saved the same thing since the page was shown; nothing was overwritten."""


class AlreadyAsked(Refused):
    """Somebody asked for the very same a moment ago; `job` is what they asked for."""

    def __init__(self, job: Job) -> None:
        self.job = job
        verb = "is under way" if job.started_at else "is waiting for its turn"
        super().__init__(f"“{job.title}”, asked for by {job.asker_name}, {verb} already.")
