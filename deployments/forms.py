"""What people type or choose to upload and transport packages."""

from django import forms
from django.core.validators import FileExtensionValidator

from deployments.flows import NOTE_LENGTH


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Package",
        help_text="A .zip or .mda archive with a Procfile that says how the app starts.",
        validators=[FileExtensionValidator(["zip", "mda"], "This is no .zip or .mda file. Choose such an archive.")],
        widget=forms.FileInput(attrs={"accept": ".zip,.mda"}),
        error_messages={
            "required": "Choose the file of the package.",
            "empty": "The file is empty. Choose the file of the package.",
        },
    )


class NoteForm(forms.Form):
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=NOTE_LENGTH,
        help_text="Why now, for those who read the history. Everybody in the team sees it.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
