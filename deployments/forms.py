"""What people type or choose to upload and transport packages."""

from typing import Any

from django import forms
from django.core.validators import FileExtensionValidator

from deployments.flows import NOTE_LENGTH
from deployments.manifests import MAX_DESCRIPTION
from deployments.option_fields import ConstantsForm


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
    description = forms.CharField(
        label="Description",
        required=False,
        max_length=MAX_DESCRIPTION,
        help_text="What is new in it, for those who choose a package. What the package says of itself comes first.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class NoteForm(forms.Form):
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=NOTE_LENGTH,
        help_text="Why now, for those who read the history. Everybody in the team sees it.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class BackUpFirst(forms.Form):
    """Offers, where there are data of production, to save them first; left as it is, that is done."""

    back_up = forms.BooleanField(label="Back up first", required=False, initial=True)

    def offer_backup(self, environment: str, *, offered: bool) -> None:
        if offered:
            self.fields["back_up"].label = f"Back up {environment} first"
            self.fields["back_up"].help_text = "If the backup fails, nothing is transported."
        else:
            del self.fields["back_up"]

    @property
    def backs_up(self) -> bool | None:
        """What was chosen; None where nothing was offered."""
        return self.cleaned_data.get("back_up")


class TransportForm(BackUpFirst, ConstantsForm):
    """Asks for the constants that a package needs, and for a note."""

    revision = forms.IntegerField(widget=forms.HiddenInput, required=False)
    note = NoteForm.base_fields["note"]

    field_order = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        last = ("note", "back_up")
        self.order_fields(["revision", *(name for name in self.fields if name not in ("revision", *last)), *last])


class RollBackForm(BackUpFirst, NoteForm):
    """Asks, where it makes a difference, which options the version that comes back gets."""

    options = forms.ChoiceField(label="Options", widget=forms.RadioSelect)
    field_order = ("options", "note", "back_up")

    THEN, NOW = "then", "now"

    def __init__(self, package: str, offers_choice: bool, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if offers_choice:
            choices = [(self.THEN, f"As they were with {package}"), (self.NOW, "As they are now")]
            self.fields["options"].choices = choices  # type: ignore[attr-defined]
            self.fields["options"].initial = self.THEN
        else:
            del self.fields["options"]

    @property
    def with_options(self) -> bool:
        return self.cleaned_data.get("options") == self.THEN
