"""What mails about an account must not be kept from saying."""

from typing import Any

import pytest
from django.core import mail

from accounts.acts import Act
from accounts.models import Activity, User
from tests.cast import PASSWORD, Cast, signed_in, unlocked


def test_no_line_break_in_a_name_keeps_a_mail_from_its_readers(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    """The thief of a password renames the account, so that the Technical Contact hears nothing."""
    signed_in(cast.bob).post("/account/", {"name": "Bob\r\nBcc: thief@example.org", "time_zone": "", "theme": ""})
    bob = User.objects.get(pk=cast.bob.pk)
    assert "\n" in bob.name
    with django_capture_on_commit_callbacks(execute=True):
        unlocked(bob)
    told = [message for message in mail.outbox if message.to == [cast.alice.email]]
    assert [message.subject for message in told] == ["Bob Bcc: thief@example.org set up an authenticator"]
    assert all(message.recipients() == message.to for message in mail.outbox)


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("/authenticator/set-up/", {"step": "password", "password": "wrong"}),
        ("/account/password/", {"old_password": "wrong", "new_password1": PASSWORD, "new_password2": PASSWORD}),
        ("/account/e-mail/", {"email": "new@example.org", "password": "wrong"}),
    ],
)
def test_a_wrong_password_on_a_page_is_recorded_and_shown(cast: Cast, path: str, typed: dict[str, str]) -> None:
    client = signed_in(cast.alice)
    client.post(path, typed)
    assert Activity.objects.get(act=Act.PASSWORD_WRONG).actor_id == cast.alice.pk
    assert "Entered a wrong password" in client.get("/account/history/").content.decode()
