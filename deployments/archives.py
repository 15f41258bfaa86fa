"""Zip archives read strictly: one layout is accepted, whatever differs from it is refused.

The archive must be a gapless row of entries, followed by its directory, followed by its end record. So no two
entries share bytes, nothing hides in front, between or behind, and no two readers see different contents.
Python's `zipfile` is not used to read: it tolerates all of these. Format: PKWARE APPNOTE.TXT 6.3.10.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

from deployments.archive_entries import (
    DEFAULT,
    DESCRIPTOR,
    ENCRYPTED,
    RATIO_MATTERS_FROM,
    STORED,
    UTF8,
    Entry,
    Limits,
    amount,
    entry_problem,
)
from deployments.archive_names import NameTree, PackageRefused, decode_name, refused

END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64 = struct.Struct("<4sLQL")
CENTRAL = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
MAX_COMMENT = 0xFFFF
END_64_SIZE = END_64.size - 12  # as the record counts itself; more would be an extensible data sector
END_UNSAID = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # "look into the Zip64 record"

FLAGS_COMPARED = ENCRYPTED | DESCRIPTOR | UTF8
ZIP64, UNICODE_NAME = 0x0001, 0x7075  # kinds of extra field
MAX_EXTRA_FIELDS = 32  # real archives carry up to six; bounds the time that an entry can cost
IN_ZIP64 = 0xFFFFFFFF
NEWEST_VERSION = 63  # of the format (6.3); a newer one may mean things that are not known here
CHUNK = 256 * 1024


class Placed(NamedTuple):
    """An entry whose local header agrees with the directory, and where its content starts."""

    entry: Entry
    start: int


class _End(NamedTuple):
    disk: int
    first_disk: int
    here: int
    entries: int
    size: int
    offset: int


def read_entries(archive: BinaryIO, limits: Limits = DEFAULT) -> list[Placed]:
    """All entries, in the order of their content; PackageRefused where the layout is not exactly right.

    The content itself is not read: `read_content` does that and checks it.
    """
    begins, ends, count = _find_directory(archive, limits)
    entries = _read_directory(archive, begins, ends, count, limits)
    _check_total(begins, entries, limits)
    return list(_place(archive, sorted(entries, key=lambda entry: entry.offset), begins))


def read_directory(archive: BinaryIO, limits: Limits = DEFAULT) -> list[Entry]:
    """All entries as the directory describes them, without a look at the rest: for an archive that was accepted."""
    begins, ends, count = _find_directory(archive, limits)
    return _read_directory(archive, begins, ends, count, limits)


def list_files(archive: BinaryIO, start: int, count: int, limits: Limits = DEFAULT) -> list[Entry]:
    """Some of the files, in the order of the directory; folders are left out. For an archive that was accepted."""
    begins, ends, total = _find_directory(archive, limits)
    files = (entry for entry in _described(archive, begins, ends, total, limits) if not entry.is_folder)
    return list(islice(files, start, start + count))


def read_content(archive: BinaryIO, placed: Placed) -> Iterator[bytes]:
    """The entry's content in pieces of at most CHUNK bytes, checked while it is read.

    SECURITY: more bytes than the directory says are refused before they are handed out, so the limits that were
    checked against the directory hold for what is really written.
    """
    entry = placed.entry
    packed = _packed_pieces(archive, placed)
    total, crc = 0, 0
    for piece in packed if entry.method == STORED else _inflate(packed, entry):
        total += len(piece)
        if total > entry.size:
            raise refused(entry.name, "unpacks to more than the archive says")
        crc = zlib.crc32(piece, crc)
        yield piece
    if total != entry.size:
        raise refused(entry.name, "unpacks to less than the archive says")
    if crc != entry.crc:
        raise refused(entry.name, "is damaged: its checksum is wrong")


def _packed_pieces(archive: BinaryIO, placed: Placed) -> Iterator[bytes]:
    archive.seek(placed.start)
    left = placed.entry.packed
    while left:
        piece = archive.read(min(left, CHUNK))
        if not piece:
            raise refused(placed.entry.name, "is cut short")
        left -= len(piece)
        yield piece


def _inflate(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while not stream.eof:
            given = stream.unconsumed_tail or next(packed, b"")
            piece = stream.decompress(given, CHUNK)
            if not piece and not given:
                raise refused(entry.name, "is cut short")
            if piece:
                yield piece
    except zlib.error as error:
        raise refused(entry.name, "is damaged: it can't be unpacked") from error
    if stream.unused_data or next(packed, b""):
        raise refused(entry.name, "has bytes behind its content")


def _read(archive: BinaryIO, count: int) -> bytes:
    """Exactly `count` bytes from where the archive stands."""
    data = archive.read(count)
    while len(data) < count and (more := archive.read(count - len(data))):
        data += more
    if len(data) < count:
        raise PackageRefused("The archive is cut short.")
    return data


def _read_at(archive: BinaryIO, offset: int, count: int) -> bytes:
    archive.seek(offset)
    return _read(archive, count)


def _find_directory(archive: BinaryIO, limits: Limits) -> tuple[int, int, int]:
    """Where the directory begins, where it ends, and how many entries it has."""
    archive.seek(0, 2)
    size = archive.tell()
    if size > limits.max_bytes:
        raise PackageRefused(f"The archive is larger than {amount(limits.max_bytes)}.")
    at = _find_end(archive, size)
    end, begins = _read_end(archive, at)
    if end.disk or end.first_disk or end.here != end.entries:
        raise PackageRefused("The archive is one part of several; upload it as a single file.")
    if end.offset + end.size != begins:
        raise PackageRefused("The archive has bytes in front of it or between its parts that belong to no entry.")
    if end.entries == 0:
        raise PackageRefused("The archive is empty.")
    return end.offset, begins, end.entries


def _find_end(archive: BinaryIO, size: int) -> int:
    """Where the end record begins. SECURITY: a second place that could be one is refused, as readers pick either."""
    if size < END.size:
        raise PackageRefused("The file is not a zip archive.")
    reach = min(size, END.size + MAX_COMMENT)
    tail = _read_at(archive, size - reach, reach)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        begins_as_zip = _read_at(archive, 0, 4) == b"PK\x03\x04"
        raise PackageRefused("The archive is cut short." if begins_as_zip else "The file is not a zip archive.")
    if not _ends_exactly(tail, at):
        raise PackageRefused("The archive is cut short or has bytes behind its end.")
    earlier = tail.rfind(b"PK\x05\x06", 0, at)
    while earlier >= 0:
        if _ends_exactly(tail, earlier):
            raise PackageRefused("The archive has two ends.")
        earlier = tail.rfind(b"PK\x05\x06", 0, earlier)
    return size - reach + at


def _ends_exactly(tail: bytes, at: int) -> bool:
    return at + END.size <= len(tail) and at + END.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)


def _read_end(archive: BinaryIO, at: int) -> tuple[_End, int]:
    """What the end record says, and where the end records begin.

    SECURITY: with Zip64 there are two of them, and some readers look at one only: they must not disagree.
    """
    small = _End(*END.unpack(_read_at(archive, at, END.size))[1:7])
    at_64 = at - LOCATOR_64.size - END_64.size
    locator = _read_at(archive, at - LOCATOR_64.size, LOCATOR_64.size) if at >= LOCATOR_64.size else b""
    if not locator.startswith(b"PK\x06\x07"):
        return small, at
    _, disk, told, disks = LOCATOR_64.unpack(locator)
    if disk or disks != 1 or at_64 < 0 or told != at_64:
        raise PackageRefused("The archive's Zip64 end record is not where it should be.")
    signature, size, _, _, *fields = END_64.unpack(_read_at(archive, at_64, END_64.size))
    large = _End(*fields)
    agree = all(a in (b, unsaid) for a, b, unsaid in zip(small, large, END_UNSAID, strict=True))
    if signature != b"PK\x06\x06" or size != END_64_SIZE or not agree:
        raise PackageRefused("The archive's two end records contradict each other.")
    return large, at_64


def _read_directory(archive: BinaryIO, begins: int, ends: int, count: int, limits: Limits) -> list[Entry]:
    names = NameTree(limits.max_entries)
    entries = []
    for entry in _described(archive, begins, ends, count, limits):
        names.add(entry.name)
        entries.append(entry)
    return entries


def _described(archive: BinaryIO, begins: int, ends: int, count: int, limits: Limits) -> Iterator[Entry]:
    """The entries that the directory describes, one after the other."""
    archive.seek(begins)
    left = ends - begins
    for _ in range(count):
        entry, length = _read_central(archive, left, limits)
        yield entry
        left -= length
    if left:
        raise PackageRefused("The archive's directory has more in it than its entries.")


def _read_central(archive: BinaryIO, left: int, limits: Limits) -> tuple[Entry, int]:
    """The entry that the directory describes next, and the length of its description."""
    if left < CENTRAL.size:
        raise PackageRefused("The archive's directory is cut short.")
    header = _read(archive, CENTRAL.size)
    signature, _, version, flags, method, _, _, crc, packed, size, *rest = CENTRAL.unpack(header)
    name_length, extra_length, comment_length, disk, _, attributes, offset = rest
    length = CENTRAL.size + name_length + extra_length + comment_length
    if signature != b"PK\x01\x02" or length > left:
        raise PackageRefused("The archive's directory is damaged.")
    raw_name = _read(archive, name_length)
    extra = _read(archive, extra_length)
    archive.seek(comment_length, 1)
    name = decode_name(raw_name, limits.max_name_length, limits.max_depth)
    fields = _extra_fields(extra, raw_name)
    if version & 0xFF > NEWEST_VERSION:
        raise refused(name, "uses a feature of zip that is not supported")
    if disk:
        raise refused(name, "lies on another part of a split archive")
    size, packed, offset = _with_zip64(fields, [size, packed, offset], name)
    entry = Entry(name, raw_name, flags, method, crc, packed, size, offset, attributes)
    if problem := entry_problem(entry, limits):
        raise refused(name, problem)
    return entry, length


def _check_total(archive_size: int, entries: list[Entry], limits: Limits) -> None:
    total = sum(entry.size for entry in entries)
    if total > limits.max_unpacked_bytes:
        raise PackageRefused(f"The archive unpacks to more than {amount(limits.max_unpacked_bytes)}.")
    if total > max(RATIO_MATTERS_FROM, archive_size * limits.max_ratio):
        raise PackageRefused(f"The archive unpacks to more than {limits.max_ratio} times its size.")


def _extra_fields(extra: bytes, raw_name: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    at = count = 0
    while len(extra) - at >= 4:  # up to three bytes of padding are left by tools that align content
        kind, length = struct.unpack_from("<HH", extra, at)
        value = extra[at + 4 : at + 4 + length]
        at, count = at + 4 + length, count + 1
        if len(value) < length or count > MAX_EXTRA_FIELDS:
            raise refused(raw_name, "has a damaged header")
        if kind in fields and kind in (ZIP64, UNICODE_NAME):
            raise refused(raw_name, "has a header that contradicts itself")
        fields[kind] = value
    second_name = fields.get(UNICODE_NAME)  # Info-ZIP's: a version, a checksum, the name
    if second_name is not None and second_name[5:] != raw_name:
        raise refused(raw_name, "carries two different names")
    return fields


def _with_zip64(fields: dict[int, bytes], values: list[int], name: str) -> list[int]:
    """The values, those that don't fit 32 bits taken from the Zip64 field; they lie there in the same order."""
    large = fields.get(ZIP64, b"")
    needed = values.count(IN_ZIP64)
    if len(large) < 8 * needed:
        raise refused(name, "has a damaged Zip64 header")
    wide = iter(struct.unpack_from(f"<{needed}Q", large))
    return [next(wide) if value == IN_ZIP64 else value for value in values]


def _place(archive: BinaryIO, entries: list[Entry], ends: int) -> Iterator[Placed]:
    """Walks the entries in the order of their bytes. SECURITY: each begins exactly where the one before ended."""
    expected = 0
    for entry, following in zip(entries, [*(e.offset for e in entries[1:]), ends], strict=True):
        if entry.offset > expected:
            raise refused(entry.name, "has bytes in front of it that belong to no entry")
        start = entry.offset + _check_local(archive, entry)
        expected = start + entry.packed
        if expected > following:
            raise refused(entry.name, "overlaps another entry")
        if entry.flags & DESCRIPTOR:
            _check_descriptor(archive, entry, expected, following)
            expected = following
        yield Placed(entry, start)
    if expected != ends:
        raise PackageRefused("The archive has bytes in front of its directory that belong to no entry.")


def _check_local(archive: BinaryIO, entry: Entry) -> int:
    """The length of the local header, after making sure that it says what the directory says."""
    header = _read_at(archive, entry.offset, LOCAL.size)
    name_length: int
    extra_length: int
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(header)
    if signature != b"PK\x03\x04":
        raise refused(entry.name, "is not where the directory says")
    if name_length != len(entry.raw_name) or _read(archive, name_length) != entry.raw_name:
        raise refused(entry.name, "has another name in its header than in the directory")
    fields = _extra_fields(_read(archive, extra_length), entry.raw_name)
    size, packed = _with_zip64(fields, [size, packed], entry.name)
    if (flags ^ entry.flags) & FLAGS_COMPARED or method != entry.method:
        raise refused(entry.name, "is described differently in its header and in the directory")
    for here, there in ((crc, entry.crc), (packed, entry.packed), (size, entry.size)):
        if here != there and not (flags & DESCRIPTOR and here == 0):
            raise refused(entry.name, "has another size or checksum in its header than in the directory")
    return LOCAL.size + name_length + extra_length


def _check_descriptor(archive: BinaryIO, entry: Entry, begins: int, ends: int) -> None:
    """The sizes repeated behind the content, in one of the four forms in which programs write them."""
    forms = [
        signature + struct.pack(sizes, entry.crc, entry.packed, entry.size)
        for signature in (b"PK\x07\x08", b"")
        for sizes in ("<LQQ", "<LLL")
        if sizes == "<LQQ" or max(entry.packed, entry.size) < IN_ZIP64
    ]
    length = ends - begins
    if length > END_64.size or _read_at(archive, begins, length) not in forms:
        raise refused(entry.name, "has bytes behind it that contradict the directory or belong to no entry")
