"""What is typed in the admin."""

from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from accounts.models import User


def _text(label: str, hint: str, missing: str, **attributes: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=1000,
        help_text=hint,
        error_messages={"required": missing},
        widget=forms.Textarea(attrs={"rows": 3, **attributes}),
    )


KEPT = "The person reads it in the mail; it is kept in the activity."


class DisableForm(forms.Form):
    reason = _text("Reason", KEPT, "Say why, in a sentence. The reason is kept.", autofocus=True)
    identity_check = _text(
        "How did you make sure who asks?",
        "For example: called back on the number that the personnel office has. It is kept in the activity.",
        "Say how you made sure who asks. It is kept.",
    )


class LiftWaitForm(forms.Form):
    reason = _text("Reason", KEPT, "Say why, in a sentence. The reason is kept.", autofocus=True)


class RejectForm(forms.Form):
    message = _text("Message", KEPT, "Write what the person should know. It is mailed to them.", autofocus=True)


class PersonForm(forms.ModelForm[User]):
    """What the operator sets. No password, no superuser: the one is the person's own, the other made in the shell."""

    groups = forms.ModelMultipleChoiceField(
        Group.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Support staff are in the group Support.",
    )

    class Meta:
        model = User
        fields = ("name", "email", "is_active", "is_staff", "groups")
        help_texts = {
            "is_active": "Without it, every session and production access of the person ends at once.",
            "is_staff": "May open this admin, with a code.",
        }

    operator: User | None = None

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if User.objects.filter(email__iexact=email).exclude(pk=self.instance.pk).exists():
            raise ValidationError("Somebody has an account with this e-mail address already.")
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.instance.pk and self.operator and self.instance.pk == self.operator.pk:
            for field in ("is_active", "is_staff"):
                if not data.get(field):
                    self.add_error(field, "You can't take your own access away. Ask another operator.")
        return data
