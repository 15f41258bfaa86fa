"""Keeps what was started in a sandbox: collects its children, asks it to end, ends what is left."""

import os
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deployments.runtimes import cgroups, processes, sandbox
from deployments.runtimes.layout import Layout

if TYPE_CHECKING:
    from deployments.runtimes import relay

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
PR_SET_CHILD_SUBREAPER = 36  # from <linux/prctl.h>
DATABASE_PORT = 5432  # of the loopback address, in a network where nothing else is


class Kept:
    """What one process of the portal started and keeps; that process has blocked `SIGNALS` and waits for them."""

    def __init__(
        self, started: sandbox.Started, group: cgroups.Group | None = None, helpers: tuple[int, ...] = ()
    ) -> None:
        self.started = started
        self._group = group
        self._helpers = set(helpers)
        self._helper_ended = False
        self.status = 0

    def reap(self) -> bool:
        """Collect children that ended; say whether what was started has, or a helper that it can't do without."""
        self._has_no_child()
        return not self.started.child or self._helper_ended

    def end(self, grace: float) -> None:
        """End what is left, politely for `grace` seconds; returns when nothing of it runs."""
        if self.started.child:
            self._ask_politely(grace)
        # What loses its parent becomes a child of this process in the end, so no child left is nobody left
        while not self._has_no_child():
            processes.send(signal.SIGKILL, processes.descendants(os.getpid()))
            signal.sigtimedwait([signal.SIGCHLD], 0.01)
        if self._group:
            self._group.remove()

    def _ask_politely(self, grace: float) -> None:
        until = time.monotonic() + grace
        # A shell that waits for a command of its line ends with that; ending it first would end the sandbox under
        # the command's hands. It is asked only where nothing else is left.
        processes.send(signal.SIGTERM, [pid for pid in self._members() if not self._is_own_shell(pid)])
        looks = 0  # in a row at which the shell was alone: at the first it may be between two commands of its line
        while not self.reap() and time.monotonic() < until:
            members = self._members()
            looks = looks + 1 if len(members) == 1 and self._is_own_shell(members[0]) else 0
            if looks > 2:
                processes.send(signal.SIGTERM, members)
            signal.sigtimedwait([signal.SIGCHLD], 0.05)

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
            self._helper_ended |= pid in self._helpers

    def _members(self) -> list[int]:
        """List the processes of the package."""
        if self.started.namespace:
            found = processes.inside(self.started.namespace)
        else:
            found = processes.descendants(os.getpid())
        return [pid for pid in found if pid not in {self.started.first, *self._helpers} and processes.is_alive(pid)]

    def _is_own_shell(self, pid: int) -> bool:
        """Say whether this is the shell that carries out the package's line."""
        own = self.started.first or os.getpid()
        return processes.parent(pid) == own and processes.is_shell(pid)


def start(layout: Layout, name: str, spec: dict[str, Any], output: int = 1) -> Kept:
    """Start what a record's `spec` describes and keep it; SandboxFailure when that can't be done.

    `name` is the record's, with more behind it for what runs beside an instance.
    """
    memory = spec.get("memory", 0)
    group: cgroups.Group | None = cgroups.group(layout.var, name)
    if not memory or not group or not group.limit(memory, sandbox.PROCESSES):
        group = None
    helpers, database = _connect_it(layout, name, spec)
    plan = sandbox.Plan(
        command=spec["command"],
        variables=spec["variables"],
        port=spec["port"],
        release=layout.release(spec["release"]),
        data=layout.data(int(name.partition("-")[0])),
        user=spec["user"],
        hidden=tuple(spec["hidden"]),
        memory=memory,
        group=group,
        separate=spec.get("separate", False),
        database=database,
    )
    started = sandbox.start(plan, output) if spec["sandboxed"] else sandbox.start_openly(plan, output)
    kept = Kept(started, group, helpers)
    # After the start, which need not wait for it
    become_reaper()
    return kept


def _connect_it(layout: Layout, name: str, spec: dict[str, Any]) -> tuple[tuple[int, ...], str]:
    """Give this process the network that the instance is to have, a relay to it, and a way to its database.

    Gives the numbers of what helps, and the database's URL as the instance reaches it.
    """
    helpers: tuple[int, ...] = ()
    out = way(spec)
    if spec.get("separate"):
        from deployments.runtimes import network

        try:
            helpers = (network.separate(),)
        except OSError as error:
            raise sandbox.SandboxFailure(f"The sandbox got no network of its own: {error.strerror}.") from error
    if spec["port"] is not None:
        from deployments.runtimes import relay

        helpers += (relay.start(layout.records / name, spec["port"]),)
    if out is None:
        return helpers, ""
    port = out.open(DATABASE_PORT if spec.get("separate") else 0)
    return (*helpers, out.pid), database_url(spec["database"], port)


def way(spec: Mapping[str, Any]) -> "relay.Way | None":
    """Begin a way to the database of `spec` (`Databases.described`); this process is in the host's network yet."""
    if not spec.get("database"):
        return None
    from deployments.runtimes import relay

    target = spec["database"]["target"]
    return relay.Way(target if isinstance(target, str) else tuple(target))


def database_url(database: dict[str, Any], port: int) -> str:
    """Give the URL under which a database (`Databases.described`) is reached over a way that is open at the port."""
    options = "?sslmode=require" if database["encrypted"] else ""
    return "postgresql://{role}:{password}@127.0.0.1:{port}/{name}{options}".format(
        **database, port=port, options=options
    )


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
