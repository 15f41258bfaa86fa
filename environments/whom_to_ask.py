"""Who helps somebody who lacks a right: the Technical Contact, or support while the app has none who is active."""

from django.conf import settings

from environments.models import App


def whom_to_ask(app: App, remedy: str) -> tuple[str, dict[str, str]]:
    """Say it in a sentence, with name and address for a page."""
    contact = app.technical_contact
    if contact.is_active:
        asked = {"contact_name": contact.name, "contact_email": contact.email, "contact_does": remedy}
        return f"{contact.name}, the Technical Contact of {app.name}, {remedy}.", asked
    asked = {"contact_name": "support", "contact_email": settings.SUPPORT_EMAIL, "contact_does": "appoints one"}
    return f"{app.name} needs a new Technical Contact, who {remedy}; support appoints one.", asked
