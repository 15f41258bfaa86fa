"""What is wrong with an environment, as far as the facts say so: one small rule for each kind of alert. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import TextChoices

from deployments.monitoring.alert_kinds import AlertKind
from portal.templatetags.portal import filesize

FAILED_CHECKS, SLOW_CHECKS = 3, 4  # in a row, 15 seconds apart, before it is a matter: one answer is no news
GOOD_CHECKS = 2  # in a row before it is none any more
SILENT_AFTER = timedelta(minutes=15)  # without another CRITICAL line the matter is over
RESTARTS, RESTARTS_WITHIN = 3, timedelta(minutes=10)  # fewer are accidents
FULL, NOT_FULL_ANY_MORE = 0.9, 0.85  # of the room there is; between them an alert stays as it is
BACKUP_WITHIN = timedelta(hours=26)  # a night and two hours for it (issue 6, point 7)


class Verdict(TextChoices):
    """What a health check said."""

    GOOD = "good", "Good"
    SLOW = "slow", "Slow"
    FAILED = "failed", "Failed"


@dataclass(frozen=True)
class Check:
    """The last health check of what runs, the `count`th with this verdict in a row, which it has since `since`.

    `seconds` is how long the answer took.
    """

    verdict: Verdict
    detail: str
    seconds: float
    count: int
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Facts:
    """How an environment is at a moment. What is not known is None, and raises nothing.

    `trouble` says how what should run ended by itself. `restarts` counts the starts
    after an unexpected end within RESTARTS_WITHIN. `used` and `limit`
    are bytes: what is stored, and that with what is free.
    `without_backup_since` is set where a backup is due each night. `open` are the kinds of which an alert is open.
    """

    now: datetime
    running: bool
    trouble: str = ""
    check: Check | None = None
    critical_at: datetime | None = None
    restarts: int | None = None
    used: int | None = None
    limit: int | None = None
    without_backup_since: datetime | None = None
    open: frozenset[AlertKind] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: what it is, the first thing to do, and since when it is so (now, where it says nothing).

    SECURITY: both go into mails, which no production window guards; nothing that the app wrote or stored is in them.
    """

    kind: AlertKind
    message: str
    advice: str
    since: datetime | None = None


Rule = Callable[[Facts], Finding | None]


def findings(facts: Facts) -> list[Finding]:
    """Give all that is wrong, the worst first."""
    return [found for rule in RULES if (found := rule(facts))]


def offline(facts: Facts) -> Finding | None:
    if not facts.running or not facts.trouble:
        return None
    return Finding(
        AlertKind.OFFLINE, facts.trouble, "Read the end of its log, then restart it or roll back to the version before."
    )


def restarts(facts: Facts) -> Finding | None:
    if not facts.running or facts.restarts is None or facts.restarts < RESTARTS:
        return None
    minutes = RESTARTS_WITHIN // timedelta(minutes=1)
    return Finding(
        AlertKind.RESTARTS,
        f"It ended by itself and was started again {facts.restarts} times within {minutes} minutes.",
        "Read in its log what came before each end. Roll back if a new version began it.",
    )


def unhealthy(facts: Facts) -> Finding | None:
    check = facts.check
    if not _persists(facts, AlertKind.UNHEALTHY, Verdict.FAILED, FAILED_CHECKS) or check is None:
        return None
    return Finding(
        AlertKind.UNHEALTHY,
        f"It runs but fails its health check. {check.detail}",
        "Read its log, and restart it if it does not recover by itself.",
        check.since,
    )


def slow(facts: Facts) -> Finding | None:
    check = facts.check
    if not _persists(facts, AlertKind.SLOW, Verdict.SLOW, SLOW_CHECKS) or check is None:
        return None
    return Finding(
        AlertKind.SLOW,
        f"It answers its health check slowly: the last answer took {check.seconds:.1f} s.",
        "Look at its processor, memory and number of requests.",
        check.since,
    )


def _persists(facts: Facts, kind: AlertKind, verdict: Verdict, enough: int) -> bool:
    """Say whether checks have had this verdict often enough, or not often enough another one for it to be over."""
    check = facts.check
    if not facts.running or facts.trouble or check is None:
        return False
    if check.verdict is verdict:
        return check.count >= enough or kind in facts.open
    return kind in facts.open and check.count < GOOD_CHECKS


def logged(facts: Facts) -> Finding | None:
    if facts.critical_at is None or facts.now - facts.critical_at >= SILENT_AFTER:
        return None
    return Finding(
        AlertKind.LOGGED,
        "It wrote a line of the level CRITICAL to its log.",
        "Read that line in its log, and what came before it.",
        facts.critical_at,
    )


def storage(facts: Facts) -> Finding | None:
    if facts.used is None or not facts.limit:
        return None
    enough = NOT_FULL_ANY_MORE if AlertKind.STORAGE in facts.open else FULL
    if facts.used < enough * facts.limit:
        return None
    return Finding(
        AlertKind.STORAGE,
        f"Its data use {facts.used / facts.limit:.0%} of the room there is for them: they take {filesize(facts.used)}, "
        f"and {filesize(facts.limit - facts.used)} more would fit.",
        "Remove what the app does not need, or ask whoever operates the portal for more.",
    )


def backup(facts: Facts) -> Finding | None:
    since = facts.without_backup_since
    if since is None or facts.now - since < BACKUP_WITHIN:
        return None
    return Finding(
        AlertKind.BACKUP,
        f"There has been no good backup of it since {since:%-d %B, %H:%M} UTC.",
        "Read on its Backups page why the last one failed, and take one now.",
    )


RULES: tuple[Rule, ...] = (offline, restarts, unhealthy, logged, storage, slow, backup)
