"""The alerts of an app: those that are open, and what was."""

from django.core.paginator import Paginator
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import render

from deployments.monitoring.alert_models import Alert
from environments.access import AppRequest, deployer

PAGE = 50


@deployer()
def alerts(request: AppRequest, app: str) -> HttpResponse:
    """List them, open ones first; what they say of production is kept back without a window."""
    found = Alert.objects.told().filter(environment__app=request.app).select_related("environment")
    ordered = found.order_by(F("closed_at").desc(nulls_first=True), "-began_at", "-pk")
    page = Paginator(ordered, PAGE).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    for alert in shown:
        alert.locked = alert.environment.is_production and not request.window
    context = {
        "page": page,
        "open": [alert for alert in shown if alert.is_open],
        "over": [alert for alert in shown if not alert.is_open],
        "locked": any(alert.locked for alert in shown),
        "active": "alerts",
    }
    return render(request, "deployments/monitoring/alerts.html", context)
