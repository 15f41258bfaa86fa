"""What happened in an app and on its environments: pages of it, and all of it as CSV."""

import re

from django.http import HttpResponse
from django.shortcuts import render

from accounts.models import Activity
from environments.access import AppRequest, deployer

PAGE = 50
NUMBER = re.compile("[0-9]{1,18}", re.ASCII)


@deployer()
def activity(request: AppRequest, app: str) -> HttpResponse:
    """Show what happened, newest first; `before` is the number of the last entry of the page before."""
    entries = Activity.objects.filter(app_id=request.app.pk)
    before = request.GET.get("before", "")
    if NUMBER.fullmatch(before):
        entries = entries.filter(pk__lt=int(before))
    page = list(entries[: PAGE + 1])
    context = {"entries": page[:PAGE], "older": page[PAGE - 1].pk if len(page) > PAGE else None, "active": "activity"}
    return render(request, "environments/activity.html", context)
