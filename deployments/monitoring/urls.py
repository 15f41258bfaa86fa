"""The addresses below an environment's; `deployments.urls` takes them in under its own names."""

from django.urls import path

from deployments.monitoring import log_views, metric_views

ENVIRONMENT = "apps/<slug:app>/environments/<slug:environment>/"
urlpatterns = [
    path(ENVIRONMENT + "logs/", log_views.logs, name="logs"),
    path(ENVIRONMENT + "logs/lines/", log_views.lines, name="log_lines"),
    path(ENVIRONMENT + "logs/days/", log_views.archive, name="log_days"),
    path(ENVIRONMENT + "logs/days/<str:day>/", log_views.download, name="log_day"),
    path(ENVIRONMENT + "metrics/", metric_views.metrics_page, name="metrics"),
]
