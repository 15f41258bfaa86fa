"""Finds out whether this host can keep packages apart, by making a sandbox and looking around in it."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from deployments.runtimes import cgroups, files, network, sandbox
from deployments.runtimes.base import Isolation
from deployments.runtimes.keeping import become_reaper
from deployments.runtimes.layout import CODE

WITHIN = 30  # seconds
RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@dataclass(frozen=True)
class Found:
    """What this host can do: `separate` says whether a sandbox can have a network of its own."""

    isolation: Isolation
    separate: bool


def try_host(var: Path, user: int | None) -> Found:
    """Try what an instance gets, for real, and say what holds."""
    why_shared = _try(var, user, separate=True)
    isolation = Isolation(True) if not why_shared else try_sandbox(var, user)
    gaps = []
    if why_shared and isolation.complete:
        gaps.append(f"Apps share the network of this host and reach every port of it. {why_shared}")
    if not can_count(var):
        gaps.append(
            "Memory is limited for each process of an app, not for the app as a whole: the portal may make no control "
            "groups here."
        )
    return Found(replace(isolation, gaps=tuple(gaps)), isolation.complete and not why_shared)


def try_sandbox(var: Path, user: int | None) -> Isolation:
    """Make a sandbox without a network of its own and say whether it keeps apart what it should."""
    reason = _try(var, user, separate=False)
    return Isolation(not reason, reason)


def can_count(var: Path) -> bool:
    """Say whether the memory of an app's processes can be counted together here."""
    group = cgroups.group(var, f"try-{os.getpid()}")
    possible = group.limit(1024**3, 100)
    group.remove()
    return possible


def _try(var: Path, user: int | None, separate: bool) -> str:
    """Look around in a sandbox that a process of its own makes, and say what is wrong; nothing when all is well."""
    for program in ("bwrap", "setpriv", *([network.PROGRAM] if separate else [])):
        if not shutil.which(program):
            return f"The program {program} is missing. Install it, then start the portal again."
    code = "from deployments.runtimes.isolation import main; main()"
    command = [sys.executable, "-EsS", "-c", code, json.dumps([str(var), user, separate])]
    try:
        answer = subprocess.run(command, cwd=CODE, capture_output=True, timeout=WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return f"bubblewrap did not make a sandbox on this host within {WITHIN} seconds."
    said = (answer.stdout + answer.stderr).decode(errors="replace").strip()
    if answer.returncode == 0 and said == f"apart 2 {os.getuid() if user is None else user}":
        return ""
    return _advice(said)


def main() -> None:
    """Look around from inside a sandbox: the portal's folder is not there, the system can't be written."""
    var, user, separate = json.loads(sys.argv[1])
    become_reaper()
    try:
        carrier = network.separate() if separate else 0
    except OSError as error:
        sys.exit(f"{network.PROGRAM} can't give apps a network of their own here ({error.strerror})")
    look = f"test ! -e {shlex.quote(var)} && touch /data/x && test ! -w /usr && echo apart $$ $(id -u)"
    with tempfile.TemporaryDirectory() as name:
        data, release = files.make_private(Path(name, "data")), files.make_private(Path(name, "release"))
        release.chmod(0o755)
        try:
            if user is not None:
                os.chown(data, user, user)
            hidden = (str(CODE), var)
            started = sandbox.start(sandbox.Plan(look, {}, None, release, data, user, hidden, separate=separate))
        except sandbox.SandboxFailure as failure:
            sys.exit(str(failure))
        except OSError as error:
            sys.exit(f"Processes can't have a user of their own: {error.strerror}")
        status = 1
        for pid, ended in iter(_collected, None):
            if pid == started.child:
                status = os.waitstatus_to_exitcode(ended)
                if carrier:
                    os.kill(carrier, signal.SIGKILL)
    sys.exit(status)


def _collected() -> tuple[int, int] | None:
    try:
        return os.wait()
    except ChildProcessError:
        return None


def _advice(said: str) -> str:
    said = said.splitlines()[-1][:200] if said else "it said nothing"
    if said.startswith(network.PROGRAM):
        return f"{said}. Check that /dev/net/tun is there and may be opened."
    words = f"bubblewrap can't make a sandbox on this host ({said})."
    if os.geteuid() and RESTRICTED.exists() and RESTRICTED.read_text().strip() == "1":
        return f"{words} Run 'sudo sysctl -w kernel.{RESTRICTED.name}=0', or the portal as root."
    return words
