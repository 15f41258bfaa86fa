"""How a job comes to its end before its last step; each says why in a sentence."""


class Cancelled(Exception):
    """The job is not carried out; nothing was changed."""


class Failed(Exception):
    """A step did not work; the message says what, as a sentence."""


class Leaving(Exception):
    """The worker is asked to end while the job could still be given up without harm."""
