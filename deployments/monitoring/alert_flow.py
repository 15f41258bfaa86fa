"""Opens and closes alerts, and tells of both once, however many workers look at the same time.

A row changes only while it still says what was read; whoever changed it sends the mails.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from accounts.mail import send
from accounts.models import User
from deployments.monitoring.alert_kinds import AT_ONCE, PATIENCE, AlertKind
from deployments.monitoring.alert_models import Alert
from deployments.monitoring.alerts import Finding
from environments.models import App, Environment, NodePermission
from environments.permissions import Permission, Standing, allowed

KEPT = timedelta(days=366)  # as long as the longest kept backup


@transaction.atomic
def settle(environment: Environment, found: Iterable[Finding], now: datetime) -> None:
    """Bring the alerts of an environment into agreement with what was found there."""
    known = {alert.kind: alert for alert in environment.alerts.filter(closed_at=None)}
    by_kind = {finding.kind: finding for finding in found}
    for kind, finding in by_kind.items():
        if alert := known.get(kind):
            _goes_on(alert, finding, now)
        else:
            _begins(environment, finding, now)
    for alert in known.values():
        if alert.kind not in by_kind:
            _is_quiet(alert, now)


def receivers_of(environment: Environment) -> list[User]:
    """Give who is told of an environment's alerts as things stand now: active, in the team, permitted there."""
    app = App.objects.get(pk=environment.app_id)
    rows = NodePermission.objects.filter(environment=environment, permission=Permission.ALERTS)
    granted = dict(rows.values_list("membership_id", "granted"))
    members = app.memberships.filter(user__is_active=True).select_related("user", "role").order_by("pk")
    return [
        member.user
        for member in members
        if allowed(
            Permission.ALERTS,
            Standing(
                is_technical_contact=member.user_id == app.technical_contact_id,
                deploys=member.role.deploys,
                settings={Permission.ALERTS: granted[member.pk]} if member.pk in granted else {},
            ),
            environment.is_production,
        )
    ]


def forget_old(now: datetime) -> None:
    """Remove alerts that were over a year ago."""
    Alert.objects.filter(closed_at__lt=now - KEPT).delete()


def _begins(environment: Environment, finding: Finding, now: datetime) -> None:
    at_once = PATIENCE[finding.kind].opens_after == AT_ONCE
    alert = Alert(
        environment=environment,
        kind=finding.kind,
        rank=finding.kind.rank,
        message=finding.message[:600],
        advice=finding.advice,
        began_at=finding.since or now,
        opened_at=now if at_once else None,
    )
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
    except IntegrityError:
        return  # another worker saw it, too
    if at_once:
        _tell("alert_opened", alert)


def _goes_on(alert: Alert, finding: Finding, now: datetime) -> None:
    row = Alert.objects.filter(pk=alert.pk, closed_at=None)
    if alert.quiet_since:
        row.update(quiet_since=None)
    elif alert.opened_at is None and now - alert.began_at >= PATIENCE[finding.kind].opens_after:
        alert.message, alert.advice, alert.opened_at = finding.message[:600], finding.advice, now
        changed = row.filter(opened_at=None).update(message=alert.message, advice=alert.advice, opened_at=now)
        if changed:
            _tell("alert_opened", alert)


def _is_quiet(alert: Alert, now: datetime) -> None:
    row = Alert.objects.filter(pk=alert.pk, closed_at=None)
    if alert.opened_at is None:
        row.filter(opened_at=None).delete()
        return
    if alert.quiet_since is None:
        alert.quiet_since = now
        row.update(quiet_since=now)
    if now - alert.quiet_since >= PATIENCE[AlertKind(alert.kind)].closes_after:
        alert.closed_at = alert.quiet_since
        if row.update(closed_at=alert.closed_at):
            _tell("alert_closed", alert)


def _tell(mail: str, alert: Alert) -> None:
    environment = alert.environment
    send(mail, receivers_of(environment), alert=alert, environment=environment, app=environment.app)
