"""What is typed on the pages of an environment's log."""

from typing import Any

from django import forms

from deployments.monitoring.levels import Level
from deployments.monitoring.logs import Wanted

LONGEST_WORDS = 200
LEVELS = {level.name.lower(): level for level in Level}


class LogFilter(forms.Form):
    """Which lines are shown; what makes no sense shows all."""

    level = forms.ChoiceField(
        required=False,
        choices=[("", "All"), *((name, level.label) for name, level in LEVELS.items())],
        help_text="This one and worse.",
    )
    q = forms.CharField(label="Text", required=False, max_length=LONGEST_WORDS, help_text="In any case.")

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.fields["q"].widget.input_type = "search"

    def wanted(self) -> Wanted:
        self.is_valid()
        return Wanted(LEVELS.get(self.cleaned_data.get("level", "")), self.cleaned_data.get("q", ""))
