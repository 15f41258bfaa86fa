"""Signing in and out, and setting a forgotten password."""

import logging
from functools import partial
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import people
from accounts.forms import ForgottenPasswordForm, SignInForm
from accounts.guards import public, signed_in
from accounts.http import PortalRequest
from accounts.models import User

log = logging.getLogger(__name__)


def safe_next(request: HttpRequest) -> str:
    """Give the address to go on to; never on another host, whatever was asked for."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    # What has no slash is looked up as the name of a view, and fails where none has it
    return target if ours and target.startswith("/") else reverse("environments:apps")


@public
@never_cache
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(safe_next(request))
    form = SignInForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid() and form.user:
        people.sign_in(request, form.user)
        return redirect(safe_next(request))
    status = 429 if form.locked else 200
    return render(request, "accounts/sign_in.html", {"form": form, "next": request.GET.get("next", "")}, status=status)


def locked_out(request: HttpRequest, response: HttpResponse, credentials: Any = None) -> HttpResponse:
    """Keep the page that the form made of it (named by AXES_LOCKOUT_CALLABLE)."""
    return response


@signed_in
@require_POST
def sign_out(request: PortalRequest) -> HttpResponse:
    people.sign_out(request)
    response = redirect(safe_next(request) if "next" in request.POST else "accounts:sign_in")
    response["Clear-Site-Data"] = '"cache", "storage"'
    return response


class _PasswordReset(auth_views.PasswordResetView):
    template_name = "accounts/password_reset.html"
    form_class = ForgottenPasswordForm
    email_template_name = "emails/password_reset-text.txt"
    subject_template_name = "emails/password_reset-subject.txt"
    success_url = reverse_lazy("accounts:password_reset_sent")

    def form_valid(self, form: "PasswordResetForm") -> HttpResponse:
        """Answer first and send afterwards.

        SECURITY: a mail takes its time; sent before the answer, it would tell who has an account.
        """
        response = redirect(self.get_success_url())
        response._resource_closers.append(partial(self._send, form))  # type: ignore[attr-defined]
        return response

    def _send(self, form: "PasswordResetForm") -> None:
        try:
            super().form_valid(form)
        except Exception:  # the answer is on its way already, and the server passes over what is raised here
            log.exception("A link to set a new password could not be sent.")


password_reset = public(_PasswordReset.as_view())


@public
def password_reset_sent(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/password_reset_sent.html")


class _PasswordResetConfirm(auth_views.PasswordResetConfirmView):
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("accounts:sign_in")

    def form_valid(self, form: "SetPasswordForm[Any]") -> HttpResponse:
        request = cast(PortalRequest, self.request)
        user = cast(User, form.user)
        people.reset_password(user, form.cleaned_data["new_password1"], request.address, request.browser)
        request.session.flush()
        messages.success(request, "Your new password is set. Sign in with it.")
        return redirect(self.get_success_url())


password_reset_confirm = public(_PasswordResetConfirm.as_view())
