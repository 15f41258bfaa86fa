"""The form of the Options page: everything that is set on an environment, saved as one change."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms import BoundField

from deployments.manifests import Constant, Manifest, ScheduledEvent, health_path_problem
from deployments.option_fields import ConstantsForm, ValueField, secret_field, text_widget
from deployments.option_fields import field_name as constant_field_name
from deployments.options import LONGEST_PATIENCE, MOST_VARIABLES, LogLevel, Options, Setting, variable_problem
from deployments.variables import ValueType

NEW_ROWS = ("1", "2", "secret")  # rows for variables that are added; what is typed into the last one is a secret
TOO_MANY = f"An environment has {MOST_VARIABLES} variables at most. Remove one first."


@dataclass(frozen=True)
class Row:
    """A constant or variable on the page: its field, and the box that resets or removes it, where there is one."""

    name: str
    field: BoundField
    box: BoundField | None
    is_set: bool = True


class OptionsForm(ConstantsForm):
    """`manifest` is of the package on the environment; without one there are no constants and no events."""

    revision = forms.IntegerField(widget=forms.HiddenInput)
    package = forms.CharField(widget=forms.HiddenInput, required=False)
    health_path = forms.CharField(label="Path of the health check", required=False, max_length=200)
    patience = forms.IntegerField(
        label="Patience in seconds",
        required=False,
        min_value=1,
        max_value=LONGEST_PATIENCE,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    log_level = forms.ChoiceField(
        label="Log level", required=False, choices=[("", "As the app decides"), *LogLevel.choices]
    )

    def __init__(self, manifest: Manifest | None, options: Options, *args: Any, **kwargs: Any) -> None:
        self.manifest = manifest
        initial = {"health_path": options.health_path, "patience": options.patience, "log_level": options.log_level}
        kwargs["initial"] = initial | kwargs.get("initial", {})
        super().__init__(manifest.constants if manifest else (), options, *args, **kwargs)
        said = f"As the package says: {manifest.health_path}" if manifest else "As the package says"
        self.fields["health_path"].help_text = f"{said}, unless another one is set here."
        patience = f"{settings.HEALTH_PATIENCE}, unless another number is set here."
        self.fields["patience"].help_text = f"How long a new version may take to get healthy: {patience}"
        self.left_over = sorted(options.constants.keys() - {constant.name for constant in self.constants})
        self._add_boxes()
        self._add_variables()

    def _add_boxes(self) -> None:
        for constant in self.constants:
            if constant.name in self.options.constants and constant.default is not None:
                self.fields[f"reset-{constant.name}"] = _box(f"Reset {constant.name} to its default")
        for name in self.left_over:
            self.fields[f"forget-{name}"] = _box(f"Remove {name}")
        for number, event in enumerate(self.events):
            on = event.name not in self.options.events_off
            self.fields[f"event-{number}"] = forms.BooleanField(label=event.name, required=False, initial=on)

    def _add_variables(self) -> None:
        for name, setting in self.options.variables.items():
            self.fields[_variable_field_name(name, setting)] = (
                secret_field(name, setting, required=False)
                if setting.secret
                else ValueField(
                    ValueType.STRING,
                    label=name,
                    required=False,
                    initial=setting.value,
                    widget=text_widget(setting.value),
                )
            )
            self.fields[f"remove-{name}"] = _box(f"Remove {name}")
        for row in NEW_ROWS:
            plain = row != "secret"
            widget = forms.TextInput(
                attrs={"autocapitalize": "characters", "autocomplete": "off", "spellcheck": "false"}
            )
            self.fields[f"new-name-{row}"] = forms.CharField(
                label="Name" if plain else "Name of a secret",
                required=False,
                widget=widget,
                help_text="" if plain else "Its value is masked from then on.",
            )
            self.fields[f"new-value-{row}"] = (
                ValueField(ValueType.STRING, label="Value", required=False, widget=text_widget(""))
                if plain
                else secret_field("Secret value", None, required=False)
            )

    @property
    def had_secrets(self) -> bool:
        """Whether a secret was typed into the form that came back: it is not shown again."""
        return any(
            value for name, value in self.data.items() if name.startswith("secret-") or name == "new-value-secret"
        )

    @property
    def events(self) -> tuple[ScheduledEvent, ...]:
        return self.manifest.scheduled_events if self.manifest else ()

    def constant_rows(self) -> Iterator[Row]:
        for constant in self.constants:
            box = f"reset-{constant.name}"
            yield Row(
                constant.name,
                self[constant_field_name(constant, self.options)],
                self[box] if box in self.fields else None,
                constant.name in self.options.constants,
            )

    def variable_rows(self) -> Iterator[Row]:
        for name, setting in self.options.variables.items():
            yield Row(name, self[_variable_field_name(name, setting)], self[f"remove-{name}"])

    def left_over_rows(self) -> Iterator[tuple[str, Setting, BoundField]]:
        for name in self.left_over:
            yield name, self.options.constants[name], self[f"forget-{name}"]

    def new_rows(self) -> Iterator[tuple[BoundField, BoundField]]:
        for row in NEW_ROWS:
            yield self[f"new-name-{row}"], self[f"new-value-{row}"]

    def clean_health_path(self) -> str:
        path: str = self.cleaned_data["health_path"]
        if path and (problem := health_path_problem(path)):
            raise ValidationError(problem)
        return path

    def clean(self) -> None:
        if not self.errors:
            # Named again when it fails to validate, so that the page can say it beside the field
            self.variables = self._typed_variables()

    def typed(self) -> Options:
        """Give the options as they are to be; call it when the form is valid."""
        cleaned = self.cleaned_data
        constants = {
            name: setting
            for name, setting in self.typed_constants().items()
            if not cleaned.get(f"reset-{name}") and not cleaned.get(f"forget-{name}")
        }
        declared = {event.name for event in self.events}
        off = {event.name for number, event in enumerate(self.events) if not cleaned[f"event-{number}"]}
        return replace(
            self.options,
            constants=constants,
            variables=self.variables,
            events_off=frozenset(off | (self.options.events_off - declared)),
            health_path=cleaned["health_path"],
            patience=cleaned["patience"],
            log_level=cleaned["log_level"],
        )

    def _typed_variables(self) -> dict[str, Setting]:
        variables = {}
        for name, setting in self.options.variables.items():
            if not self.cleaned_data.get(f"remove-{name}"):
                variables[name] = self._typed_variable(name, setting)
        for row in NEW_ROWS:
            self._add_new(row, variables)
        if len(variables) > MOST_VARIABLES:
            self.add_error(None, TOO_MANY)
        return variables

    def _typed_variable(self, name: str, setting: Setting) -> Setting:
        field = _variable_field_name(name, setting)
        typed: str = self.cleaned_data[field]
        if field not in self.data or (setting.secret and not typed):
            return setting
        return setting if typed == setting.value else Setting(typed, secret=setting.secret)

    def _add_new(self, row: str, variables: dict[str, Setting]) -> None:
        name, value = self.cleaned_data[f"new-name-{row}"], self.cleaned_data[f"new-value-{row}"]
        if not name and not value:
            return
        problem = variable_problem(name, self.manifest) if name else "Enter a name for the value."
        if not problem and name in variables:
            problem = f"{name} is there already."
        if problem:
            self.add_error(f"new-name-{row}", problem)
        elif row == "secret" and not value:
            self.add_error("new-value-secret", "Enter the secret.")
        else:
            variables[name] = Setting(value, secret=row == "secret")


def _box(label: str) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False)


def _variable_field_name(name: str, setting: Setting) -> str:
    return f"{'secret-' if setting.secret else ''}variable-{name}"


def needed_constants(manifest: Manifest, before: Manifest | None, options: Options) -> list[Constant]:
    """List the constants that a transport asks for: new ones, and those without a value that fits."""
    old = {constant.name for constant in before.constants} if before else set()
    lacking = {lack.constant.name for lack in options.problems(manifest)}
    return [
        c for c in manifest.constants if c.name in lacking or (c.name not in old and c.name not in options.constants)
    ]
