"""`manage.py backup_portal FOLDER_OR_FILE`: everything the portal needs to come back, but for the keys."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import pluralize

from deployments.runtimes.base import RuntimeFailure
from portal.management.safekeeping import NotDone
from portal.management.safekeeping.backup import back_up

KEYS = """\
Keep the keys that it needs apart from it. With others nobody gets through with a code, and secret constants are lost.
Their fingerprints:"""


class Command(BaseCommand):
    help = "Takes a backup of the portal while it runs: database, packages, data of the environments; never the keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", type=Path, help="File to write, or the folder to write one into.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            kept = back_up(options["target"])
        except (NotDone, OSError, RuntimeFailure) as failure:
            raise CommandError(f"No backup was taken. {failure}") from failure
        size = f"{kept.size / 1024**2:,.1f} MiB"
        environments = f"{kept.environments} environment{pluralize(kept.environments)}"
        self.stdout.write(f"{kept.path}: {size}, {kept.files} files, data of {environments}.")
        self.stdout.write("\n".join([KEYS, *kept.keys.lines()]))
        if kept.keys.unreadable:
            self.stderr.write(f"Note: {kept.keys.unreadable} secrets in the database can be read with no key.")
        for name in kept.lost:
            self.stderr.write(f"Note: the storage has lost {name}; the backup is without it.")
