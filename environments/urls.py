from django.urls import path

from environments import activity_views, permission_views, views

app_name = "environments"
urlpatterns = [
    path("", views.apps, name="apps"),
    path("apps/new/", views.new_app, name="new_app"),
    path("apps/<slug:app>/activity/", activity_views.activity, name="activity"),
    path("apps/<slug:app>/team/", views.team, name="team"),
    path("apps/<slug:app>/team/add/", views.add_member, name="add_member"),
    path("apps/<slug:app>/permissions/", permission_views.permissions_start, name="permissions_start"),
    path("apps/<slug:app>/permissions/<slug:environment>/", permission_views.permissions, name="permissions"),
]
