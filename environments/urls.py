from django.urls import path

from environments import activity_views, contact_views, permission_views, views

app_name = "environments"
urlpatterns = [
    path("", views.apps, name="apps"),
    path("apps/new/", views.new_app, name="new_app"),
    path("apps/<slug:app>/activity/", activity_views.activity, name="activity"),
    path("apps/<slug:app>/team/", views.team, name="team"),
    path("apps/<slug:app>/team/add/", views.add_member, name="add_member"),
    path("apps/<slug:app>/permissions/", permission_views.permissions_start, name="permissions_start"),
    path("apps/<slug:app>/permissions/<slug:environment>/", permission_views.permissions, name="permissions"),
    path("apps/<slug:app>/technical-contact/", contact_views.hand_over, name="hand_over"),
    path("apps/<slug:app>/technical-contact/<int:member>/", contact_views.offer, name="offer_hand_over"),
    path("apps/<slug:app>/technical-contact/withdraw/", contact_views.withdraw, name="withdraw_hand_over"),
    path("apps/<slug:app>/technical-contact/accept/", contact_views.accept, name="accept_hand_over"),
    path("apps/<slug:app>/technical-contact/decline/", contact_views.decline, name="decline_hand_over"),
]
