"""A control group for each instance: memory and processes of all that it starts, counted together.

Version 2 of the kernel's interface where it has the controllers, version 1 where a host still has them there; see
cgroups(7). Groups lie beside the portal's own one (version 2 allows none below a group that has processes) and only
where the portal may write there: as root, or where systemd handed the folder over.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
OWN = Path("/proc/self/cgroup")
NEEDED = {"memory", "pids"}
# What to write where: first as version 2 calls it, then as version 1 does
MEMORY = ("memory.max", "memory.limit_in_bytes")
PIDS = ("pids.max", "pids.max")
# Half a processor's worth in comparison, where the portal and its apps all want one
WEIGHT = "50"


class Group:
    """One instance's group: a folder for each hierarchy that has a controller it needs."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders

    def limit(self, memory: int, processes: int) -> bool:
        """Make the group with these limits, in bytes and a number; False, and nothing is left, where that fails."""
        try:
            for folder in self._folders:
                folder.mkdir(exist_ok=True)
            limited = [self._set(MEMORY, str(memory)), self._set(PIDS, str(processes))]
        except OSError:
            limited = []
        if not limited or not all(limited):
            self.remove()
            return False
        # Swap would only make it slower; not every kernel counts it
        self._try("memory.swap.max", "0")
        self._try("memory.memsw.limit_in_bytes", str(memory))
        self._try("cpu.weight", WEIGHT)
        return True

    def add(self, pid: int) -> None:
        """Put a process into the group, and whatever it starts from now on."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Remove the group; nothing happens where something still runs in it or it is gone."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _set(self, names: tuple[str, str], value: str) -> bool:
        return any(self._try(name, value) for name in dict.fromkeys(names))

    def _try(self, name: str, value: str) -> bool:
        files = [folder / name for folder in self._folders if (folder / name).exists()]
        try:
            for file in files:
                file.write_text(value)
        except OSError:
            return False
        return bool(files)


def group(var: Path, name: str) -> Group:
    """Give the group of that name, made or not, of the portal below `var`."""
    return Group([folder / f"{_prefix(var)}{name}" for folder in _places()])


def sweep(var: Path) -> None:
    """Remove the groups of a portal that is not running; killed launchers leave theirs behind."""
    for parent in _places():
        for folder in parent.glob(f"{_prefix(var)}*"):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _places() -> list[Path]:
    """Give the folders in which groups can be made; none on a host that is like nothing known here."""
    try:
        return list(_parents())
    except (OSError, ValueError):
        return []


def _prefix(var: Path) -> str:
    return f"portal-{hashlib.sha256(bytes(var)).hexdigest()[:8]}-"


def _parents() -> Iterator[Path]:
    """Give the folder in which groups can be made, for each hierarchy that counts memory or processes."""
    mounts = _mounts()
    for line in OWN.read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            own = _below(mounts.get("cgroup2"), path)
            # The root of all groups is the one that may have groups and processes; it has no type
            parent = own.parent if own and (own / "cgroup.type").exists() else own
            if parent and (parent / "cgroup.controllers").exists() and _counts(parent):
                yield parent
        else:
            # Both may be in one hierarchy, and so in one folder
            places = {_below(mounts.get(controller), path) for controller in NEEDED & set(controllers.split(","))}
            yield from filter(None, places)


def _counts(folder: Path) -> bool:
    """Say whether groups in the folder have the controllers, turning them on where they are off."""
    switch = folder / "cgroup.subtree_control"
    for controller in NEEDED - set(switch.read_text().split()):
        with contextlib.suppress(OSError):
            switch.write_text(f"+{controller}")
    return set(switch.read_text().split()) >= NEEDED


def _mounts() -> dict[str, tuple[str, Path]]:
    """Give root and place of each hierarchy, by `cgroup2` or its controller."""
    found = {}
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            found[kind] = root, Path(place)
        elif kind == "cgroup":
            found.update({option: (root, Path(place)) for option in options.split(",")})
    return found


def _below(mount: tuple[str, Path] | None, path: str) -> Path | None:
    if mount is None:
        return None
    root, place = mount
    relative = os.path.relpath(path, root)
    return None if relative.startswith("..") else place / relative
