"""System calls that no package needs, refused by the kernel: see seccomp(2) and Docker's list with reasons.

Namespaces of its own would give a package rights that open much of the kernel to it; keys belong to a user of the
host, not to a sandbox; programs for the kernel, its counters and page faults have a long history of holes.
"""

import errno
import platform
import struct

CLONE_NEWUSER = 0x10000000  # <linux/sched.h>
# What the kernel calls the machine (<linux/audit.h>), and the numbers of its system calls (<asm/unistd.h>)
MACHINES = {
    "x86_64": (
        0xC000003E,
        {"add_key": 248, "request_key": 249, "keyctl": 250, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323}
        | {"clone": 56, "unshare": 272, "io_uring_setup": 425, "clone3": 435},
    ),
    "aarch64": (
        0xC00000B7,
        {"add_key": 217, "request_key": 218, "keyctl": 219, "perf_event_open": 241, "bpf": 280, "userfaultfd": 282}
        | {"clone": 220, "unshare": 97, "io_uring_setup": 425, "clone3": 435},
    ),
}
# clone3 keeps its flags in memory, where no filter sees them; libraries take clone where it is not there
MISSING = ("clone3", "io_uring_setup")
WITH_FLAGS = ("clone", "unshare")
X32 = 0x40000000  # numbers from here on are those of another calling convention of x86_64
# BPF instructions, <linux/bpf_common.h>, and answers, <linux/seccomp.h>
LOAD, IF_EQUAL, IF_AT_LEAST, IF_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def program() -> bytes:
    """Give the filter for bubblewrap; empty for a machine whose numbers are not known here."""
    if platform.machine() not in MACHINES:
        return b""
    audit, numbers = MACHINES[platform.machine()]
    steps = [(LOAD, 0, 0, MACHINE), (IF_EQUAL, 1, 0, audit), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    steps += [(LOAD, 0, 0, NUMBER), (IF_AT_LEAST, 0, 1, X32), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    for name, number in numbers.items():
        if name in WITH_FLAGS:
            steps += [(IF_EQUAL, 0, 4, number), (LOAD, 0, 0, FIRST_ARGUMENT), (IF_SET, 0, 1, CLONE_NEWUSER)]
            steps += [(RETURN, 0, 0, REFUSE | errno.EPERM), (RETURN, 0, 0, ALLOW)]
        else:
            error = errno.ENOSYS if name in MISSING else errno.EPERM
            steps += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | error)]
    steps.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
