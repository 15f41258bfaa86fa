"""supervisord: its configuration and what is asked of it.

Its files hold nothing but names and paths that the portal made: one odd value in one of them would keep supervisord
from reading any. What a program is to do stands in private files whose paths it gets.
"""

import http.client
import os
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults

from deployments.runtimes import files
from deployments.runtimes.base import RuntimeFailure
from deployments.runtimes.control import UnixTransport
from deployments.runtimes.layout import CODE, PATIENCE, Layout, Record

SOCKET = "supervisord.sock"
CONFIGURATION = "supervisord.conf"
# Quotes, what begins a comment, and patterns
UNREADABLE = set("\"';#[]*?")
ANSWER_WITHIN = 20  # seconds; supervisord is busy for a moment when many programs start at once
# Nothing of the portal's own: whatever supervisord has in its environment, every program of it gets
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
DOWN = "The part of the portal that runs packages is not running. Start the portal, then try again."


@dataclass(frozen=True)
class Program:
    """A program of the portal's own: what to execute, with which environment, in which folder."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    folder: Path
    priority: int


def python(module: str, argument: Path, ending: str) -> str:
    """Give the command that runs a module's `main` with one path, and gets the signal when supervisord dies."""
    code = f"from {module} import main; main()"
    # supervisord takes it apart as a shell would, after it replaced what a percent sign begins
    return f"setpriv --pdeathsig {ending} -- {quoted(sys.executable)} -EsS -c '{code}' {quoted(argument)}"


def quoted(value: str | Path) -> str:
    """Make a path safe for supervisord's files. RuntimeFailure for paths that can't be made so."""
    text = str(value)
    if not text.isprintable() or set(text) & UNREADABLE:
        raise RuntimeFailure(
            f"supervisord can't read the path {text!r}. Move the portal to one without {''.join(sorted(UNREADABLE))}"
        )
    return '"' + text.replace("\\", "\\\\").replace("%", "%%") + '"'


class Supervision:
    """The supervisord of one portal."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def configure(self, programs: Sequence[Program]) -> None:
        """Write everything supervisord reads: the portal's own programs and every instance that is to run."""
        self.layout.make()
        sections = [_SUPERVISORD.format(user="user=root" if os.geteuid() == 0 else "")]
        for program in programs:
            path = self.layout.run / f"program-{program.name}.json"
            files.write_json(path, [list(program.command), program.environment, str(program.folder)])
            command = python("deployments.runtimes.execute", path, "TERM")
            log = self.layout.log / f"{program.name}.log"
            sections.append(
                _PROGRAM.format(
                    name=program.name,
                    command=command,
                    code=_plain(CODE),
                    log=self._from_run(log),
                    priority=program.priority,
                )
            )
        files.write(self.layout.run / CONFIGURATION, "\n".join(sections))
        wanted = set()
        for record in self.layout.all_records():
            if not record.asked_to_stop:
                wanted.add(self.describe(record).name)
                # It is about to start; how it ended last time is over
                record.state = {"sound": bool(record.state.get("sound"))}
        for path in self.layout.programs.iterdir():
            if path.name not in wanted:
                path.unlink()

    def describe(self, record: Record) -> Path:
        """Write the instance's program for supervisord and give the file."""
        path = self.layout.programs / f"{record.name}.ini"
        log = self.layout.output(record.environment, record.number)
        files.make_private(log.parent)
        command = python("deployments.runtimes.launcher", record.folder, "KILL")
        files.write(
            path,
            _INSTANCE.format(
                name=record.name, command=command, code=_plain(CODE), log=self._from_run(log), patience=PATIENCE
            ),
        )
        return path

    def forget(self, record: Record) -> None:
        """Keep supervisord from starting the instance again."""
        (self.layout.programs / f"{record.name}.ini").unlink(missing_ok=True)

    def is_up(self) -> bool:
        try:
            with self._asked() as supervisor:
                return bool(supervisor.getState()["statename"] == "RUNNING")
        except RuntimeFailure:
            return False

    def start(self, record: Record) -> None:
        """Start what was described; RuntimeFailure when supervisord can't."""
        with self._asked() as supervisor:
            supervisor.reloadConfig()
            with _accepted(Faults.ALREADY_ADDED):
                supervisor.addProcessGroup(record.name)
            with _accepted(Faults.ALREADY_STARTED):
                supervisor.startProcess(record.name, False)

    def signal(self, record: Record, name: str) -> None:
        """Send the launcher a signal; nothing happens where it does not run."""
        with self._asked() as supervisor, _accepted(Faults.NOT_RUNNING, Faults.BAD_NAME):
            supervisor.signalProcess(record.name, name)

    def remove(self, record: Record, patience: float) -> bool:
        """Take the ended instance out of supervisord; False when it still ran after `patience` seconds."""
        until = time.monotonic() + patience
        with self._asked() as supervisor:
            while True:
                try:
                    supervisor.removeProcessGroup(record.name)
                except xmlrpc.client.Fault as fault:
                    if fault.faultCode == Faults.BAD_NAME:
                        return True
                    if fault.faultCode != Faults.STILL_RUNNING:
                        raise
                    if time.monotonic() > until:
                        return False
                    time.sleep(0.02)
                else:
                    return True

    def states(self) -> dict[str, str]:
        """Say in supervisord's words how each program is."""
        with self._asked() as supervisor:
            return {info["name"]: info["statename"] for info in supervisor.getAllProcessInfo()}

    def shut_down(self) -> None:
        """Ask every program to end, all at once, and supervisord after them.

        By itself supervisord would ask one after the other, and a signal it would notice up to a second late.
        """
        with self._asked() as supervisor:
            supervisor.stopAllProcesses(False)
            supervisor.shutdown()

    def _from_run(self, path: Path) -> str:
        """Give the path as supervisord finds it, whose own folder is `run`."""
        return f"../{path.relative_to(self.layout.var)}"

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        transport = UnixTransport(self.layout.run, SOCKET, ANSWER_WITHIN)
        try:
            with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as proxy:
                yield proxy.supervisor
        except xmlrpc.client.Fault as fault:
            raise RuntimeFailure(f"supervisord refused: {fault.faultString}.") from fault
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeFailure(DOWN) from error


@contextmanager
def _accepted(*codes: int) -> Iterator[None]:
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in codes:
            raise


def _plain(value: Path) -> str:
    quoted(value)
    return str(value).replace("%", "%%")


# The socket's path is a short one: supervisord would make a whole one of a bare name, and 107 bytes are the most
_SUPERVISORD = """\
[supervisord]
nodaemon=true
silent=true
umask=077
pidfile=supervisord.pid
logfile=../log/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
{user}

[unix_http_server]
file=/proc/self/cwd/supervisord.sock
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files=programs/*.ini
"""

_PROGRAM = """\
[program:{name}]
command={command}
directory={code}
priority={priority}
autorestart=true
startretries=3
stopwaitsecs=8
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""

# startsecs=0: that a launcher was forked says nothing, the health check decides. Its own exit codes say whether it
# is to be started again; 1, 2, 126 and 127 are those of a Python that can't even begin.
_INSTANCE = """\
[program:{name}]
command={command}
directory={code}
priority=500
startsecs=0
autorestart=unexpected
exitcodes=0,1,2,126,127
stopwaitsecs={patience}
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=2
"""
