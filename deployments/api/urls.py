"""The addresses of the Deploy API. What is not among its calls is answered with an error object, too."""

from django.urls import include, path, re_path

from accounts.guards import declare
from deployments.api import links, openapi, pages
from deployments.api.calls import nothing_here
from deployments.api.table import CALLS
from environments.api_access import ApiGuard

app_name = "api"
description = re_path(r"^openapi\.json/?\Z", openapi.document, name="openapi")
urlpatterns = [
    path("", pages.about, name="about"),
    path("1/", include([*(call.route for call in CALLS), description])),
    path("1/links/<str:token>", links.follow, name="link"),
    re_path(r"^.+", declare(ApiGuard(open=True))(nothing_here), name="nothing"),
]
