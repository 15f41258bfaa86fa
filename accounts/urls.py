from django.urls import path

from accounts import account_views, authenticator_views, set_up_views, views

app_name = "accounts"
urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("account/", account_views.account, name="account"),
    path("account/password/", account_views.password_change, name="password_change"),
    path("account/e-mail/", account_views.email_change, name="email_change"),
    path("account/e-mail/<str:token>/", account_views.email_confirm, name="email_confirm"),
    path("account/sessions/end-others/", account_views.end_other_sessions, name="end_other_sessions"),
    path("account/sessions/<uuid:reference>/end/", account_views.end_session, name="end_session"),
    path("account/sessions/<uuid:reference>/lock/", account_views.end_session_window, name="end_session_window"),
    path("account/history/", account_views.history, name="history"),
    path("account/password/reset/", views.password_reset, name="password_reset"),
    path("account/password/reset/sent/", views.password_reset_sent, name="password_reset_sent"),
    path("account/password/reset/<uidb64>/<token>/", views.password_reset_confirm, name="password_reset_confirm"),
    path("authenticator/", authenticator_views.code, name="code"),
    path("authenticator/dialog/", authenticator_views.code_dialog, name="code_dialog"),
    path("authenticator/set-up/", set_up_views.set_up, name="set_up"),
    path("authenticator/end/", authenticator_views.end_window, name="end_window"),
    path("authenticator/help/", authenticator_views.help_page, name="help"),
    path("authenticator/continue/<uuid:waiting>/", authenticator_views.carry_on, name="carry_on"),
]
