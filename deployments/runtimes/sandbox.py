"""Starts a package's web line in a sandbox of its own.

bubblewrap gives it namespaces of its own for mounts, processes, users, IPC, host name and cgroups; it sees a
read-only system and release, a data folder, a `/tmp`, and no process, file or variable of anyone else. Where the
portal runs as root the processes also have a user number of their own and no capability at all.

The network is that of the calling process: one of its own where the host allows it (`network.separate`). Where it is
the host's, a package reaches what any program on the host reaches and can listen on ports; whoever trusts an answer
from a port therefore asks whose port it is (`processes.listens`).
"""

import json
import os
import resource
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path

from deployments.runtimes import cgroups, network, seccomp
from deployments.runtimes.layout import DATABASE

# As whom this process was started: in a network of its own it may pass for root
OWN = os.getuid(), os.getgid()
APP, DATA = "/app", "/data"
SHELL = "/bin/sh"
PATH = "/usr/local/bin:/usr/bin:/bin"
SCRIPT = "/run/start"
TMP_BYTES = 512 * 1024**2
SHM_BYTES = 64 * 1024**2  # as much as Docker gives
PROCESSES = 1024  # threads count, too
FILE_BYTES = 8 * 1024**3
# What fits every framework's default with room to spare, and keeps one package from using up the host. Processes are
# counted for the user within the sandbox's own user namespace, so each environment has its own count.
LIMITS = {
    resource.RLIMIT_NOFILE: 8192,
    resource.RLIMIT_NPROC: PROCESSES,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: FILE_BYTES,
    resource.RLIMIT_MEMLOCK: 64 * 1024,
    resource.RLIMIT_MSGQUEUE: 819_200,
    resource.RLIMIT_SIGPENDING: 4096,
}
NICE = 5  # the portal goes first where processors are short
# The kernel ends packages before the portal where memory runs out, see proc(5)
OOM_SCORE = "500"
# SECURITY: never `/etc` as a whole: it holds password hashes, private keys and the configuration of services
ETC = """
alternatives ca-certificates.conf gai.conf host.conf hosts ld.so.cache ld.so.conf ld.so.conf.d localtime mime.types
nsswitch.conf pki/ca-trust/extracted pki/tls/certs protocols resolv.conf services ssl/certs ssl/openssl.cnf
"""


class SandboxFailure(Exception):
    """The sandbox could not be made; the message says what bubblewrap or the kernel said."""


class Plan:
    """What to run and with what: folders of the host, the user number (None: the portal's own), what to hide.

    `port` is None for a command that serves nothing, `release` for one of the portal's own. `memory` is what it may use
    in bytes (0: as much as there is), all of it together where there is a group that counts, else each process for
    itself. `separate` says that the caller is in a network of its own (`network.separate`), which the sandbox then has,
    too. `database` is the URL of its database (empty: an SQLite file among its data). `more` are further options for
    bubblewrap.
    """

    def __init__(
        self,
        command: str,
        variables: Mapping[str, str],
        port: int | None,
        release: Path | None,
        data: Path,
        user: int | None,
        hidden: tuple[str, ...],
        memory: int = 0,
        group: cgroups.Group | None = None,
        separate: bool = False,
        database: str = "",
        more: tuple[str, ...] = (),
    ) -> None:
        self.command = command
        self.variables = variables
        self.port = port
        self.release = release
        self.data = data
        self.user = user
        self.hidden = hidden
        self.memory = memory
        self.group = group
        self.separate = separate
        self.database = database
        self.more = more


class Started:
    """What was started: the child to wait for and, in a sandbox, its first process and pid namespace."""

    def __init__(self, child: int, first: int = 0) -> None:
        self.child = child
        self.first = first
        self.namespace = 0
        if first:
            # Held open for the caller's life: the kernel gives the number of a namespace that is gone to the next one
            self.held = os.open(f"/proc/{first}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            self.namespace = os.fstat(self.held).st_ino

    def let_go(self) -> None:
        """Forget the namespace, for callers that live longer than it."""
        if self.namespace:
            os.close(self.held)
            self.namespace = 0


def script(plan: Plan, app: str, data: str = DATA) -> str:
    """Give the shell script that sets the variables and then becomes the Procfile's web line.

    SECURITY: variables are set here, inside and after the user was changed. In the environment of bubblewrap or
    setpriv, `LD_PRELOAD` and its like would load a package's code into a process of the portal's user; on a
    command line every user of the host could read them.
    """
    own = {
        "HOME": data,
        "PATH": PATH,
        **({} if plan.port is None else {"PORT": str(plan.port)}),
        "DATA_DIR": data,
        "DATABASE_URL": plan.database or f"sqlite:///{data}/{DATABASE}",
    }
    variables = {"LANG": "C.UTF-8", **plan.variables, **own}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, f"cd {shlex.quote(app)} || exit", f"exec {SHELL} -c {shlex.quote(plan.command)}", ""])


def start(plan: Plan, output: int = 1, source: int | None = None, errors: int | None = None) -> Started:
    """Start the plan in a sandbox; its output goes to the descriptor. SandboxFailure when it can't be made.

    It reads from `source` where there is one; what it says of errors goes to `errors`, else with its output.

    The sandbox ends when the calling process ends, however that ends.
    """
    told, tell = os.pipe()
    wait, go = os.pipe()
    texts = {SCRIPT: script(plan, APP if plan.release else "/"), **_names(plan.user)}
    if plan.separate:
        texts["/etc/resolv.conf"] = network.RESOLVER
    sources = {path: _in_memory(text) for path, text in texts.items()}
    calls = _in_memory(seccomp.program())
    options = _in_memory("\0".join([*_options(plan, tell, wait, calls), *_copies(sources)]) + "\0")
    passed = [tell, wait, options, calls, *sources.values()]
    try:
        for descriptor in passed:
            os.set_inheritable(descriptor, True)
        command = ["bwrap", "--args", str(options), *_drop(plan.user), SHELL, SCRIPT]
        child = _spawn(command, output, source, errors)
    except OSError as error:
        os.close(go)
        os.close(told)
        raise SandboxFailure(f"bubblewrap could not be started: {error.strerror}.") from error
    finally:
        for descriptor in passed:
            os.close(descriptor)
    try:
        return _admit(child, plan, told, go)
    finally:
        os.close(told)
        os.close(go)


def start_openly(plan: Plan, output: int = 1, given: int | None = None, errors: int | None = None) -> Started:
    """Start the plan without a sandbox, as the portal's own user, on a host that can make none.

    Such a package reads what the portal reads: `isolation` says so, and whoever starts it has to have asked.
    """
    text = script(plan, str(plan.release or "/"), str(plan.data))
    source = _in_memory(text)
    os.set_inheritable(source, True)
    try:
        return Started(_spawn([SHELL, f"/proc/self/fd/{source}"], output, given, errors))
    finally:
        os.close(source)


def _options(plan: Plan, tell: int, wait: int, calls: int) -> list[str]:
    options = (
        "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup --die-with-parent --new-session "
        f"--hostname app --clearenv --setenv PATH {PATH} --info-fd {tell} --cap-drop ALL "
    ).split()
    if plan.user is None:
        options += ["--block-fd", str(wait), "--uid", str(OWN[0]), "--gid", str(OWN[1])]
    else:
        options += ["--userns-block-fd", str(wait)]
        # Only for setpriv, which gives them up
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            options += ["--cap-add", capability]
    if os.fstat(calls).st_size:
        options += ["--seccomp", str(calls)]
    return options + _system(plan.separate) + _folders(plan)


def _system(separate: bool) -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        else:
            options += ["--ro-bind-try", str(path), str(path)]
    names = set(ETC.split()) - ({"resolv.conf"} if separate else set())
    found = sorted(path for name in names if (path := Path("/etc", name)).exists())
    # bubblewrap would make them for its own user only
    for folder in sorted({parent for path in found for parent in path.parents if parent.is_relative_to("/etc")}):
        options += ["--perms", "0755", "--dir", str(folder)]
    for path in found:
        options += ["--ro-bind", str(path), str(path)]
    return options


def _folders(plan: Plan) -> list[str]:
    options: list[str] = []
    for path in plan.hidden:
        # SECURITY: a portal that is installed below /usr would otherwise be seen with it
        if path.startswith("/usr/"):
            options += ["--tmpfs", path, "--remount-ro", path]
    options += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(SHM_BYTES)]
    options += ["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108 - inside the sandbox
    options += ["--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - inside the sandbox
    app = ["--ro-bind", str(plan.release), APP, "--chdir", APP] if plan.release else []
    return [*options, *app, "--bind", str(plan.data), DATA, *plan.more]


def _copies(sources: Mapping[str, int]) -> list[str]:
    options: list[str] = []
    for path, descriptor in sources.items():
        options += ["--perms", "0444", "--ro-bind-data", str(descriptor), path]
    return [*options, "--remount-ro", "/"]


def _names(user: int | None) -> dict[str, str]:
    """Give the user and group a name, for the programs that look for one."""
    number, group = OWN if user is None else (user, user)
    return {
        "/etc/passwd": f"app:x:{number}:{group}::{DATA}:{SHELL}\n",
        "/etc/group": f"app:x:{group}:\n",
    }


def _drop(user: int | None) -> list[str]:
    if user is None:
        return []
    options = f"--reuid {user} --regid {user} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs"
    return ["setpriv", *options.split(), "--"]


def _spawn(command: list[str], output: int, source: int | None, errors: int | None) -> int:
    """Start a program with nothing of this process but what it reads and writes and the inheritable descriptors."""
    nothing = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    return os.posix_spawnp(
        command[0],
        command,
        {"PATH": os.environ.get("PATH", PATH)},
        file_actions=[
            nothing if source is None else (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output if errors is None else errors, 2),
        ],
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ],
    )


def _admit(child: int, plan: Plan, told: int, go: int) -> Started:
    """Give what waits inside its user and limits, then let it go on."""
    try:
        first = int(json.loads(_until_closing_brace(told))["child-pid"])
        started = Started(child, first)
        if plan.user is not None:
            for table in ("uid_map", "gid_map"):
                Path(f"/proc/{first}/{table}").write_text(f"0 0 1\n{plan.user} {plan.user} 1\n")
        _limit(first, plan)
        os.write(go, b"1")
    except (OSError, ValueError) as error:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reason = error.strerror if isinstance(error, OSError) else "bubblewrap ended before it was ready"
        raise SandboxFailure(f"The sandbox could not be made: {reason}.") from error
    return started


def _limit(pid: int, plan: Plan) -> None:
    """Limit a process, which has started nothing yet, and all that comes from it."""
    limits = dict(LIMITS)
    if plan.group is not None:
        plan.group.add(pid)
    elif plan.memory:
        # Not the address space: Java, Node and Go reserve far more of that than they use
        limits[resource.RLIMIT_DATA] = plan.memory
    for limit, value in limits.items():
        most = resource.prlimit(pid, limit)[1]
        kept = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.prlimit(pid, limit, (kept, kept))
    os.setpriority(os.PRIO_PROCESS, pid, max(NICE, os.getpriority(os.PRIO_PROCESS, pid)))
    Path(f"/proc/{pid}/oom_score_adj").write_text(OOM_SCORE)


def _until_closing_brace(descriptor: int) -> bytes:
    # bubblewrap writes its answer in pieces
    text = b""
    while not text.rstrip().endswith(b"}") and (piece := os.read(descriptor, 4096)):
        text += piece
    return text


def _in_memory(content: str | bytes) -> int:
    descriptor = os.memfd_create("sandbox")
    os.write(descriptor, content.encode() if isinstance(content, str) else content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
