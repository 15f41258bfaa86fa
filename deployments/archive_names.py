"""Names of archive entries: what is accepted, and how a bad one is shown to a person."""

import re
import unicodedata
from dataclasses import dataclass, field

SHOWN_LENGTH = 80
MAX_PART_BYTES = 255  # NAME_MAX of Linux file systems
DRIVE = re.compile(r"[A-Za-z]:")
# Cc and Cf hold control characters and the marks that turn the direction of text; Zl and Zp are line breaks.
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class PackageRefused(Exception):
    """The package is not accepted. `reason` is a sentence for a person; `entry` the entry it speaks of, inert."""

    def __init__(self, reason: str, entry: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.entry = entry


def shown(name: str | bytes) -> str:
    """The name with control characters and odd bytes escaped, shortened in the middle."""
    text = name[: 8 * SHOWN_LENGTH].decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    if len(text) > SHOWN_LENGTH:
        text = text[: SHOWN_LENGTH - 20] + "…" + text[-19:]
    inert = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return "".join(inert)


def refused(name: str | bytes, problem: str) -> PackageRefused:
    """A refusal that names the entry: "The entry “a/b” …"."""
    return PackageRefused(f"The entry “{shown(name)}” {problem}.", shown(name))


def has_invisible(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(c) in INVISIBLE for c in text)


def decode_name(raw: bytes, max_length: int, max_depth: int) -> str:
    """The entry's name as text, or PackageRefused; a bad name is never repaired."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refused(raw, "has a name that is not UTF-8") from error
    if problem := _name_problem(name, max_length, max_depth):
        raise refused(name, problem)
    return name


def _name_problem(name: str, max_length: int, max_depth: int) -> str | None:
    if not name:
        return "has no name"
    if len(name) > max_length:
        return f"has a name of {len(name):,} characters; at most {max_length:,} are allowed"
    if has_invisible(name):
        return "has control or invisible characters in its name"
    if "\\" in name:
        return "has a back-slash in its name"
    if name.startswith("/") or DRIVE.match(name):
        return "has an absolute path"
    return _parts_problem(name.removesuffix("/").split("/"), max_depth)


def _parts_problem(parts: list[str], max_depth: int) -> str | None:
    if ".." in parts:
        return "leads out of its folder with “..”"
    if "" in parts or "." in parts:
        return "has an empty part or a “.” in its path"
    if len(parts) > max_depth:
        return f"lies {len(parts)} levels deep; at most {max_depth} are allowed"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"has a part longer than {MAX_PART_BYTES} bytes in its path"
    return None


@dataclass(slots=True)
class _Node:
    spelling: str
    is_folder: bool
    listed: bool = False
    children: dict[str, "_Node"] = field(default_factory=dict)


class NameTree:
    """All names of an archive; refuses those that would meet on some file system.

    Letters that differ only in case or in how Unicode composes them count as the same. Folders that are only
    implied by the files in them count towards `max_entries`: each costs an inode, whether it was listed or not.
    """

    def __init__(self, max_entries: int) -> None:
        self._root = _Node("", is_folder=True)
        self._max_entries = max_entries
        self._count = 0
        self._keys: dict[str, str] = {}  # long parts of odd letters are slow to compare: each is worked out once

    def add(self, name: str) -> None:
        """Takes in a file, or a folder when the name ends in a slash."""
        *above, last = name.removesuffix("/").split("/")
        node = self._root
        for part in above:
            node = self._step(node, part, name, is_folder=True)
        node = self._step(node, last, name, is_folder=name.endswith("/"))
        if node.listed:
            raise refused(name, "is in the archive twice")
        node.listed = True

    def _step(self, parent: _Node, part: str, name: str, *, is_folder: bool) -> _Node:
        key = self._keys.get(part) or self._keys.setdefault(part, _same_everywhere(part))
        node = parent.children.get(key)
        if node is None:
            self._count += 1
            if self._count > self._max_entries:
                raise PackageRefused(f"The archive has more than {self._max_entries:,} files and folders.")
            node = parent.children[key] = _Node(part, is_folder)
        elif node.spelling != part:
            raise refused(name, f"has the name of “{shown(node.spelling)}” but for capitals or how accents are written")
        elif node.is_folder != is_folder:
            raise refused(name, "is in the archive as a file and as a folder")
        return node


def _same_everywhere(part: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", part).casefold())
