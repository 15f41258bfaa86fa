"""`manage.py rotate_keys`: encrypts everything that is encrypted with the newest of ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import authenticators, keys
from accounts.models import Authenticator


class Command(BaseCommand):
    help = (
        "Encrypts all secrets with the first of ENCRYPTION_KEYS, while the portal runs; nobody sets up anything again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Count only; nothing is changed.")
        parser.add_argument(
            "--disable-unreadable",
            action="store_true",
            help="The key is lost for good: disable the authenticators that no key fits, but for blocked ones.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        if options["disable_unreadable"] and not dry_run:
            found = Authenticator.objects.values_list("pk", flat=True)
            disabled = sum(authenticators.disable_unreadable(pk) for pk in list(found))
            self.stdout.write(f"{disabled} authenticators disabled that no key fits. Their people are told by mail.")
        counts = keys.rotate(dry_run)
        done = "to encrypt with the newest key" if dry_run else "encrypted with the newest key"
        for count in counts:
            lost = f", {count.unreadable} that no key fits" if count.unreadable else ""
            self.stdout.write(f"{count.column.name}: {count.rewritten} {done}, {count.newest_already} already{lost}.")
        if any(count.unreadable for count in counts):
            raise CommandError(
                "Some rows were encrypted with a key that ENCRYPTION_KEYS does not hold. They were left as they are."
                " Add that key behind the newest one and run this again."
            )
        if not dry_run:
            self.stdout.write("Nothing needs the earlier keys any more: take them out of ENCRYPTION_KEYS and restart.")
