"""Setting up an authenticator, in steps on one page: password, (code from a mail,) scan, first code."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import authenticators, mail_codes, qr, secrets
from accounts.authenticator_views import go_on, purpose_of, query_of
from accounts.forms import CodeForm, ConfirmPasswordForm, MailCodeForm
from accounts.guards import signed_in
from accounts.http import PortalRequest
from accounts.models import Authenticator


@signed_in
@never_cache
@sensitive_post_parameters("password")
def set_up(request: PortalRequest) -> HttpResponse:
    own = authenticators.of(request.user)
    if own and own.confirmed:
        return redirect(f"{reverse('accounts:code')}?{query_of(request)}")
    step = request.POST.get("step", "")
    forms: dict[str, Any] = {
        "password": ConfirmPasswordForm(request, request.POST if step == "password" else None),
        "mail": MailCodeForm(request.POST if step == "mail" else None),
        "code": CodeForm(request.POST if step == "code" else None),
    }
    if step in TAKES and forms[step].is_valid():
        try:
            answer = TAKES[step](request, forms[step])
        except authenticators.NotAllowed:  # another session was quicker: its authenticator is in force
            return redirect(f"{reverse('accounts:code')}?{query_of(request)}")
        if answer:
            return answer
    return render(request, "accounts/set_up.html", _context(request, own, forms, step))


def _take_password(request: PortalRequest, form: ConfirmPasswordForm) -> HttpResponse | None:
    if not mail_codes.needed():
        authenticators.begin_set_up(request)
        return _again(request)
    try:
        mail_codes.send(request)
    except mail_codes.MailCodeRefused as refused:
        form.add_error("password", str(refused))
        return None
    return _again(request)


def _take_mail_code(request: PortalRequest, form: MailCodeForm) -> HttpResponse | None:
    try:
        mail_codes.accept(request, form.cleaned_data["code"])
    except mail_codes.MailCodeRefused as refused:
        form.add_error("code", str(refused))
        return None
    authenticators.begin_set_up(request)
    return _again(request)


def _take_first_code(request: PortalRequest, form: CodeForm) -> HttpResponse | None:
    try:
        authenticators.confirm_set_up(request, form.cleaned_data["code"])
    except authenticators.CodeRefused as refused:
        form.add_error("code", str(refused))
        return None
    messages.success(request, "Your authenticator is set up.")
    return go_on(request)


Take = Callable[[PortalRequest, Any], HttpResponse | None]
TAKES: dict[str, Take] = {"password": _take_password, "mail": _take_mail_code, "code": _take_first_code}


# A code that comes when its own step is not the one that is shown any more
OVER_AT = {"mail": ("password",), "code": ("password", "mail")}


def _again(request: PortalRequest) -> HttpResponse:
    return redirect(f"{reverse('accounts:set_up')}?{query_of(request)}")


def _context(request: PortalRequest, own: Authenticator | None, forms: dict[str, Any], step: str) -> dict[str, Any]:
    context = purpose_of(request) | {"forms": forms, "stage": "password", "by_mail": mail_codes.needed()}
    if authenticators.is_being_set_up(own, request):
        own.user = request.user
        try:
            setup = authenticators.setup_of(own)
        except secrets.Unreadable:
            return context | {"over": "What you had begun can't be read any more. Enter your password to begin again."}
        context |= {"stage": "scan", "setup": setup, "picture": qr.data_image(setup.uri)}
    elif mail_codes.needed() and mail_codes.waiting(request):
        context["stage"] = "mail"
    if step in OVER_AT and context["stage"] in OVER_AT[step]:
        # What was begun is over: the reason stands where the person begins again
        context["over"] = forms[step].errors.get("code", [""])[0]
    return context
