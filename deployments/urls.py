from django.urls import path

from deployments import deletion_views, job_views, option_views, package_views, transport_views, views
from deployments.backups import urls as backups
from deployments.monitoring import alert_views
from deployments.monitoring import urls as monitoring

app_name = "deployments"
APP = "apps/<slug:app>/"
SETTINGS = APP + "settings/"
ENVIRONMENT = APP + "environments/<slug:environment>/"
urlpatterns = [
    path(APP, views.app, name="app"),
    path(SETTINGS + "delete/", deletion_views.delete_app, name="delete_app"),
    path(
        SETTINGS + "environments/<slug:environment>/delete/",
        deletion_views.delete_environment,
        name="delete_environment",
    ),
    path(APP + "alerts/", alert_views.alerts, name="alerts"),
    path(APP + "packages/", package_views.packages, name="packages"),
    path(APP + "packages/upload/", package_views.upload, name="upload"),
    path(APP + "packages/<uuid:package>/", package_views.package, name="package"),
    path(APP + "packages/<uuid:package>/download/", package_views.download, name="download"),
    path(APP + "packages/<uuid:package>/delete/", package_views.delete, name="delete_package"),
    path(ENVIRONMENT, views.environment, name="environment"),
    path(ENVIRONMENT + "transport/", transport_views.transport, name="transport"),
    path(ENVIRONMENT + "start/", job_views.start, name="start"),
    path(ENVIRONMENT + "stop/", job_views.stop, name="stop"),
    path(ENVIRONMENT + "restart/", job_views.restart, name="restart"),
    path(ENVIRONMENT + "clear/", job_views.clear, name="clear"),
    path(ENVIRONMENT + "options/", option_views.options, name="options"),
    path(ENVIRONMENT + "options/events/<str:event>/", option_views.event, name="event"),
    path(ENVIRONMENT + "deployments/", views.deployments, name="deployments"),
    path(ENVIRONMENT + "deployments/<int:number>/", views.job, name="job"),
    path(ENVIRONMENT + "deployments/<int:number>/cancel/", job_views.cancel, name="cancel"),
    path(ENVIRONMENT + "deployments/<int:number>/roll-back/", transport_views.roll_back, name="roll_back"),
    *backups.urlpatterns,
    *monitoring.urlpatterns,
]
