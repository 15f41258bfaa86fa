"""Finds out whether this host can keep packages apart, by making a sandbox and looking around in it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deployments.runtimes import files, sandbox
from deployments.runtimes.base import Isolation
from deployments.runtimes.keeping import become_reaper
from deployments.runtimes.layout import CODE

WITHIN = 30  # seconds
RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def try_sandbox(var: Path, user: int | None) -> Isolation:
    """Make a sandbox as an instance gets it and say whether it keeps apart what it should.

    It is made by a process of its own, which collects what bubblewrap leaves behind.
    """
    for program in ("bwrap", "setpriv"):
        if not shutil.which(program):
            return Isolation(False, f"The program {program} is missing. Install it, then start the portal again.")
    code = "from deployments.runtimes.isolation import main; main()"
    command = [sys.executable, "-EsS", "-c", code, json.dumps([str(var), user])]
    try:
        answer = subprocess.run(command, cwd=CODE, capture_output=True, timeout=WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return Isolation(False, f"bubblewrap did not make a sandbox on this host within {WITHIN} seconds.")
    said = (answer.stdout + answer.stderr).decode(errors="replace").strip()
    if answer.returncode == 0 and said == f"apart 2 {os.getuid() if user is None else user}":
        return Isolation(True)
    return Isolation(False, _advice(said))


def main() -> None:
    """Look around from inside a sandbox: the portal's folder is not there, the system can't be written."""
    var, user = json.loads(sys.argv[1])
    become_reaper()
    look = f"test ! -e {shlex.quote(var)} && touch /data/x && test ! -w /usr && echo apart $$ $(id -u)"
    with tempfile.TemporaryDirectory() as name:
        data, release = files.make_private(Path(name, "data")), files.make_private(Path(name, "release"))
        release.chmod(0o755)
        try:
            if user is not None:
                os.chown(data, user, user)
            started = sandbox.start(sandbox.Plan(look, {}, None, release, data, user, (str(CODE), var)))
        except sandbox.SandboxFailure as failure:
            sys.exit(str(failure))
        except OSError as error:
            sys.exit(f"Processes can't have a user of their own: {error.strerror}")
        status = 1
        for pid, ended in iter(_collected, None):
            status = os.waitstatus_to_exitcode(ended) if pid == started.child else status
    sys.exit(status)


def _collected() -> tuple[int, int] | None:
    try:
        return os.wait()
    except ChildProcessError:
        return None


def _advice(said: str) -> str:
    said = said.splitlines()[-1][:200] if said else "it said nothing"
    words = f"bubblewrap can't make a sandbox on this host ({said})."
    if os.geteuid() and RESTRICTED.exists() and RESTRICTED.read_text().strip() == "1":
        return f"{words} Run 'sudo sysctl -w kernel.{RESTRICTED.name}=0', or the portal as root."
    return words
