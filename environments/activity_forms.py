"""What somebody looks for in the activity of an app; it stands in the address."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accounts.models import Activity, User
from environments.kinds import Kind, acts_of
from environments.models import App, Environment
from environments.timeline import Wanted

MOST_PEOPLE = 5  # who share a name; more can't be told apart by it anyway
MOST_OFFERED = 100  # names that the field offers
# Django's own way to UTC ends with the calendar of Python
EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)


class Day(forms.DateField):
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})

    def __init__(self, label: str) -> None:
        validators = [MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
        error_messages = {"invalid": "Enter a day, for example 2026-03-04."}
        super().__init__(label=label, required=False, validators=validators, error_messages=error_messages)


class ActivityFilter(forms.Form):
    """Choices are what the app has and had: `environments` are those that there are, `gone` those deleted."""

    person = forms.CharField(
        label="Person",
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"list": "people", "autocomplete": "off"}),
    )
    kind = forms.TypedChoiceField(
        label="Kind", required=False, coerce=Kind, empty_value=None, choices=[("", "Everything"), *Kind.choices]
    )
    since = Day("From")
    until = Day("To")

    def __init__(
        self,
        data: Any,
        app: App,
        environments: list[Environment],
        gone: list[tuple[int, str]],
        only: Environment | None = None,
    ) -> None:
        """`only` is the environment of a page that shows no other."""
        super().__init__(data)
        self.app, self.only = app, only
        if only is None:
            there = [(each.pk, each.name) for each in environments]
            choices = [("", "Every environment"), *there, *((pk, f"{name} (deleted)") for pk, name in gone)]
            self.fields["environment"] = forms.TypedChoiceField(
                label="Environment", required=False, coerce=int, empty_value=None, choices=choices
            )
        self.order_fields(["person", "environment", "kind", "since", "until"])

    def clean_person(self) -> tuple[int, ...] | None:
        """Find who has this name or address; people who left the team are found, too.

        SECURITY: says the same of somebody who never did anything here as of somebody who does not exist.
        """
        typed = str(self.cleaned_data["person"]).strip()
        if not typed:
            return None
        acted = Exists(Activity.objects.filter(app_id=self.app.pk, actor_id=OuterRef("pk")))
        belongs = Exists(self.app.memberships.filter(user=OuterRef("pk")))
        found = (
            User.objects.filter(Q(name__iexact=typed) | Q(email__iexact=typed)).filter(acted | belongs).order_by("pk")
        )
        return tuple(found.values_list("pk", flat=True)[:MOST_PEOPLE])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and until < since:
            self.add_error("until", "This day is before the other one.")
        return data

    @property
    def is_used(self) -> bool:
        return any(self[name].value() for name in self.fields)

    def wanted(self) -> Wanted:
        """Give what is asked for; call it on a valid form. Days are those of the person's time zone."""
        data = self.cleaned_data
        return Wanted(
            app=self.app,
            environment=self.only.pk if self.only else data.get("environment"),
            people=data["person"],
            acts=acts_of(data["kind"]) if data["kind"] else None,
            since=_begin_of(data["since"]),
            until=_begin_of(data["until"] + timedelta(days=1)) if data["until"] else None,
        )


def offered_names(app: App) -> list[str]:
    """The members whom the field for a person offers."""
    return list(app.memberships.order_by("user__name").values_list("user__name", flat=True)[:MOST_OFFERED])


def _begin_of(day: date | None) -> datetime | None:
    return timezone.make_aware(datetime.combine(day, time.min)) if day else None
