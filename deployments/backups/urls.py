from django.urls import path

from deployments.backups import views

# Below an environment's address
urlpatterns = [
    path("backups/", views.backups, name="backups"),
    path("backups/create/", views.create, name="create_backup"),
    path("backups/upload/", views.upload, name="upload_data"),
    path("backups/<int:number>/", views.backup, name="backup"),
    path("backups/<int:number>/<slug:choice>/", views.download, name="download_backup"),
    path("backups/restore/<uuid:backup>/", views.restore, name="restore"),
]
