"""What one entry of an archive may be: size, kind, compression; decided from what the directory says of it."""

from dataclasses import dataclass

STORED, DEFLATED = 0, 8
ENCRYPTED, DESCRIPTOR, UTF8 = 0x1, 0x8, 0x800
FLAGS_KNOWN = 0x2 | 0x4 | DESCRIPTOR | UTF8  # 0x2 and 0x4 only tell how hard deflate tried
DOS_FOLDER, DOS_REPARSE_POINT = 0x10, 0x400
SPECIAL_BITS = 0o7000
TYPES = {
    0o120000: "is a link",
    0o010000: "is a named pipe",
    0o020000: "is a device",
    0o060000: "is a device",
    0o140000: "is a socket",
}
TYPE_MASK, TYPE_FOLDER, TYPE_FILE, TYPE_UNSAID = 0o170000, 0o040000, 0o100000, 0
MIB = 1024 * 1024
RATIO_MATTERS_FROM = 10 * MIB  # small files of zeros are common and harmless


@dataclass(frozen=True)
class Limits:
    """What an archive may cost. Sizes in bytes; entries count folders too; names in characters; depth in parts."""

    max_bytes: int = 2048 * MIB
    max_entries: int = 50_000
    max_unpacked_bytes: int = 8192 * MIB
    max_ratio: int = 100
    max_depth: int = 32
    max_name_length: int = 1000


DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder as the directory describes it; `offset` is where its local header begins."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    attributes: int

    @property
    def mode(self) -> int:
        """Unix type and permission bits; 0 when the archive says none."""
        return self.attributes >> 16

    @property
    def is_executable(self) -> bool:
        return bool(self.mode & 0o100)

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")

    @property
    def parts(self) -> list[str]:
        return self.name.removesuffix("/").split("/")


def entry_problem(entry: Entry, limits: Limits) -> str | None:
    """Why the entry is refused, as the rest of a sentence that begins with it; None when it is fine."""
    return _flags_problem(entry.flags, entry.method) or _kind_problem(entry) or _size_problem(entry, limits)


def amount(size: int) -> str:
    """The size in the unit in which a person would say it."""
    for unit, length in (("MiB", MIB), ("KiB", 1024)):
        if size >= length:
            return f"{size / length:,.0f} {unit}"
    return f"{size:,} bytes"


def _flags_problem(flags: int, method: int) -> str | None:
    if flags & ENCRYPTED:
        return "is encrypted"
    if flags & ~FLAGS_KNOWN:
        return "uses a feature of zip that is not supported"
    if method not in (STORED, DEFLATED):
        return f"is compressed with method {method}; only “store” and “deflate” are supported"
    return None


def _kind_problem(entry: Entry) -> str | None:
    """What the entry would be on disk. SECURITY: judged whatever system the archive says it was made on."""
    kind = entry.mode & TYPE_MASK
    if entry.attributes & DOS_REPARSE_POINT:
        return "is a link"
    if kind not in (TYPE_UNSAID, TYPE_FILE, TYPE_FOLDER):
        return TYPES.get(kind, "is neither a file nor a folder")
    if entry.mode & SPECIAL_BITS:
        return "has a set-uid, set-gid or sticky bit"
    is_folder = kind == TYPE_FOLDER or (kind == TYPE_UNSAID and bool(entry.attributes & DOS_FOLDER))
    if (entry.is_folder and kind == TYPE_FILE) or (is_folder and not entry.is_folder):
        return "says of itself that it is a file and a folder"
    return None


def _size_problem(entry: Entry, limits: Limits) -> str | None:
    if entry.is_folder and entry.size:
        return "is a folder with content"
    if entry.method == STORED and entry.size != entry.packed:
        return "says two different sizes"
    if entry.size > limits.max_unpacked_bytes:
        return f"unpacks to more than {amount(limits.max_unpacked_bytes)}"
    if entry.size > max(RATIO_MATTERS_FROM, entry.packed * limits.max_ratio):
        return f"unpacks to more than {limits.max_ratio} times its size"
    return None
