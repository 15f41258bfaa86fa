"""What people say about an API key that they make."""

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.forms import ConfirmPasswordForm
from accounts.http import PortalRequest
from environments.api_keys import production_open_to
from environments.models import ApiKey, App, Environment
from portal.templatetags.portal import inert

READS, CHANGES = "reads", "changes"
NAME_LENGTH = 40


class AppsField(forms.ModelMultipleChoiceField[App]):
    def label_from_instance(self, obj: Any) -> str:
        return inert(obj.name)


class KeyForm(ConfirmPasswordForm):
    """A key for chosen apps that reaches no production environment."""

    name = forms.CharField(
        label="Name",
        max_length=NAME_LENGTH,
        help_text="What uses it, for example: GitHub Actions of calc.",
        error_messages={"required": "Enter a name by which you know the key again."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    days = forms.IntegerField(
        label="Good for how many days",
        min_value=1,
        max_value=ApiKey.LONGEST.days,
        initial=ApiKey.SUGGESTED.days,
        help_text="365 at most. It never works again afterwards.",
        error_messages={"required": "Enter a number of days."},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        label="It may",
        choices=[(CHANGES, "do what you may do"), (READS, "only look")],
        initial=CHANGES,
        widget=forms.RadioSelect,
    )
    apps = AppsField(
        App.objects.none(),
        label="For which apps",
        error_messages={"required": "Choose an app."},
        widget=forms.CheckboxSelectMultiple,
    )
    field_order = ("name", "apps", "production", "scope", "days", "password")

    def __init__(self, request: PortalRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["password"].help_text = "A key outlives this session, so it is not made on a screen left open."
        self.fields["password"].widget.attrs.pop("autofocus", None)
        self.fields["apps"].queryset = App.objects.for_member(request.user)  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not name.isprintable():
            raise ValidationError("Use letters, digits and ordinary signs.")
        return name

    @property
    def lasts(self) -> timedelta:
        return timedelta(days=self.cleaned_data["days"])

    @property
    def chosen_apps(self) -> list[App]:
        return list(self.cleaned_data["apps"])

    @property
    def chosen_production(self) -> list[Environment]:
        return []


class ProductionKeyForm(KeyForm):
    """A key that reaches production environments on which its person holds API Rights, and their apps elsewhere."""

    production = forms.MultipleChoiceField(
        label="Which production environments it reaches",
        error_messages={"required": "Choose an environment."},
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, request: PortalRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        del self.fields["apps"]
        self.open = {str(environment.pk): environment for environment in production_open_to(request.user)}
        choices = [(pk, inert(f"{each.name} of {each.app.name}")) for pk, each in self.open.items()]
        self.fields["production"].choices = choices  # type: ignore[attr-defined]

    @property
    def chosen_production(self) -> list[Environment]:
        return [self.open[pk] for pk in self.cleaned_data["production"]]

    @property
    def chosen_apps(self) -> list[App]:
        return list({environment.app.pk: environment.app for environment in self.chosen_production}.values())
