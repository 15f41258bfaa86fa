"""What people type about themselves, and what is wrong with it."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import PasswordChangeForm, PasswordResetForm
from django.core.exceptions import ValidationError

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.authenticators import SIX_DIGITS
from accounts.http import PortalRequest
from accounts.models import User
from accounts.people import may_be_sent_link, refused_sign_in

WRONG_SIGN_IN = "E-mail and password don't fit together, or the account is not active. Check both and try again."
WAIT = "Too many wrong passwords. Wait 15 minutes, or set a new password."
ZONES = [("", "As my browser"), *((zone, zone) for zone in sorted(available_timezones()))]
EMAIL_MISSING = {"required": "Enter the e-mail address."}
PASSWORD_MISSING = {"required": "Enter your password."}
PASSWORD_FIELD: dict[str, Any] = {"autocomplete": "current-password"}


class PasswordMixin:
    """Verifies a password, slowly and not too often."""

    locked = False

    def verify(self, request: Any, email: str, password: str) -> User | None:
        """Give the person when the password is right; `locked` says whether it was looked at at all."""
        user = authenticate(request, username=email, password=password)
        self.locked = getattr(request, "axes_locked_out", False)
        return user if isinstance(user, User) else None

    def confirm(self, request: PortalRequest, password: str) -> str:
        """Give the person's own password back when it is right; a wrong one is recorded."""
        if self.verify(request, request.user.email, password) is None:
            record(Act.PASSWORD_WRONG, Actor.of(request))
            raise ValidationError(WAIT if self.locked else "This is not your password. Check it and try again.")
        return password


class SignInForm(PasswordMixin, forms.Form):
    username = forms.EmailField(
        label="E-mail",
        max_length=254,  # as long as an account's address can be
        error_messages=EMAIL_MISSING,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        error_messages=PASSWORD_MISSING,
        widget=forms.PasswordInput(attrs=PASSWORD_FIELD),
    )

    def __init__(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: User | None = None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if {"username", "password"} <= data.keys():
            data["username"] = data["username"].lower()
            self.user = self.verify(self.request, data["username"], data["password"])
            if self.user is None:
                refused_sign_in(self.request, data["username"])
                raise ValidationError(WAIT if self.locked else WRONG_SIGN_IN)
        return data


class ConfirmPasswordForm(PasswordMixin, forms.Form):
    password = forms.CharField(
        label="Your password",
        strip=False,
        error_messages=PASSWORD_MISSING,
        help_text="So that nobody else sets up an authenticator on a screen you left open.",
        widget=forms.PasswordInput(attrs=PASSWORD_FIELD | {"autofocus": True}),
    )

    def __init__(self, request: PortalRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        return self.confirm(self.request, password)


class NewPasswordForm(PasswordMixin, PasswordChangeForm):
    """Asks for the current password, as slowly and as seldom as sign-in does."""

    def __init__(self, request: PortalRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request.user, *args, **kwargs)
        self.request = request
        for name, label in (("old_password", "Your current password"), ("new_password2", "The new password again")):
            self.fields[name].label = label

    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        return self.confirm(self.request, password)


def email_is_taken(email: str) -> bool:
    return User.objects.filter(email=email.lower()).exists()


class ForgottenPasswordForm(PasswordResetForm):
    """Sends a link to whom an address belongs, not more often than people need it."""

    address = ""

    email = forms.EmailField(
        label="E-mail",
        error_messages=EMAIL_MISSING,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.address = getattr(kwargs.get("request"), "address", "")
        super().save(*args, **kwargs)

    def get_users(self, email: str) -> Iterator[User]:
        for person in super().get_users(email):
            if isinstance(person, User) and may_be_sent_link(person, self.address):
                yield person


class EmailForm(ConfirmPasswordForm):
    """A new e-mail address, with the current password."""

    email = forms.EmailField(
        label="New e-mail address",
        error_messages=EMAIL_MISSING,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    field_order = ("email", "password")

    def __init__(self, request: PortalRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["password"].help_text = "So that nobody else takes over your account on a screen you left open."

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if email_is_taken(email):
            raise ValidationError("An account has this address already. Choose another.")
        return email


class CodeForm(forms.Form):
    """Six ASCII digits once spaces are taken out; anything else never reaches the verifier and costs no attempt."""

    code = forms.CharField(
        label="Code from your authenticator",
        max_length=20,
        error_messages={"required": "Enter the six digits that your authenticator app shows."},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code", "autofocus": True}),
    )

    def clean_code(self) -> str:
        code = "".join(self.cleaned_data["code"].split(" "))
        if not SIX_DIGITS.fullmatch(code):
            raise ValidationError("A code is six digits. Enter the ones that your authenticator app shows now.")
        return code


class MailCodeForm(CodeForm):
    """The six digits that were sent by mail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = "Code from the mail"


class HelpForm(forms.Form):
    note = forms.CharField(
        label="What happened?",
        required=False,
        max_length=2000,
        help_text="For example: I have a new phone. Say how support can reach you.",
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    phone_gone = forms.BooleanField(
        label="My phone is gone: refuse its codes from now on",
        required=False,
        help_text="Ends your production access at once. Neither codes nor setting up a new authenticator"
        " work until support has helped you. You can't undo it yourself.",
    )


class ProfileForm(forms.ModelForm[User]):
    time_zone = forms.ChoiceField(
        label="Time zone",
        required=False,
        choices=ZONES,
    )

    class Meta:
        model = User
        fields = ("name", "time_zone", "theme")
