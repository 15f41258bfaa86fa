from django.urls import path

from deployments import job_views, package_views, views

app_name = "deployments"
APP = "apps/<slug:app>/"
ENVIRONMENT = APP + "environments/<slug:environment>/"
urlpatterns = [
    path(APP, views.app, name="app"),
    path(APP + "packages/", package_views.packages, name="packages"),
    path(APP + "packages/upload/", package_views.upload, name="upload"),
    path(APP + "packages/<uuid:package>/", package_views.package, name="package"),
    path(ENVIRONMENT, views.environment, name="environment"),
    path(ENVIRONMENT + "transport/", job_views.transport, name="transport"),
    path(ENVIRONMENT + "start/", job_views.start, name="start"),
    path(ENVIRONMENT + "stop/", job_views.stop, name="stop"),
    path(ENVIRONMENT + "restart/", job_views.restart, name="restart"),
    path(ENVIRONMENT + "deployments/", views.deployments, name="deployments"),
    path(ENVIRONMENT + "deployments/<int:number>/", views.job, name="job"),
]
