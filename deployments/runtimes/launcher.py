"""Keeps one instance: starts its sandbox, passes on the wish to end, says how it ended.

supervisord starts it as a program of its own, so it imports little. Whatever ends the launcher ends the sandbox.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

from deployments.runtimes import files, logs, sandbox
from deployments.runtimes.keeping import SIGNALS, Kept, in_words, start
from deployments.runtimes.layout import Layout, Record
from deployments.runtimes.lines import Lines

# An instance that ran this long, in seconds, was sound: supervisord starts it again when it ends by itself.
# One that never did stays ended, so that a deployment can say why.
SOUND_AFTER = 30
# Seconds before an instance that was sound once is tried again after a short life
PAUSE = 5
LAST_WORDS_WITHIN = 2.0  # seconds
PIPE = 256 * 1024  # bytes that a package may be ahead of its reader
STAY_ENDED, START_AGAIN = 0, 75  # 75 is EX_TEMPFAIL in sysexits.h


class Launcher:
    """One life of an instance."""

    def __init__(self, record: Record, layout: Layout) -> None:
        self.record = record
        self.layout = layout
        self.spec = record.spec
        self.before = record.state
        self.kept = Kept(sandbox.Started(0))
        self.lines = Lines(layout.lines(record.environment), record.number)
        self.log = threading.Thread()

    def run(self) -> int:
        """Run the instance to its end and give what supervisord is to do: see the exit codes above."""
        if not self.spec or self.record.asked_to_stop or not self._is_only_one():
            return STAY_ENDED
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if not self.spec.get("separate"):
            self._settle_port()
        begun = time.monotonic()
        try:
            self._start()
        except sandbox.SandboxFailure as failure:
            print(failure, file=sys.stderr, flush=True)
            self.lines.say(str(failure))
            self._ended("the sandbox could not be made", sound=False)
            return STAY_ENDED
        asked = self._wait()
        self.kept.end(self.record.grace)
        # All that could write has ended, so what is left is read in a moment, if there is somebody to take it
        self.log.join(LAST_WORDS_WITHIN)
        self.lines.say(f"The app ended: {in_words(self.kept.status)}.")
        sound = bool(self.before.get("sound")) or time.monotonic() - begun >= SOUND_AFTER
        self._ended(in_words(self.kept.status), sound)
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
        source, output = os.pipe()
        fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, PIPE)
        try:
            self.kept = start(self.layout, self.record.folder.name, self.spec, output)
        finally:
            os.close(output)
        self.lines.say("The app was started.")
        self.log = threading.Thread(target=self._pump, args=(source,), daemon=True)
        self.log.start()
        self._say({"namespace": self.kept.started.namespace, "sound": bool(self.before.get("sound"))})

    def _pump(self, source: int) -> None:
        logs.pump(source, sys.stdout.fileno(), self.lines.take)
        self.lines.flush()

    def _say(self, state: dict[str, object]) -> None:
        self.record.state = {"launcher": os.getpid(), "starts": self.before.get("starts", 0) + 1, **state}
        if self.before or "ended" in state:
            self._tell_router()

    def _ended(self, words: str, sound: bool) -> None:
        self._say({"ended": words, "sound": sound})

    def _tell_router(self) -> None:
        from deployments.runtimes.router import Router

        Router(self.layout).follow(self.record)

    def _wait(self) -> bool:
        """Wait for the end, or for the wish that it ends; say whether it was wished."""
        while not self.kept.reap():
            if signal.sigwait(SIGNALS) != signal.SIGCHLD:
                return True
        return False


def main() -> None:
    record = Record(Path(sys.argv[1]))
    sys.exit(Launcher(record, Layout(record.folder.parents[2])).run())
