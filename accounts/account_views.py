"""What people see and change of their own account: profile, password, e-mail, sessions and what happened."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.core import signing
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import authenticators, mail, people, window
from accounts.actor import Actor
from accounts.acts import ABOUT_SIGNING_IN
from accounts.forms import EmailForm, NewPasswordForm, ProfileForm, email_is_taken
from accounts.guards import signed_in
from accounts.http import PortalRequest
from accounts.models import Activity

HISTORY = timedelta(days=90)
PAGE = 50
EMAIL_LINK_LASTS = timedelta(hours=1)
EMAIL_SALT = "accounts.change-email"


@signed_in
@never_cache
def account(request: PortalRequest) -> HttpResponse:
    form = ProfileForm(request.POST or None, instance=request.user)
    if request.method == "POST" and form.is_valid():
        people.change_profile(request, form)
        messages.success(request, "Your account is saved.")
        return redirect("accounts:account")
    request.user.refresh_from_db()
    context = {
        "form": form,
        "authenticator": authenticators.confirmed(request.user),
        "sessions": window.sessions_of(request.user),
        "here": request.session.session_key,
    }
    return render(request, "accounts/account.html", context)


@signed_in
@never_cache
@sensitive_post_parameters()
def password_change(request: PortalRequest) -> HttpResponse:
    form = NewPasswordForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        people.change_password(request, form.cleaned_data["new_password1"])
        messages.success(request, "Your password is changed. Every other session and your production access ended.")
        return redirect("accounts:account")
    return render(request, "accounts/password_change.html", {"form": form})


@signed_in
@never_cache
@sensitive_post_parameters()
def email_change(request: PortalRequest) -> HttpResponse:
    """Send a link to the new address; nothing changes before it is followed."""
    form = EmailForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        email = form.cleaned_data["email"]
        token = signing.dumps([request.user.pk, request.user.email, email], salt=EMAIL_SALT)
        mail.confirm_address(Actor.of(request), email, reverse("accounts:email_confirm", args=[token]))
        return render(request, "accounts/email_sent.html", {"email": email})
    return render(request, "accounts/email_change.html", {"form": form})


@signed_in
@never_cache
def email_confirm(request: PortalRequest, token: str) -> HttpResponse:
    """Show which address is about to be set; the button sets it. A link alone changes nothing."""
    email = _address_of(request, token)
    if request.method == "POST" and email:
        try:
            people.change_email(Actor.of(request), email)
        except IntegrityError:  # somebody got this address at this very moment
            email = None
        else:
            messages.success(request, f"You sign in with {email} from now on.")
            return redirect("accounts:account")
    return render(request, "accounts/email_confirm.html", {"email": email}, status=200 if email else 410)


def _address_of(request: PortalRequest, token: str) -> str | None:
    """Read the link: for this person, their address unchanged since it was sent, the new one still free."""
    try:
        pk, before, email = signing.loads(token, salt=EMAIL_SALT, max_age=EMAIL_LINK_LASTS)
    except (signing.BadSignature, ValueError):
        return None
    mine = [pk, before] == [request.user.pk, request.user.email]
    return str(email) if mine and not email_is_taken(email) else None


@signed_in
@require_POST
def end_session(request: PortalRequest, reference: UUID) -> HttpResponse:
    session = get_object_or_404(request.user.sessions, reference=reference)
    people.end_session(Actor.of(request), session)
    messages.success(request, "That session is ended, and its production access with it.")
    return redirect("accounts:account")


@signed_in
@require_POST
def end_session_window(request: PortalRequest, reference: UUID) -> HttpResponse:
    """End the production access of one browser session and leave the session itself."""
    session = get_object_or_404(request.user.sessions, reference=reference)
    window.end_of_session(Actor.of(request), session)
    messages.success(request, "Production access of that session is ended.")
    return redirect("accounts:account")


@signed_in
@require_POST
def end_other_sessions(request: PortalRequest) -> HttpResponse:
    count = people.end_other_sessions(request)
    messages.success(request, f"Ended: {count} other session{'' if count == 1 else 's'}.")
    return redirect("accounts:account")


@signed_in
def history(request: PortalRequest) -> HttpResponse:
    """Show sign-ins and codes of the last 90 days, those that were refused among them."""
    entries = Activity.objects.filter(
        actor_id=request.user.pk, act__in=ABOUT_SIGNING_IN, at__gt=timezone.now() - HISTORY
    )
    page = Paginator(entries, PAGE).get_page(request.GET.get("page"))
    return render(request, "accounts/history.html", {"page": page})
