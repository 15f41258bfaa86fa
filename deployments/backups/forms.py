"""What people type or choose about backups."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from deployments.backups.models import COMMENT_LENGTH
from deployments.runtimes.base import DatabaseKind

UPLOADS = {
    DatabaseKind.SQLITE: (
        "What was downloaded from a backup, an SQLite database, or a .zip or .tar.gz archive of files."
    ),
    DatabaseKind.POSTGRESQL: (
        "What was downloaded from a backup, a dump of a PostgreSQL database in custom format (pg_dump -Fc), or a .zip"
        " or .tar.gz archive of files."
    ),
}


class CommentForm(forms.Form):
    comment = forms.CharField(
        label="Comment",
        required=False,
        max_length=COMMENT_LENGTH,
        help_text="What it is for, for those who look for it later. Everybody in the team sees it.",
    )


class DataForm(forms.Form):
    file = forms.FileField(
        label="Data",
        error_messages={"required": "Choose the file.", "empty": "The file is empty. Choose the file of the data."},
    )
    comment = CommentForm.base_fields["comment"]

    def __init__(self, kind: DatabaseKind, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].help_text = UPLOADS[kind]


class RestoreForm(forms.Form):
    """Asks whether to save what is overwritten, and for the environment's name, so that nobody takes the wrong one."""

    back_up = forms.BooleanField(label="Back up first what is overwritten", required=False, initial=True)
    name = forms.CharField(widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}))

    def __init__(self, environment: str, data: QueryDict | None = None) -> None:
        super().__init__(data)
        self.environment = environment
        self.fields["name"].label = f"Type {environment} to confirm"
        self.fields["name"].error_messages["required"] = f"Type {environment} to restore into it."
        self.fields["back_up"].help_text = f"{environment} is stopped while that is done. It can be restored then."

    def clean_name(self) -> str:
        typed: str = self.cleaned_data["name"]
        if typed != self.environment:
            raise ValidationError(f"That is not the name of the environment. Type {self.environment} to restore.")
        return typed
