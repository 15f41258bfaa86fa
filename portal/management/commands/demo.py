"""Makes the database ready and, on the first run, fills a demo: one app, four people, two packages."""

import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.files import File
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.actor import Actor
from accounts.models import User
from accounts.staff import SUPPORT
from deployments.flows import upload_package
from deployments.packages import build_archive
from deployments.runtimes import get_runtime
from environments.flows import add_member, create_app
from environments.grants import set_permissions
from environments.models import App, Role
from environments.permissions import Permission
from portal.env import BASE_DIR

SOURCES = BASE_DIR / "tests" / "packages" / "calc"
IN_REPOSITORY = ("1.0.0", "1.1.0")
TO_UPLOAD = "1.2.0"  # the newest one again under another version, so that there is something to upload by hand
PEOPLE = (
    ("Alice Adams", "alice@example.org", "Technical Contact and SCRUM Master of Calc"),
    ("Bob Brown", "bob@example.org", "Business Engineer of Calc, not permitted on Production"),
    ("Charlie Clark", "charlie@example.org", "in no team"),
    ("Sam Smith", "sam@example.org", "support staff, see /admin/"),
)
SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvz" for vowel in "aeiou"]


class Command(BaseCommand):
    help = "Makes the database ready and, on the first run, fills a demo. Never in production."
    requires_system_checks: Any = []  # the folders that the checks ask for are made here

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("The settings say production, so the demo is not filled. Set PORTAL_MODE=demo for it.")
        before = os.umask(0o077)  # nothing that it makes is for others on this machine to read
        try:
            self.make()
        finally:
            os.umask(before)

    def make(self) -> None:
        for folder in (settings.VAR, settings.FILE_UPLOAD_TEMP_DIR):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        call_command("migrate", verbosity=0, interactive=False)
        if not User.objects.exists():
            fill()
            self.stdout.write("The demo is filled.")
        elif not keep():
            raise CommandError(
                "The database has people but no demo, so nothing is filled."
                " Choose another folder with PORTAL_VAR, or another database with DATABASE_URL."
            )


def demo_file() -> Path:
    return Path(settings.VAR) / "demo.json"


def fill() -> None:
    """Fill the demo, all or nothing, and write down who can sign in."""
    archives = build_archives(settings.VAR / "packages")
    with transaction.atomic():
        people = [
            (User.objects.create_user(email, name, password := passphrase()), password) for name, email, _ in PEOPLE
        ]
        alice, bob, _, sam = (person for person, _ in people)
        app = make_app(alice, bob)
        sam.is_staff = True
        sam.save()
        sam.groups.add(Group.objects.get(name=SUPPORT))
        for version in IN_REPOSITORY:
            with archives[version].open("rb") as archive:
                upload_package(app, Actor(alice, via="shell"), File(archive), archives[version].name)
        # Written before the people are there for good: what is cut off in between is filled anew
        write(
            {
                **addresses(app),
                "people": [
                    {"name": person.name, "email": person.email, "password": password, "role": role}
                    for (person, password), (_, _, role) in zip(people, PEOPLE, strict=True)
                ],
                "packages": [str(path) for path in archives.values()],
            }
        )


def make_app(alice: User, bob: User) -> App:
    """Let Alice make the app and permit Bob to transport everywhere but to production."""
    by = Actor(alice, via="shell")
    app = create_app(by, "Calc", "calc")
    member = add_member(app, by, bob, Role.objects.get(name="Business Engineer"))
    for environment in app.environments.filter(is_production=False):
        set_permissions(environment, by, {member.pk: {Permission.TRANSPORT: True}}, {})
    return app


def keep() -> bool:
    """Leave a demo as it is, but for the addresses, which follow the settings; False when there is none."""
    if not demo_file().exists():
        return False
    demo = json.loads(demo_file().read_text())
    app = App.objects.filter(slug=demo["app"], memberships__user__email=demo["people"][0]["email"]).first()
    if app and (current := demo | addresses(app)) != demo:
        write(current)
    return User.objects.filter(email__in=[person["email"] for person in demo["people"]]).exists()


def addresses(app: App) -> dict[str, Any]:
    runtime = get_runtime()
    return {
        "url": settings.PORTAL_URL,
        "app": app.slug,
        "environments": [
            {"name": environment.name, "slug": environment.slug, "url": runtime.address(environment.host)}
            for environment in app.environments.all()
        ],
    }


def write(demo: dict[str, Any]) -> None:
    """Write the file so that it is whole or not there, and readable for nobody else."""
    descriptor, name = tempfile.mkstemp(dir=settings.VAR, prefix="demo.")  # made with mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(demo, indent=2) + "\n")
    Path(name).replace(demo_file())


def build_archives(folder: Path) -> dict[str, Path]:
    """Zip the versions of the demo's package, oldest first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    archives = {version: folder / f"calc-{version}.zip" for version in (*IN_REPOSITORY, TO_UPLOAD)}
    for version in IN_REPOSITORY:
        build_archive(SOURCES / version, archives[version])
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source = shutil.copytree(SOURCES / IN_REPOSITORY[-1], Path(scratch) / "calc")
        metadata = source / "model" / "metadata.json"
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"version": TO_UPLOAD}, indent=2))
        build_archive(source, archives[TO_UPLOAD])
    return archives


def passphrase() -> str:
    """Make a password that can be read off a screen: 19 characters, 50 bits."""
    return "-".join("".join(secrets.choice(SYLLABLES) for _ in range(2)) for _ in range(4))
