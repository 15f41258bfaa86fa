"""The addresses below an environment's; `deployments.urls` takes them in under its own names."""

from django.urls import path

from deployments.backups import views

BACKUPS = "apps/<slug:app>/environments/<slug:environment>/backups/"
urlpatterns = [
    path(BACKUPS, views.backups, name="backups"),
    path(BACKUPS + "create/", views.create, name="create_backup"),
    path(BACKUPS + "upload/", views.upload, name="upload_data"),
    path(BACKUPS + "restore/<uuid:backup>/", views.restore, name="restore"),
    path(BACKUPS + "<int:number>/", views.backup, name="backup"),
    path(BACKUPS + "<int:number>/<slug:choice>/", views.download, name="download_backup"),
]
