"""What people type about an app and its environments."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from environments.models import HOST_LENGTH, App, Colour, Environment, host_label
from portal.templatetags.portal import inert

# PORTAL, "Terms": two or more characters, letters, digits and single hyphens, no hyphen at either end
ENVIRONMENT_NAME = RegexValidator(
    re.compile(r"\A(?=..)[a-z0-9]+(-[a-z0-9]+)*\Z", re.ASCII | re.IGNORECASE),
    "Use two or more letters and digits; single hyphens between them are allowed, but no spaces.",
)
ONLY_SUPPORT = "Only support makes an environment production. Choose another name, or ask them."


class ColourChoice(forms.RadioSelect):
    option_template_name = "environments/_colour.html"


class AppForm(forms.Form):
    """Name, description and colour. `seen` is the fingerprint of what they were when the page was shown."""

    name = forms.CharField(
        label="Name",
        max_length=60,
        help_text="As your team calls it. The address keeps the short name.",
        error_messages={"required": "Enter the name of the app."},
    )
    description = forms.CharField(
        label="Description", max_length=300, required=False, help_text="What it is for, in a sentence."
    )
    colour = forms.ChoiceField(
        label="Colour of its picture",
        choices=Colour.choices,
        widget=ColourChoice,
        error_messages={"required": "Choose a colour."},
    )
    seen = forms.CharField(max_length=16, required=False, widget=forms.HiddenInput)


class EnvironmentNameForm(forms.Form):
    """The name of a new environment, or another name for one that there is."""

    name = forms.CharField(
        label="Name",
        max_length=40,
        validators=[ENVIRONMENT_NAME],
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}),
        error_messages={"required": "Enter the name of the environment."},
    )
    seen = forms.CharField(max_length=60, required=False, widget=forms.HiddenInput)

    def __init__(self, app: App, environment: Environment | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app, self.environment = app, environment
        if environment is None:
            del self.fields["seen"]
            self.fields[
                "name"
            ].help_text = "Two or more letters, digits and single hyphens, for example Demo. Its address is made of it."

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        others = [each for each in self.app.environments.all() if each != self.environment]
        if any(each.name.lower() == name.lower() for each in others):
            raise ValidationError("The app has an environment of this name. Choose another.")
        if name.lower() == "production" and not (self.environment and self.environment.is_production):
            # SECURITY: an environment of this name that asks for no code would be taken for one that does
            raise ValidationError(ONLY_SUPPORT)
        if self.environment is None:
            self._check_address(name.lower(), others)
        return name

    def _check_address(self, slug: str, others: list[Environment]) -> None:
        for each in others:
            if each.slug == slug:
                raise ValidationError(f"{inert(each.name)} has the address {slug}. Choose another name.")
        try:
            host = host_label(self.app.slug, slug)
        except ValueError as error:
            most = HOST_LENGTH - len(host_label(self.app.slug, ""))
            raise ValidationError(
                f"This name is too long for a host name: with the app's own it may have {most} characters."
            ) from error
        if Environment.objects.filter(host=host).exists():
            raise ValidationError("The host name that this would have is taken. Choose another name.")


class TypedNameForm(forms.Form):
    """The name of what is deleted or cleared, so that nobody does it by the way."""

    name = forms.CharField(max_length=600, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, meant: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meant = meant
        self.fields["name"].label = f"Type {inert(meant)} to confirm"
        self.fields["name"].error_messages["required"] = f"Type {inert(meant)}."

    def clean_name(self) -> str:
        typed, *meant = (_plain(text) for text in (self.cleaned_data["name"], self.meant, inert(self.meant)))
        if typed not in meant:  # a name with a mark in it, as of joined emoji, can be typed as it is shown, too
            raise ValidationError(f"This is not the name. Type {inert(self.meant)}.")
        return self.meant


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
