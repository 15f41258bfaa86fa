"""Fields for the values of constants and variables: typed as the package says, secret ones never shown again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from deployments.manifests import Constant
from deployments.options import Options, Setting, Settings
from deployments.variables import ValueType, value_problem
from portal.templatetags.portal import inert

LINES_SHOWN = 8
NEEDED = "{name} needs a value: the package has no default for it."


class ValueField(forms.CharField):
    """A value of one type as the app will get it: nothing is stripped but what a number can't have."""

    goes_without_saying = True  # that it is optional: all but a few are

    def __init__(self, kind: ValueType, **options: Any) -> None:
        super().__init__(strip=kind in (ValueType.INTEGER, ValueType.DECIMAL), **options)
        self.kind = kind

    def to_python(self, value: Any) -> str:
        # Browsers send the lines of a text area with CR LF; an app would not expect that
        return (super().to_python(value) or "").replace("\r\n", "\n")

    def validate(self, value: str) -> None:
        super().validate(value)
        if value and (problem := value_problem(self.kind, value)):
            raise ValidationError(problem)


class SecretArea(forms.Textarea):
    """SECURITY: shows no value, neither the one that is set nor the one that was just typed."""

    def format_value(self, value: Any) -> str:
        return ""


class ConstantsForm(forms.Form):
    """A form that asks for values of constants. `constants` are those it asks for, `options` what is set now."""

    def __init__(self, constants: Iterable[Constant], options: Options, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.constants = list(constants)
        self.options = options
        for constant in self.constants:
            self.fields[field_name(constant, options)] = constant_field(constant, options)

    def typed_constants(self) -> Settings:
        """Give the constants as they are to be: what was left alone stays as it is, set or by default."""
        settings = dict(self.options.constants)
        for constant in self.constants:
            name = field_name(constant, self.options)
            if name not in self.data:
                continue
            typed: str = self.cleaned_data.get(name, "")
            if typed == "" and (constant.type is not ValueType.STRING or self.options.is_secret(constant)):
                # Nothing typed: a secret stays as it is, anything else is by default again
                if not self.options.is_secret(constant):
                    settings.pop(constant.name, None)
            elif typed != self.options.value_of(constant):
                settings[constant.name] = Setting(typed, secret=self.options.is_secret(constant))
        return settings


def field_name(constant: Constant, options: Options) -> str:
    """Name a constant's field; "secret" in the name keeps it off the page that shows what was typed."""
    return f"{'secret-' if options.is_secret(constant) else ''}constant-{constant.name}"


def constant_field(constant: Constant, options: Options) -> forms.Field:
    value, lacks = options.value_of(constant), options.problem(constant) is not None
    needed = {"required": NEEDED.format(name=constant.name)}
    hint = " ".join(filter(None, [inert(constant.description), _default_of(constant)]))
    setting = options.constants.get(constant.name)
    if options.is_secret(constant):
        return secret_field(constant.name, setting, hint, constant.type, required=lacks, error_messages=needed)
    common: dict[str, Any] = {
        "label": constant.name,
        "help_text": hint,
        "required": constant.default is None,
        "initial": value or "",
        "error_messages": needed,
    }
    return ValueField(constant.type, widget=_widget(constant, value or ""), **common)


def secret_field(
    label: str, setting: Setting | None, hint: str = "", kind: ValueType = ValueType.SECRET, **options: Any
) -> ValueField:
    """Ask for a secret; an empty field leaves the one that is set as it is."""
    words = f"{set_when(setting)} Type to replace it." if setting else ""
    widget = SecretArea(attrs={"rows": 1, "class": "masked", "autocomplete": "off", "spellcheck": "false"})
    help_text = " ".join(filter(None, [hint, words or "It is stored encrypted and never shown again."]))
    return ValueField(kind, label=label, help_text=help_text, widget=widget, **options)


def text_widget(value: str) -> forms.Textarea:
    """A field for text that may have several lines; as high as the value needs."""
    rows = min(value.count("\n") + 1, LINES_SHOWN)
    return forms.Textarea(attrs={"rows": rows, "spellcheck": "false", "autocomplete": "off"})


def set_when(setting: Setting) -> str:
    """Say who set a value and when; nothing where that is not known."""
    if not setting.set_at:
        return "Set."
    at = timezone.localtime(datetime.fromisoformat(setting.set_at))
    return f"Set {at.day} {at:%b %Y} by {inert(setting.set_by)}."


def _widget(constant: Constant, value: str) -> forms.Widget:
    if constant.type is ValueType.BOOLEAN:
        choices = [("true", "true"), ("false", "false")]
        return forms.Select(choices=choices if value in ("true", "false") else [("", "Choose"), *choices])
    if constant.type is ValueType.STRING:
        return text_widget(value)
    mode = "numeric" if constant.type is ValueType.INTEGER else "decimal"
    return forms.TextInput(attrs={"inputmode": mode, "autocomplete": "off"})


def _default_of(constant: Constant) -> str:
    if constant.default is None:
        return ""
    default = f"“{inert(constant.default)}”" if constant.default else "empty text"
    return f"By default {default}."
