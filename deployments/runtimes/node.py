"""One machine's supervisord with the router, the environments' processes and, if wanted, the portal's own programs."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deployments.runtimes import cgroups, files
from deployments.runtimes.base import RuntimeFailure
from deployments.runtimes.layout import Layout
from deployments.runtimes.router import Router
from deployments.runtimes.supervision import CLEAN, CONFIGURATION, Program, Supervision

UP_WITHIN = 30  # seconds; a cold disk makes supervisord slow to begin
GONE_WITHIN = 10  # seconds, as promised for Ctrl-C


class NodeFailure(Exception):
    """The node can't run; the message says why and what to do."""


class Node:
    """Starts and ends everything that one portal runs on this machine; it all lies below `var`."""

    def __init__(self, var: Path, apps_port: int, apps_domain: str, programs: Sequence[Program] = ()) -> None:
        self.layout = Layout(var)
        self.supervision = Supervision(self.layout)
        self.router = Router(self.layout)
        self._apps_port = apps_port
        self._apps_domain = apps_domain
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Start supervisord and everything it keeps; returns when it and the router take orders.

        NodeFailure where it can't, or where it runs already.
        """
        self.layout.make()
        self._lock = self._lock or files.hold(self.layout.run / "node.lock")
        if self._lock is None or self.supervision.is_up():
            self._let_go()
            raise NodeFailure("The portal is running already. Stop it with Ctrl-C where it was started.")
        cgroups.sweep(self.layout.var)
        self.supervision.configure([self._router_program(), *self._programs])
        self.router.configure(self._apps_port, self._apps_domain)
        command = ["setpriv", "--pdeathsig", "TERM", "--"]
        command += [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", CONFIGURATION]
        with (self.layout.log / "supervisord.err").open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=self.layout.run,
                env=CLEAN,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                umask=0o077,
                start_new_session=True,
            )
        self._wait_until_up()

    def is_running_elsewhere(self) -> bool:
        """Say whether another process runs this node."""
        return files.is_held(self.layout.run / "node.lock") or self.supervision.is_up()

    def has_ended(self) -> bool:
        """Say whether supervisord is gone without having been asked."""
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Give supervisord's number."""
        if self._process is None:
            raise NodeFailure("The portal is not running.")
        return self._process.pid

    def stop(self) -> None:
        """End every process of the node; returns when all of them are gone."""
        if self._process is None:
            self._let_go()
            return
        try:
            self.supervision.shut_down()
        except RuntimeFailure:
            self._process.terminate()
        try:
            self._process.wait(GONE_WITHIN)
        except subprocess.TimeoutExpired:
            # Every program dies with supervisord
            self._process.kill()
            self._process.wait()
        self._process = None
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _wait_until_up(self) -> None:
        until = time.monotonic() + UP_WITHIN
        while not (self.supervision.is_up() and self.router.is_up()):
            if self.has_ended() or self.given_up() or time.monotonic() > until:
                words = self.last_words("supervisord.err") or self.last_words("router.log")
                self.stop()
                raise NodeFailure(f"The portal's processes could not be started.\n{words}".rstrip())
            time.sleep(0.05)

    def given_up(self) -> list[str]:
        """List the programs that supervisord tried to start often enough."""
        with contextlib.suppress(RuntimeFailure):
            return [name for name, state in self.supervision.states().items() if state == "FATAL"]
        return []

    def last_words(self, log: str, lines: int = 10) -> str:
        """Give the end of one of the logs."""
        text = files.tail(self.layout.log / log, lines * 500).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def _router_program(self) -> Program:
        home = files.make_private(self.layout.run / "router")
        environment = {**CLEAN, "HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        return Program("router", self.router.command(), environment, self.layout.run, priority=100)
