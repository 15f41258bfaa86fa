"""Carries connections from a unix socket to the port of an instance, which lies in a network of its own.

And from there to the one server outside that it is to reach, the one of its database.
"""

import errno
import os
import resource
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path

NAME = "app.sock"
PIECE = 256 * 1024
BACKLOG = 4096
# An instance that is just starting again is waited for that long, in seconds
PATIENCE, PAUSE = 2.0, 0.05
# What the next attempt, or the target's next address, may not meet any more
PASSING = (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

# A path of a unix socket, or a host and its port
Target = str | tuple[str, int]


class Half:
    """One direction of a connection: what came from `source` and did not get into `sink` yet."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.waiting = b""
        self.ended = self.passed_on = False

    def move(self) -> None:
        """Move what can be moved now; OSError where the connection is broken."""
        if not self.waiting and not self.ended:
            try:
                self.waiting = self.source.recv(PIECE)
            except BlockingIOError:
                return
            self.ended = not self.waiting
        while self.waiting:
            try:
                self.waiting = self.waiting[self.sink.send(self.waiting) :]
            except BlockingIOError:
                return
        if self.ended and not self.passed_on:
            self.passed_on = True
            self.sink.shutdown(socket.SHUT_WR)


class Connection:
    """A visitor's connection and the one to the relay's target that belongs to it."""

    def __init__(self, relay: "Relay", visitor: socket.socket) -> None:
        self.relay = relay
        self.visitor = visitor
        self.until = time.monotonic() + PATIENCE
        self.interests: dict[socket.socket, int] = {}
        self.connected = False
        visitor.setblocking(False)
        self.connect()

    def connect(self) -> None:
        self.turn = self.relay.turn
        family, address = _address(self.relay.target, self.turn)
        self.app = socket.socket(family)
        self.app.setblocking(False)
        if family != socket.AF_UNIX:
            self.app.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.halves = Half(self.visitor, self.app), Half(self.app, self.visitor)
        self._judge(self.app.connect_ex(address))

    def go_on(self) -> None:
        """Do what can be done now."""
        if not self.connected:
            self._judge(self.app.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            return
        try:
            for half in self.halves:
                half.move()
        except OSError:
            self.close()
            return
        if all(half.passed_on for half in self.halves):
            self.close()
        else:
            self._watch()

    def close(self) -> None:
        self._forget(self.app)
        self._forget(self.visitor)
        self.app.close()
        self.visitor.close()

    def _judge(self, error: int) -> None:
        if error == errno.EINPROGRESS:
            self._interest(self.app, WRITE)
        elif not error:
            self.connected = True
            self.go_on()
        elif error in PASSING and time.monotonic() < self.until:
            if self.relay.turn == self.turn:
                self.relay.turn += 1
            self._forget(self.app)
            self.app.close()
            self.relay.later.append((time.monotonic() + PAUSE, self))
        else:
            self.close()

    def _watch(self) -> None:
        out, back = self.halves
        for own, reading, writing in ((self.visitor, out, back), (self.app, back, out)):
            wanted = 0 if reading.ended or reading.waiting else READ
            self._interest(own, wanted | (WRITE if writing.waiting else 0))

    def _interest(self, own: socket.socket, wanted: int) -> None:
        before = self.interests.get(own, 0)
        if wanted == before:
            return
        if not wanted:
            self._forget(own)
        elif before:
            self.relay.selector.modify(own, wanted, self)
        else:
            self.relay.selector.register(own, wanted, self)
        self.interests[own] = wanted

    def _forget(self, own: socket.socket) -> None:
        if self.interests.pop(own, 0):
            self.relay.selector.unregister(own)


class Relay:
    """All connections to one target, in one process without threads."""

    def __init__(self, listener: socket.socket, target: Target) -> None:
        self.listener = listener
        self.target = target
        self.turn = 0  # which of the target's addresses is tried
        self.selector = selectors.EpollSelector()
        self.later: list[tuple[float, Connection]] = []
        listener.setblocking(False)
        self.selector.register(listener, READ)

    def run(self) -> None:
        while True:
            for key, _ in self.selector.select(PAUSE if self.later else None):
                if key.data is None:
                    self._accept()
                else:
                    key.data.go_on()
            due, now = self.later, time.monotonic()
            self.later = []
            for moment, connection in due:
                if moment <= now:
                    connection.connect()
                else:
                    self.later.append((moment, connection))

    def _accept(self) -> None:
        try:
            visitor, _ = self.listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # No descriptor is free; those who wait are taken when others have gone
            time.sleep(PAUSE)
            return
        Connection(self, visitor)


def start(folder: Path, port: int) -> int:
    """Start a process that relays to the port, and give its number; it ends with the one that started it."""
    listener = listen(folder)
    try:
        return _start(lambda: listener, ("127.0.0.1", port))
    finally:
        listener.close()


class Way:
    """A way to a server out of a network that this process moves into afterwards: what carries it stays outside."""

    def __init__(self, target: Target) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.pid = _start(self._receive, target)
        self._theirs.close()

    def open(self, port: int) -> int:
        """Open its end, where this process is now: a port of the loopback address (0: any that is free)."""
        with self._ours, socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(BACKLOG)
            socket.send_fds(self._ours, [b"1"], [listener.fileno()])
            return int(listener.getsockname()[1])

    def _receive(self) -> socket.socket:
        self._ours.close()
        with self._theirs:
            descriptors = socket.recv_fds(self._theirs, 1, 1)[1]
        return socket.socket(fileno=descriptors[0])


def _start(listener: Callable[[], socket.socket], target: Target) -> int:
    from deployments.runtimes import network

    if pid := os.fork():
        return pid
    try:
        network.die_with_parent()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        Relay(listener(), target).run()
    finally:
        os._exit(1)


def _address(target: Target, turn: int) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    """Look the target up, anew for each connection: a server's name may move to another address, or have several."""
    if isinstance(target, str):
        return socket.AF_UNIX, target
    try:
        every = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)
    except OSError:
        # Refused like what does not listen
        return socket.AF_INET, ("127.0.0.1", 0)
    found = every[turn % len(every)]
    return found[0], (str(found[4][0]), int(found[4][1]))


def listen(folder: Path) -> socket.socket:
    """Listen on the folder's socket, whatever was there before."""
    (folder / NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    # The path may be longer than the 107 bytes that the kernel takes
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{place}/{NAME}")
    finally:
        os.close(place)
    listener.listen(BACKLOG)
    return listener
