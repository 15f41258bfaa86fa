"""Mails to people about their account. Each is sent after the transaction that it speaks of."""

import logging
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.actor import Actor
from accounts.browsers import name_of
from accounts.models import ProductionWindow, ResetRequest, User

log = logging.getLogger(__name__)


def authenticator_set_up(by: Actor) -> None:
    send("authenticator_set_up", [by.user], by=by, person=by.user)
    send("authenticator_set_up_contact", technical_contacts_of(by.user), by=by, person=by.user)


def authenticator_disabled(person: User, by: Actor, reason: str) -> None:
    send("authenticator_disabled", [person], by=by, person=person, reason=reason)
    _tell_contacts(person, by, "disabled the authenticator")


def authenticator_blocked(by: Actor) -> None:
    send("authenticator_blocked", [by.user], by=by, person=by.user)
    send_to("authenticator_blocked_support", settings.SUPPORT_EMAIL, by=by, person=by.user)


def reset_asked(by: Actor, request: ResetRequest, blocks: bool, contacts_too: bool) -> None:
    """Tell of a request; `blocks` when it has the codes refused from now on."""
    context = {"by": by, "person": by.user, "request": request, "blocks": blocks}
    send("reset_asked", [by.user], **context)
    send_to("reset_asked_support", settings.SUPPORT_EMAIL, **context)
    if contacts_too:
        send("reset_asked_contact", technical_contacts_of(by.user), **context)


def reset_rejected(request: ResetRequest, by: Actor, blocked: bool) -> None:
    send("reset_rejected", [request.user], by=by, person=request.user, message=request.answer, blocked=blocked)
    _tell_contacts(request.user, by, "rejected the request to disable the authenticator")


def wait_lifted(person: User, by: Actor, reason: str) -> None:
    send("wait_lifted", [person], by=by, person=person, reason=reason)
    _tell_contacts(person, by, "lifted the wait after wrong codes")


def _tell_contacts(person: User, by: Actor, deed: str) -> None:
    send("support_acted_contact", technical_contacts_of(person), by=by, person=person, deed=deed)


def wrong_codes(by: Actor, count: int) -> None:
    send("wrong_codes", [by.user], by=by, person=by.user, count=count)


def window_from_new_browser(by: Actor, window: ProductionWindow) -> None:
    send("window_from_new_browser", [by.user], by=by, person=by.user, window=window, browser=name_of(by.browser))


def set_up_code(by: Actor, code: str) -> None:
    send("set_up_code", [by.user], by=by, person=by.user, code=code)


def password_changed(by: Actor) -> None:
    send("password_changed", [by.user], by=by, person=by.user)


def account_added(person: User, by: Actor, link: str) -> None:
    send("account_added", [person], by=by, person=person, link=link)


def address_changed(person: User, by: Actor, before: str) -> None:
    """Tell both addresses, so that nobody loses their account without hearing of it."""
    for address in (before, person.email):
        send_to("address_changed", address, by=by, person=person, before=before)


def confirm_address(by: Actor, email: str, link: str) -> None:
    send_to("confirm_address", email, by=by, person=by.user, link=link)


def technical_contacts_of(user: User) -> QuerySet[User]:
    """The Technical Contacts of the apps that a person belongs to, without the person."""
    return User.objects.filter(contact_of__memberships__user=user, is_active=True).exclude(pk=user.pk).distinct()


def send(name: str, people: Any, **context: Any) -> None:
    for person in people:
        send_to(name, person.email, to=person, **context)


def send_to(name: str, address: str, **context: Any) -> None:
    context |= {"portal": settings.PORTAL_URL, "support": settings.SUPPORT_EMAIL, "now": timezone.now()}
    # SECURITY: a line break in a name would keep the mail from being sent, and nobody would hear of what was done
    subject = " ".join(render_to_string(f"emails/{name}-subject.txt", context).split())
    text = render_to_string(f"emails/{name}-text.txt", context).strip() + "\n"
    message = EmailMultiAlternatives(subject, text, to=[address])
    html = render_to_string("emails/message.html", {"subject": subject, "text": text})
    message.attach_alternative(html, "text/html")
    transaction.on_commit(lambda: _deliver(message), robust=True)


def _deliver(message: EmailMultiAlternatives) -> None:
    """Send; a mail server that is away must not undo or hide what happened, so it is only logged."""
    try:
        message.send()
    except OSError:
        log.exception("A mail to %s could not be sent: %s", message.to, message.subject)
