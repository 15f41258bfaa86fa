from django.urls import path

from environments import (
    activity_views,
    contact_views,
    invitation_views,
    key_views,
    permission_views,
    reach_views,
    settings_views,
    team_views,
    views,
)

app_name = "environments"
ENVIRONMENT = "apps/<slug:app>/environments/<slug:environment>/"
SETTINGS = "apps/<slug:app>/settings/"
urlpatterns = [
    path("", views.apps, name="apps"),
    path("apps/new/", views.new_app, name="new_app"),
    path("account/keys/", key_views.keys, name="keys"),
    path("account/keys/new/", key_views.new_key, name="new_key"),
    path("account/keys/new/production/", key_views.new_production_key, name="new_production_key"),
    path("account/keys/<int:key>/revoke/", key_views.revoke_key, name="revoke_key"),
    path("apps/<slug:app>/activity/", activity_views.activity, name="activity"),
    path("apps/<slug:app>/activity.csv", activity_views.activity_csv, name="activity_csv"),
    path(ENVIRONMENT + "activity/", activity_views.environment_activity, name="environment_activity"),
    path(SETTINGS, settings_views.settings, name="settings"),
    path(SETTINGS + "add-environment/", settings_views.add_environment, name="add_environment"),
    path(SETTINGS + "order/", settings_views.order_environments, name="order_environments"),
    path(SETTINGS + "environments/<slug:environment>/", settings_views.rename_environment, name="rename_environment"),
    path("invitations/<str:token>/", invitation_views.invitation, name="invitation"),
    path("apps/<slug:app>/team/", team_views.team_page, name="team"),
    path("apps/<slug:app>/team/leave/", team_views.leave, name="leave"),
    path("apps/<slug:app>/team/<int:member>/role/", team_views.change_role, name="change_role"),
    path("apps/<slug:app>/team/<int:member>/remove/", team_views.remove, name="remove_member"),
    path("apps/<slug:app>/team/invite/", invitation_views.invite, name="invite"),
    path("apps/<slug:app>/team/invitations/", invitation_views.invitations_page, name="invitations"),
    path("apps/<slug:app>/team/invitations/<int:invitation>/again/", invitation_views.send_again, name="send_again"),
    path("apps/<slug:app>/team/invitations/<int:invitation>/withdraw/", invitation_views.withdraw, name="withdraw"),
    path("apps/<slug:app>/team/<int:member>/", reach_views.person, name="person"),
    path("apps/<slug:app>/production-access/", reach_views.production_access, name="production_access"),
    path("apps/<slug:app>/permissions.csv", reach_views.permissions_csv, name="permissions_csv"),
    path("apps/<slug:app>/permissions/", permission_views.permissions_start, name="permissions_start"),
    path("apps/<slug:app>/permissions/<slug:environment>/", permission_views.permissions, name="permissions"),
    path("apps/<slug:app>/technical-contact/", contact_views.hand_over, name="hand_over"),
    path("apps/<slug:app>/technical-contact/<int:member>/", contact_views.offer, name="offer_hand_over"),
    path("apps/<slug:app>/technical-contact/withdraw/", contact_views.withdraw, name="withdraw_hand_over"),
    path("apps/<slug:app>/technical-contact/accept/", contact_views.accept, name="accept_hand_over"),
    path("apps/<slug:app>/technical-contact/decline/", contact_views.decline, name="decline_hand_over"),
]
