"""What people type about apps, teams and permissions."""

from django import forms
from django.core.exceptions import ValidationError

from environments.flows import FIRST_ENVIRONMENTS
from environments.models import App, host_label


class NewAppForm(forms.ModelForm[App]):
    class Meta:
        model = App
        fields = ("name", "slug")
        labels = {"name": "Name", "slug": "Short name"}
        help_texts = {
            "name": "As your team calls it.",
            "slug": "For addresses: two or more small letters, digits and single hyphens, for example calc.",
        }
        error_messages = {
            "name": {"required": "Enter the name of the app."},
            "slug": {
                "required": "Enter a short name.",
                "unique": "This short name is taken. Choose another.",
            },
        }

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug == "new":
            raise ValidationError("This short name is the portal's own. Choose another.")
        if len(slug) < 2:
            raise ValidationError("Use two or more characters.")
        try:
            for environment, _, _ in FIRST_ENVIRONMENTS:
                host_label(slug, environment)
        except ValueError as error:
            raise ValidationError("This short name is too long for a host name.") from error
        return slug
