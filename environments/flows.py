"""Changes to apps and teams: each one transaction with its activity record."""

from django.conf import settings
from django.db import transaction

from accounts.activity import record
from accounts.actor import Actor
from accounts.acts import Act
from accounts.models import User
from environments.models import App, Environment, Membership, Role

# Slug, name, is production: what every app has at the start (PORTAL, "Terms")
FIRST_ENVIRONMENTS = (("test", "Test", False), ("acceptance", "Acceptance", False), ("production", "Production", True))
CREATORS_ROLE = "SCRUM Master"


def may_create_app(user: User) -> bool:
    """Say whether a person may make apps: everybody, or staff only where the setting says so."""
    return settings.APP_CREATION == "everyone" or user.is_staff


@transaction.atomic
def create_app(by: Actor, name: str, slug: str) -> App:
    """Make an app with its environments; whoever creates it becomes SCRUM Master and Technical Contact."""
    app = App.objects.create(name=name, slug=slug, technical_contact=by.user)
    for order, (environment_slug, environment_name, is_production) in enumerate(FIRST_ENVIRONMENTS):
        Environment.objects.create(
            app=app, slug=environment_slug, name=environment_name, is_production=is_production, order=order
        )
    record(Act.APP_CREATED, by, name, app=app)
    add_member(app, by, by.user, Role.objects.get(name=CREATORS_ROLE))
    return app


@transaction.atomic
def add_member(app: App, by: Actor, user: User, role: Role) -> Membership:
    """Put somebody into a team and ask nobody: for whoever makes an app. People join by `environments.invitations`."""
    membership = Membership.objects.create(app=app, user=user, role=role)
    record(Act.MEMBER_JOINED, by, membership.user.name, app=app, after={"role": role.name})
    return membership
