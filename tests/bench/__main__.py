"""`python -m tests.bench`: measures, prints a table and a sentence, and ends with 0 also when a goal is missed.

`python -m tests.bench backups` measures backups alone, `… databases` those of a database on a server; with a size in
MiB behind it where there is less time than for a gibibyte.
"""

import os
import sys
import tempfile
from pathlib import Path

import django


def prepare(var: Path) -> None:
    """Set up the portal as `make run` has it, in a folder and with a database of its own."""
    for name in ("DATABASE_URL", "PORTAL_URL", "SECRET_KEY", "ENCRYPTION_KEYS"):
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PORTAL_ENV_FILE": os.devnull,
        "PORTAL_MODE": "demo",
        "PORTAL_VAR": str(var),
        "ALLOWED_HOSTS": "testserver",
    }
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)


def alone(name: str, size: str = "1024") -> None:
    """Measure one of those that take a size, in MiB."""
    with tempfile.TemporaryDirectory(prefix="portal-bench.") as folder:
        prepare(Path(folder))
        from tests.bench import backups, databases, report

        lines = {"backups": backups, "databases": databases}[name].measure(int(size) * 1024**2)
    print(report.table(lines))
    if busy := report.busy():
        print(busy)
    print(report.sentence(lines))


def main() -> None:
    if sys.argv[1:]:
        alone(*sys.argv[1:])
        return
    with tempfile.TemporaryDirectory(prefix="portal-bench.") as folder:
        prepare(Path(folder, "pages"))
        from tests.bench import (
            activity,
            api,
            backups,
            codes,
            databases,
            flow,
            monitoring,
            pages,
            report,
            transport,
            upload,
        )

        lines = [*pages.measure(), *api.measure(), *flow.measure(), *codes.measure(pages.HOST), *upload.measure()]
        lines += activity.measure()
        lines += monitoring.measure()
        lines += backups.measure()
        lines += databases.measure()
        lines += transport.measure(Path(folder))
    print(report.table(lines))
    print(
        f"Medians of {pages.ROUNDS} rounds for pages, {codes.ROUNDS} for codes, {upload.ROUNDS} for uploads,"
        f" {activity.ROUNDS} for the activity and {transport.ROUNDS} for transports, floor and portal in turns."
    )
    if busy := report.busy():
        print(busy)
    print(report.sentence(lines))


if __name__ == "__main__":
    main()
