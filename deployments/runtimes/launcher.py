"""Keeps one instance: starts its sandbox, passes on the wish to end, says how it ended.

supervisord starts it as a program of its own, so it imports little. Whatever ends the launcher ends the sandbox.
"""

import os
import signal
import sys
import time
from pathlib import Path

from deployments.runtimes import files, processes, sandbox
from deployments.runtimes.layout import Layout, Record

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
# An instance that ran this long, in seconds, was sound: supervisord starts it again when it ends by itself.
# One that never did stays ended, so that a deployment can say why.
SOUND_AFTER = 30
# Seconds before an instance that was sound once is tried again after a short life
PAUSE = 5
STAY_ENDED, START_AGAIN = 0, 75  # 75 is EX_TEMPFAIL in sysexits.h
PR_SET_CHILD_SUBREAPER = 36  # from <linux/prctl.h>


class Launcher:
    """One life of an instance."""

    def __init__(self, record: Record, layout: Layout) -> None:
        self.record = record
        self.layout = layout
        self.spec = record.spec
        self.before = record.state
        self.started = sandbox.Started(0)
        self.status = 0

    def run(self) -> int:
        """Run the instance to its end and give what supervisord is to do: see the exit codes above."""
        if not self.spec or self.record.asked_to_stop or not self._is_only_one():
            return STAY_ENDED
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._settle_port()
        begun = time.monotonic()
        try:
            self._start()
        except sandbox.SandboxFailure as failure:
            print(failure, file=sys.stderr, flush=True)
            self._ended("the sandbox could not be made", sound=False)
            return STAY_ENDED
        asked = self._wait()
        self._end()
        sound = bool(self.before.get("sound")) or time.monotonic() - begun >= SOUND_AFTER
        self._ended(in_words(self.status), sound)
        if asked or not sound:
            return STAY_ENDED
        if time.monotonic() - begun < SOUND_AFTER and signal.sigtimedwait(SIGNALS, PAUSE):
            return STAY_ENDED
        return START_AGAIN

    def _is_only_one(self) -> bool:
        """Wait for a launcher that died with an earlier supervisord and is about to be gone."""
        until = time.monotonic() + PAUSE
        while files.hold(self.record.alive) is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _settle_port(self) -> None:
        """Take another port where something else sits on the instance's own by now, and tell the router."""
        if not self.before:
            return
        from deployments.runtimes import ports

        if not ports.is_free(self.spec["port"]):
            self.spec["port"] = ports.choose()
            self.record.spec = self.spec

    def _start(self) -> None:
        user = self.spec["user"]
        plan = sandbox.Plan(
            command=self.spec["command"],
            variables=self.spec["variables"],
            port=self.spec["port"],
            release=self.layout.release(self.spec["release"]),
            data=self.layout.data(self.record.environment),
            user=user,
            hidden=tuple(self.spec["hidden"]),
        )
        if self.spec["sandboxed"]:
            self.started = sandbox.start(plan)
        else:
            self.started = sandbox.start_openly(plan)
        # After the start, which need not wait for it
        become_reaper()
        self._say({"namespace": self.started.namespace, "sound": bool(self.before.get("sound"))})

    def _say(self, state: dict[str, object]) -> None:
        self.record.state = {"launcher": os.getpid(), **state}
        if self.before or "ended" in state:
            self._tell_router()

    def _ended(self, words: str, sound: bool) -> None:
        self._say({"ended": words, "sound": sound})

    def _tell_router(self) -> None:
        from deployments.runtimes.router import Router

        Router(self.layout).follow(self.record)

    def _wait(self) -> bool:
        """Wait for the end, or for the wish that it ends; say whether it was wished."""
        while not self._reap():
            if signal.sigwait(SIGNALS) != signal.SIGCHLD:
                return True
        return False

    def _reap(self) -> bool:
        """Collect children that ended; say whether the instance's own process has."""
        self._has_no_child()
        return not self.started.child

    def _has_no_child(self) -> bool:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if not pid:
                return False
            if pid == self.started.child:
                self.status, self.started.child = status, 0

    def _end(self) -> None:
        """End what is left, politely at first; returns when nothing of it runs."""
        if self.started.child:
            self._ask_politely()
        self._kill()

    def _ask_politely(self) -> None:
        until = time.monotonic() + self.record.grace
        # A shell that waits for a command of its line ends with that; ending it first would end the sandbox under
        # the command's hands. It is asked only where nothing else is left.
        processes.send(signal.SIGTERM, [pid for pid in self._members() if not self._is_own_shell(pid)])
        while not self._reap() and time.monotonic() < until:
            members = self._members()
            if len(members) == 1 and self._is_own_shell(members[0]):
                processes.send(signal.SIGTERM, members)
            signal.sigtimedwait([signal.SIGCHLD], 0.05)

    def _kill(self) -> None:
        # What loses its parent becomes a child of this process in the end, so no child left is nobody left
        while not self._has_no_child():
            processes.send(signal.SIGKILL, processes.descendants(os.getpid()))
            signal.sigtimedwait([signal.SIGCHLD], 0.01)

    def _members(self) -> list[int]:
        """List the processes of the package."""
        if self.started.namespace:
            found = processes.inside(self.started.namespace)
        else:
            found = processes.descendants(os.getpid())
        return [pid for pid in found if pid != self.started.first and processes.is_alive(pid)]

    def _is_own_shell(self, pid: int) -> bool:
        """Say whether this is the shell that carries out the Procfile's line."""
        own = self.started.first or os.getpid()
        return processes.parent(pid) == own and processes.is_shell(pid)


def in_words(status: int) -> str:
    """Say how a process ended, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    # bubblewrap and shells report death by a signal as 128 and the signal's number
    number = -code if code < 0 else code - 128
    if number in set(signal.Signals):
        return f"signal {number}"
    return f"exit code {code}"


def become_reaper() -> None:
    """Let processes whose parent ended become children of this one, so that none of them gets away."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    record = Record(Path(sys.argv[1]))
    sys.exit(Launcher(record, Layout(record.folder.parents[2])).run())
