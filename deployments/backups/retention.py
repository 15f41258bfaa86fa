"""How long a backup is kept. Pure: no database.

Every night for two weeks, Sundays for three months, the first Sunday of a month for a year (PORTAL, "Operate").
What somebody made or uploaded is kept as long as that of a Sunday, what a job made for its own safety for two weeks.
"""

import calendar
from datetime import date, datetime, timedelta

from deployments.states import BackupKind

NIGHT = timedelta(weeks=2)
SUNDAY, FIRST_SUNDAY, BY_HAND = 3, 12, 3  # months
WEEK = 7


def kept_until(kind: BackupKind, created: datetime, night: date) -> datetime:
    """Give when a backup expires; `night` is the one that a nightly backup was made for, however late it was."""
    if kind is BackupKind.NIGHTLY and night.weekday() == calendar.SUNDAY:
        return months_after(created, FIRST_SUNDAY if night.day <= WEEK else SUNDAY)
    if kind in (BackupKind.MANUAL, BackupKind.UPLOADED):
        return months_after(created, BY_HAND)
    return created + NIGHT


def months_after(moment: datetime, months: int) -> datetime:
    """Give the same time of day so many months later, on the month's last day where it has no such day."""
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)
