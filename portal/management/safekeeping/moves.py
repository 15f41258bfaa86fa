"""Files and folders that change places, written down first, so that whatever breaks off can be put back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.runtimes import files

ENDING = "before-restore"


@dataclass(frozen=True)
class Move:
    """`new` takes the place of `live`, which is set aside beside it; without `new` it is only set aside."""

    live: Path
    new: Path | None = None

    @property
    def before(self) -> Path:
        return self.live.with_name(f".{self.live.name}.{ENDING}")


class Switch:
    """Moves that take place together or not at all. `path` is where they are written down while they are under way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_under_way(self) -> bool:
        return self.path.exists()

    def begin(self, moves: Sequence[Move], **more: Any) -> None:
        """Write the moves down, then make them."""
        written = [[str(m.live), str(m.new or ""), m.live.exists() or m.live.is_symlink()] for m in moves]
        for move in moves:
            remove(move.before)
        files.write_json(self.path, {"moves": written, **more})
        for move in moves:
            if move.live.exists():
                move.live.rename(move.before)
            if move.new:
                move.new.rename(move.live)

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = files.read_json(self.path, {})
        return found

    def put_back(self) -> None:
        """Undo the moves, however far they got; `end` has to follow."""
        for live, new, was_there in reversed(self.read().get("moves", [])):
            move = Move(Path(live), Path(new) if new else None)
            if move.before.exists():
                remove(move.live)
                move.before.rename(move.live)
            elif not was_there:
                remove(move.live)

    def end(self) -> None:
        """From here on what is in place counts; what was set aside is removed."""
        befores = [Move(Path(live)).before for live, *_ in self.read().get("moves", [])]
        self.path.unlink(missing_ok=True)
        for before in befores:
            remove(before)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        files.remove_tree(path)
    else:
        path.unlink(missing_ok=True)
