"""What comes in an invitation's mail."""

import re
from typing import Any

from django.core import mail
from django.test import Client

from accounts.models import User
from environments.models import Role

EMAIL = "dora@example.org"
NEW = {"name": "Dora Dean", "new_password1": "seven green bottles", "new_password2": "seven green bottles"}


class Invitations:
    """Sends invitations through the page and follows the links that are mailed."""

    def __init__(self, manager: Client, capture: Any) -> None:
        self.manager = manager
        self.capture = capture

    def send(self, email: str = EMAIL, role: str = "Business Engineer") -> str:
        """Invite; give the path of the link in the mail."""
        data = {"email": email, "role": Role.objects.get(name=role).pk}
        with self.capture(execute=True):
            answer = self.manager.post("/apps/calc/team/invite/", data)
        assert answer.status_code == 302, answer.content.decode()
        return link_in(mail.outbox[-1])


def link_in(message: Any) -> str:
    found = re.search(r"http://localhost:8000(/invitations/[\w-]+/)\n", str(message.body))
    assert found, message.body
    return found[1]


def token_of(path: str) -> str:
    return path.strip("/").rpartition("/")[2]


def is_signed_in_as(client: Client, user: User) -> bool:
    return client.session.get("_auth_user_id") == str(user.pk)
