"""Dumps and restores an environment's database on a server. The variables that libpq reads say how to reach it."""

import errno
import os
import subprocess
from pathlib import Path

from deployments.runtimes.inside.words import LOCKED_FOR, PIECE, Refused, Source, shown

DUMP = "database.dump"
BEGIN = b"PGDMP"  # of pg_dump's custom format
MISSING = "{name} is not installed on the portal's machine. Tell whoever operates the portal."


def dump() -> None:
    """Write the database to standard output as it is at one moment, while the app may go on writing."""
    wait = f"--lock-wait-timeout={int(LOCKED_FOR * 1000)}"
    command = [program("pg_dump"), "--format=custom", "--compress=1", "--no-password", wait]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode and b"statement timeout" in done.stderr:
        raise Refused("The app keeps its database locked.")
    if done.returncode:
        raise Refused(f"The database could not be saved: {reason(done.stderr)}.")


def restore(source: Source) -> int:
    """Fill the empty database from what `dump` wrote; gives how many bytes that was.

    Owner and rights are those of the one role that there is: the roles of where it comes from may be others.
    """
    options = ["--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
    command = [program("pg_restore"), *options, "--dbname", os.environ["PGDATABASE"]]
    begun = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
    )
    taken = 0
    try:
        while piece := source.read(PIECE):
            taken += len(piece)
            left = memoryview(piece)
            while left:
                left = left[begun.stdin.write(left) :]  # type: ignore[union-attr]
    except BrokenPipeError:
        pass
    said = begun.communicate()[1]
    if begun.returncode and b"No space left on device" in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if begun.returncode:
        raise Refused(f"The database could not be restored: {reason(said)}.")
    return taken


def program(name: str) -> str:
    """Give the newest of a program that is installed: an older one refuses newer servers and dumps."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=version)
    if found:
        return str(found[-1])
    for folder in os.environ["PATH"].split(":"):
        if Path(folder, name).exists():
            return str(Path(folder, name))
    raise Refused(MISSING.format(name=name))


def version(path: Path) -> int:
    return int(path.parts[-3]) if path.parts[-3].isdecimal() else 0


def reason(said: bytes) -> str:
    """Give what a program said first of what went wrong."""
    lines = said.decode("utf-8", "replace").strip().splitlines() or ["nothing was said"]
    return shown(lines[0].partition("error: ")[2] or lines[0]).rstrip(".")
