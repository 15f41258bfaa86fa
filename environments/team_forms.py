"""What people type about who is in a team, and what somebody new types to join one."""

from typing import Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm
from django.core.exceptions import ValidationError

from accounts.models import User
from environments.models import App, Role

LONGEST_EMAIL = 254  # as long as an account's address can be


class RoleField(forms.ModelChoiceField[Role]):
    """One of the roles, each with the rights that it carries."""

    def __init__(self, **options: Any) -> None:
        missing = {"required": "Choose a role.", "invalid_choice": "There is no such role any more. Choose another."}
        super().__init__(Role.objects.all(), empty_label="Choose a role", error_messages=missing, **options)

    def label_from_instance(self, obj: Any) -> str:
        carried = {"deploys": obj.deploys, "manages the team": obj.manages_team}
        rights = [right for right, carries in carried.items() if carries]
        return f"{obj.name} ({', '.join(rights)})" if rights else obj.name


class InviteForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        max_length=LONGEST_EMAIL,
        help_text="A link goes there. Somebody new to the portal sets a password with it; everybody else signs in.",
        error_messages={"required": "Enter the e-mail address of whom you invite."},
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = RoleField(label="Role", help_text="Members with a role that deploys can be granted node permissions.")

    def __init__(self, app: App, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = app

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if len(email) > LONGEST_EMAIL:  # some letters are two when they are small
            raise ValidationError("This address is too long.")
        member = self.app.memberships.filter(user__email=email).select_related("user", "role").first()
        if member:
            raise ValidationError(f"{member.user.name} is in the team already, as {member.role.name}.")
        return email


class ChooseRoleForm(forms.Form):
    role = RoleField(label="New role")


class ThisRoleForm(forms.Form):
    """The role that a confirm page is about; the page says its name."""

    role = RoleField(widget=forms.HiddenInput)


class SearchForm(forms.Form):
    """What a team is searched for; more than an address can hold finds nobody."""

    q = forms.CharField(required=False, max_length=LONGEST_EMAIL)


class NewPersonForm(SetPasswordForm):  # type: ignore[type-arg]  # takes none at run time
    """Name and password of somebody who has no account yet; the address is the one that was invited."""

    name = forms.CharField(
        label="Your name",
        max_length=100,
        help_text="As your colleagues know you.",
        error_messages={"required": "Enter your name."},
        widget=forms.TextInput(attrs={"autocomplete": "name", "autofocus": True}),
    )
    field_order = ("name", "new_password1", "new_password2")

    def __init__(self, email: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(User(email=email), *args, **kwargs)
        for field, label in (("new_password1", "Password"), ("new_password2", "The password again")):
            self.fields[field].label = label

    def clean_name(self) -> str:
        # The password is compared with it, so it is set before the password is looked at
        name = " ".join(self.cleaned_data["name"].split())
        self.user.name = name
        return name
