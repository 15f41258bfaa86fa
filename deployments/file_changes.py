"""Which files two packages have in common, from the directories of their archives alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

from deployments.archives import read_directory
from deployments.limits import limits
from deployments.models import Package
from deployments.packages import PackageRefused

MOST_NAMED = 50  # of each kind; the rest is counted


@dataclass(frozen=True)
class Names:
    """Names of files; the first ones by name, and how many there are in all."""

    first: list[str]
    count: int

    @property
    def more(self) -> int:
        return self.count - len(self.first)

    @classmethod
    def of(cls, names: Iterable[str]) -> "Names":
        every = sorted(names)
        return cls(every[:MOST_NAMED], len(every))


@dataclass(frozen=True)
class FileChanges:
    """What another package brings, leaves out and has with other content (size or CRC-32 differ)."""

    added: Names
    removed: Names
    changed: Names
    same: int


def file_changes(before: Package, after: Package) -> FileChanges | None:
    """Compare the files of two packages; None where an archive can't be read any more."""
    try:
        old, new = _files(before), _files(after)
    except (OSError, PackageRefused):
        return None
    both = old.keys() & new.keys()
    changed = {name for name in both if old[name] != new[name]}
    return FileChanges(
        Names.of(new.keys() - old.keys()), Names.of(old.keys() - new.keys()), Names.of(changed), len(both - changed)
    )


def _files(package: Package) -> Mapping[str, tuple[int, int]]:
    with package.file.storage.open(str(package.file.name), "rb") as archive:
        entries = read_directory(cast(BinaryIO, archive), limits())
    return {entry.name: (entry.size, entry.crc) for entry in entries if not entry.is_folder}
