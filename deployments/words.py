"""What is said of a job: beforehand on the page that asks to confirm it, and while it runs."""

from deployments.flows import runs_beside
from deployments.models import Job, Package
from deployments.overview import Card
from deployments.states import JobKind, StepName


def what_happens(card: Card, kind: JobKind) -> list[str]:
    """Say, in sentences, what a start, stop, restart or clear will do."""
    name, package = card.environment.name, card.package
    if kind is JobKind.CLEAR:
        return [
            f"The data of {name} is removed for good: its database and its files.",
            f"{package} is taken off {name}, which is empty afterwards.",
            "The history of its deployments stays, and so do its options.",
        ]
    if kind is JobKind.START:
        return [f"{package} starts on {name}.", "Its address leads to it as soon as it is healthy."]
    if kind is JobKind.STOP:
        return [f"{package} stops on {name}.", "Its address says so until it is started again.", "Its data stays."]
    if not runs_beside(package, package):
        return [f"{package} stops, then starts again.", f"{name} does not answer in between."]
    return [f"{package} starts a second time beside the one that runs.", "When it is healthy, it takes over."]


def every(seconds: int) -> str:
    """Say how often something happens, in the largest unit that fits: "every 5 minutes"."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % length == 0:
            count = seconds // length
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return f"every {seconds} seconds"


def how_it_changes_over(name: str, before: Package | None, after: Package, *, runs: bool) -> str:
    """Say how one version takes the place of another, and what happens if it does not get healthy."""
    if not runs:
        return f"{name} runs afterwards."
    if runs_beside(after, before):
        return (
            "The new version starts beside the old one and takes over when it is healthy."
            " If it does not get healthy, the old one never left."
        )
    return (
        f"The old version is stopped first, since the two can't run side by side. {name} does not answer in between."
        " If the new one does not get healthy, the old one is started again."
    )


def if_it_fails(job: Job, card: Card, steps: list[StepName]) -> str:
    """Say in advance what is true if a running job fails; nothing where that goes without saying."""
    name, before = job.environment.name, card.package
    if job.kind == JobKind.RESTORE and not job.decided_at:
        return f"If anything fails, the data of {name} are put back as they were."
    if job.decided_at or not job.starts:
        return ""
    if before is None or not (card.live and card.live.is_running):
        stays = f"{name} stays stopped" if before else f"nothing is on {name}"
        return f"If {job.package_name} does not get healthy, {stays}."
    if StepName.STOP in steps and steps.index(StepName.STOP) < steps.index(StepName.START):
        return f"If {job.package_name} does not get healthy, {before} is started again."
    if job.kind == JobKind.RESTART:
        return "If it does not get healthy, the one that runs now stays where it is."
    return f"If {job.package_name} does not get healthy, {before} stays where it is."
