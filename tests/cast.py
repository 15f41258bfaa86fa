"""The people of the tests: Alice is the Technical Contact, Bob a member, Charlie an outsider, Sam support."""

from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import Authenticator, User
from environments import flows, grants
from environments.models import App, Environment, Membership, Role
from environments.permissions import Permission
from tests.codes import code_of

PASSWORD = "correct horse battery"


@dataclass
class Cast:
    """An app `calc` with its three environments and the people around it; everybody has the same password."""

    alice: User
    bob: User
    charlie: User
    sam: User
    app: App
    test: Environment
    acceptance: Environment
    production: Environment

    def membership(self, user: User) -> Membership:
        return Membership.objects.select_related("app", "role", "user").get(app=self.app, user=user)

    def grant(self, user: User, environment: Environment, *permissions: Permission) -> None:
        """Let Alice grant permissions to a member."""
        member = self.membership(user)
        wanted = {member.pk: dict.fromkeys(permissions, True)}
        grants.set_permissions(environment, Actor(self.alice, via="shell"), wanted, {})


def make_cast() -> Cast:
    people = {n: make_person(n) for n in ("alice", "bob", "charlie", "sam")}
    sam = people["sam"]
    sam.is_staff = True
    sam.save()
    sam.groups.add(Group.objects.get_or_create(name="Support")[0])
    app = flows.create_app(Actor(people["alice"]), "Calc", "calc")
    flows.add_member(app, Actor(people["alice"]), people["bob"], Role.objects.get(name="Business Engineer"))
    test, acceptance, production = app.environments.all()
    return Cast(people["alice"], people["bob"], people["charlie"], sam, app, test, acceptance, production)


def make_person(name: str) -> User:
    return User.objects.create_user(f"{name}@example.org", name.capitalize(), PASSWORD)


def signed_in(user: User) -> Client:
    """A browser in which this person has signed in through the page."""
    client = Client(headers={"user-agent": "Test browser"})
    answer = client.post("/sign-in/", {"username": user.email, "password": PASSWORD})
    assert answer.status_code == 302, answer.content
    return client


def unlocked(user: User) -> Client:
    """A browser in which this person has signed in and opened a production window through the pages."""
    client = signed_in(user)
    unlock(client, user)
    return client


def unlock(client: Client, user: User) -> None:
    """Open a window in this browser, with the person's authenticator or by setting one up."""
    if not Authenticator.objects.filter(user=user, confirmed=True).exists():
        client.post("/authenticator/set-up/", {"step": "password", "password": PASSWORD})
        data = {"step": "code", "code": code_of(user)}
        answer = client.post("/authenticator/set-up/", data)
    else:
        forget_last_step(user)
        answer = client.post("/authenticator/", {"code": code_of(user)})
    assert answer.status_code == 302, answer.content


def forget_last_step(user: User) -> None:
    """As if the last code had been entered half a minute ago, so that the current one is fresh."""
    Authenticator.objects.filter(user=user).update(last_step=int(timezone.now().timestamp()) // 30 - 5)
