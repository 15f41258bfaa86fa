"""`manage.py restore_portal FILE`: puts a backup of the portal in place, all of it or nothing."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.management.safekeeping import NotDone
from portal.management.safekeeping.restore import Restored, look_through, restore, undo

NEXT = "Start the portal. Everybody signs in again; authenticators go on."


class Command(BaseCommand):
    help = "Puts a backup of the portal in place, all of it or nothing. The portal must not run meanwhile."
    requires_system_checks: Any = []  # one of them says that a restore was broken off, which is mended here

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="The backup.")
        parser.add_argument("--replace", action="store_true", help="Give up what is in this portal.")
        parser.add_argument("--check", action="store_true", help="Read all of it and say what it is; change nothing.")
        parser.add_argument("--undo", action="store_true", help="Put back what a restore changed that was broken off.")
        parser.add_argument(
            "--without-keys", action="store_true", help="The keys are lost for good: restore what needs none."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["undo"]:
            done = undo()
            self.stdout.write("Everything is as it was before." if done else "There is nothing to put back.")
            return
        if options["file"] is None:
            raise CommandError("Name the backup to restore.")
        try:
            self.act(options)
        except (NotDone, OSError) as failure:
            raise CommandError(f"Nothing was restored, everything is as it was. {failure}") from failure

    def act(self, options: dict[str, Any]) -> None:
        path = options["file"].expanduser().absolute()
        if options["check"]:
            about = look_through(path, options["without_keys"])
            self.stdout.write(f"{path} is whole and can be restored here. It was taken at {about['taken_at']}.")
            return
        restored = restore(path, options["replace"], options["without_keys"])
        self.stdout.write("\n".join(said(restored, options["without_keys"])))


def said(restored: Restored, without_keys: bool) -> list[str]:
    """Say what is there now and what the operator has to do."""
    settled = restored.settled
    lines = [f"The portal is as it was at {restored.taken_at}: {restored.files} files."]
    if settled.running:
        lines.append(f"These start again with the portal: {', '.join(settled.running)}.")
    if settled.cancelled or settled.interrupted:
        lines.append(f"Jobs that waited or ran then are cancelled: {settled.cancelled + settled.interrupted}.")
    if settled.without_package:
        lines.append(f"Their package is not in the backup, so these can't start: {', '.join(settled.without_package)}.")
    if without_keys:
        lines.append("Then type: manage.py rotate_keys --disable-unreadable")
    return [*lines, NEXT]
