"""Control groups in both versions of the kernel's interface; real ones are tried by the hostile package."""

from pathlib import Path

import pytest

from deployments.runtimes import cgroups
from tests.deployments.node import running_node

VERSION_2 = "30 23 0:26 / {place} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
VAR = Path("/var/portal")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with the portal in a service of systemd; files are as the kernel shows them."""
    monkeypatch.setattr(cgroups, "MOUNTS", tmp_path / "mountinfo")
    monkeypatch.setattr(cgroups, "OWN", tmp_path / "cgroup")
    (tmp_path / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + VERSION_2.format(place=tmp_path))
    (tmp_path / "cgroup").write_text("0::/system.slice/portal.service\n")
    for folder, controllers in (("system.slice", "cpu memory pids"), ("system.slice/portal.service", "")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cgroup.type").write_text("domain\n")
        (tmp_path / folder / "cgroup.controllers").write_text("cpu memory pids\n")
        (tmp_path / folder / "cgroup.subtree_control").write_text(f"{controllers}\n")
    return tmp_path


def appears(folder: Path, *names: str) -> None:
    """Let a group's files be there, as they are once the kernel has made the folder."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("max\n")


def test_version_2_has_one_group_beside_the_portal_s_own(host: Path) -> None:
    group = cgroups.group(VAR, "app-3-17")
    (folder,) = group._folders
    assert folder.parent == host / "system.slice"
    appears(folder, "memory.max", "memory.swap.max", "pids.max", "cpu.weight", "cgroup.procs")
    assert group.limit(1000, 20)
    group.add(4711)
    written = {path.name: path.read_text() for path in folder.iterdir()}
    expected = {"memory.max": "1000", "memory.swap.max": "0", "pids.max": "20", "cpu.weight": "50"}
    assert written == {**expected, "cgroup.procs": "4711"}


def test_nothing_is_limited_where_the_kernel_does_not_count(host: Path) -> None:
    switch = host / "system.slice/cgroup.subtree_control"
    switch.unlink()
    switch.mkdir()  # which nobody can write
    assert cgroups.group(VAR, "app-3-17")._folders == []
    assert not cgroups.group(VAR, "app-3-17").limit(1000, 20)


def test_a_host_like_no_other_is_taken_as_it_is(host: Path) -> None:
    for text in ("nothing that is known\n", ""):
        (host / "mountinfo").write_text(text)
        assert cgroups.group(VAR, "app-3-17")._folders == []
    (host / "cgroup").unlink()
    assert cgroups.group(VAR, "app-3-17")._folders == []


def test_a_limit_that_the_kernel_refuses_leaves_nothing_behind(host: Path) -> None:
    group = cgroups.group(VAR, "app-3-17")
    assert not group.limit(1000, 20)
    assert not group._folders[0].exists()


def test_two_portals_on_one_host_do_not_meet(host: Path) -> None:
    ours, theirs = (cgroups.group(Path(var), "app-1-1")._folders[0] for var in ("/var/a", "/var/b"))
    assert ours != theirs
    ours.mkdir()
    theirs.mkdir()
    cgroups.sweep(Path("/var/a"))
    assert not ours.exists()
    assert theirs.exists()


def test_a_started_node_sweeps_what_killed_launchers_left(tmp_path: Path) -> None:
    left = cgroups.group(tmp_path / "var", "app-1-1")
    for folder in left._folders:
        folder.mkdir()
    with running_node(tmp_path / "var"):
        assert not any(folder.exists() for folder in left._folders)
