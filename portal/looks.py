"""How a state looks: icon, hue and word, so that colour never carries the meaning alone."""

from typing import NamedTuple


class Look(NamedTuple):
    icon: str
    hue: str
    word: str


_STATES = {
    "running": Look("running", "ok", "Running"),
    "stopped": Look("stopped", "stopped", "Stopped"),
    "empty": Look("empty", "stopped", "Empty"),
    "offline": Look("critical", "critical", "Offline"),
    "unhealthy": Look("critical", "critical", "Unhealthy"),
    "restarts": Look("critical", "critical", "Restarts again and again"),
    "logged": Look("critical", "critical", "Logged CRITICAL"),
    "storage": Look("warning", "warning", "Storage nearly full"),
    "slow": Look("warning", "warning", "Slow"),
    "no-backup": Look("warning", "warning", "No good backup"),
    "starting": Look("working", "busy", "Starting"),
    "stopping": Look("working", "busy", "Stopping"),
    "restarting": Look("working", "busy", "Restarting"),
    "queued": Look("queued", "stopped", "Queued"),
    "waiting": Look("waiting", "stopped", "Waiting"),
    "working": Look("working", "busy", "Running"),
    "done": Look("ok", "ok", "Done"),
    "completed": Look("ok", "ok", "Completed"),
    "failed": Look("critical", "critical", "Failed"),
    "interrupted": Look("warning", "warning", "Interrupted"),
    "cancelled": Look("blocked", "stopped", "Cancelled"),
    "missed": Look("warning", "warning", "Missed"),
    "skipped": Look("blocked", "stopped", "Not needed"),
    "blocked": Look("blocked", "critical", "Blocked"),
    "ok": Look("ok", "ok", "OK"),
    "warning": Look("warning", "warning", "Warning"),
    "critical": Look("critical", "critical", "Critical"),
}

_STEPS = {"running": "working"}


def look(state: object) -> Look:
    """Give the look of a state by its name; one nobody drew yet is neutral and says its name."""
    name = str(getattr(state, "value", state) or "waiting").lower()
    return _STATES.get(name) or Look("info", "stopped", name.replace("_", " ").capitalize())


def step_look(state: object) -> Look:
    """Give the look of a step or job, where "running" means it is being worked on."""
    name = str(getattr(state, "value", state) or "waiting").lower()
    return look(_STEPS.get(name, name))
