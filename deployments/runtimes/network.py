"""A network of its own for what a process starts: nothing of the host in it, and a way out to the world.

slirp4netns carries what goes out, as a user's program on the host: it opens connections for the package and lets none
in, and none to the host's loopback addresses. No address, route or firewall rule of the host changes.
"""

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
from pathlib import Path

PROGRAM = "slirp4netns"
# slirp4netns's own name server, which asks the host's
RESOLVER = "nameserver 10.0.2.3\n"
READY_WITHIN = 10.0  # seconds
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # <linux/sched.h>
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # <linux/sockios.h>, <linux/if.h>
INTERFACE = struct.Struct("16sh22x")  # ifreq with flags
SIOCADDRT, RTF_UP, RTF_REJECT = 0x890B, 1, 0x200  # <linux/sockios.h>, <linux/route.h>
ADDRESS = struct.Struct("HH4s8x")  # sockaddr_in
ROUTE = struct.Struct("@L16s16s16sHhLPhPLLH0L")  # rtentry
LINK_LOCAL = ("169.254.0.0", "255.255.0.0")


class NetworkFailure(OSError):
    """The program that carries the traffic does not work here; `strerror` says so."""


def separate() -> int:
    """Move this process, which has no other thread, into a network of its own; OSError where that fails.

    What carries its traffic is a child of this process, whose number is given, and dies with it.
    """
    wait, go = os.pipe()
    ready, tell = os.pipe()
    try:
        carrier = _start_carrier(wait, tell, [go, ready])
        os.close(tell)
        tell = -1
        _unshare()
        _bring_up_loopback()
        _refuse(*LINK_LOCAL)
        os.write(go, b"1")
        if not select.select([ready], [], [], READY_WITHIN)[0] or not os.read(ready, 1):
            raise NetworkFailure(0, f"{PROGRAM} could not begin")
    finally:
        for descriptor in (wait, go, ready, tell):
            if descriptor >= 0:
                os.close(descriptor)
    return carrier


def isolate() -> None:
    """Move this process into a network of its own with no way out at all; OSError where that fails."""
    _unshare()
    _bring_up_loopback()


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def _start_carrier(wait: int, tell: int, others: list[int]) -> int:
    """Start slirp4netns in the network that this process has now, for the one that it will have."""
    target = os.getpid()
    if pid := os.fork():
        return pid
    try:
        die_with_parent()
        for descriptor in others:
            os.close(descriptor)
        if os.read(wait, 1):
            nothing = os.open(os.devnull, os.O_RDWR)
            for standard in range(3):
                os.dup2(nothing, standard)
            os.set_inheritable(tell, True)
            os.execvp(PROGRAM, _command(target, tell))  # noqa: S606 - no shell is wanted
    finally:
        os._exit(1)


def _command(target: int, tell: int) -> list[str]:
    options = ["--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"]
    # Root made no user namespace for it
    where = ["--netns-type=path", f"/proc/{target}/ns/net"] if os.geteuid() == 0 else [str(target)]
    return [PROGRAM, *options, "--ready-fd", str(tell), *where, "tap0"]


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        # slirp4netns wants to be root there
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        # The kernel forgot it as the process got new rights
        die_with_parent()


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = INTERFACE.pack(b"lo", 0)
        flags = INTERFACE.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, INTERFACE.pack(b"lo", flags | IFF_UP))


def _refuse(network: str, mask: str) -> None:
    """Let nothing reach these addresses from here.

    SECURITY: on a link-local one the host's cloud gives whoever asks from the host keys of the machine.
    """
    to, of, nowhere = (ADDRESS.pack(socket.AF_INET, 0, socket.inet_aton(ip)) for ip in (network, mask, "0.0.0.0"))  # noqa: S104 - no binding
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        route = ROUTE.pack(0, to, nowhere, of, RTF_UP | RTF_REJECT, 0, 0, 0, 0, 0, 0, 0, 0)
        fcntl.ioctl(any_socket, SIOCADDRT, route)
