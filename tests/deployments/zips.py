"""Builds zip archives byte by byte, so that each field can lie on its own."""

import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

FILE, FOLDER, LINK, PIPE, DEVICE, SOCKET = 0o100644, 0o040755, 0o120777, 0o010644, 0o020644, 0o140644
DESCRIPTOR, UTF8 = 0x8, 0x800


@dataclass
class Item:
    """One entry. `local` and `central` override single fields of the two headers."""

    name: str | bytes
    content: bytes = b""
    mode: int = FILE
    method: int = 8
    flags: int = 0
    packed: bytes | None = None
    behind: bytes = b""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        name = self.name.encode() if isinstance(self.name, str) else self.name
        packed = self.packed_content()
        flags = self.flags | (0 if name.isascii() else UTF8)
        crc = zlib.crc32(self.content)
        return {
            "name": name, "flags": flags, "method": self.method, "crc": crc, "packed": len(packed),
            "size": len(self.content), "extra": b"", "version": 20,
        }  # fmt: skip

    def packed_content(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflate(self.content) if self.method == 8 else self.content


def deflate(content: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(content) + stream.flush()


def local_record(item: Item) -> bytes:
    f: dict[str, Any] = item.fields() | item.local
    header: bytes = struct.pack(
        "<4s5H3L2H", b"PK\3\4", f["version"], f["flags"], f["method"], 0, 0x21,
        f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]),
    )  # fmt: skip
    return b"".join((header, f["name"], f["extra"], item.packed_content(), item.behind))


def central_record(item: Item, offset: int) -> bytes:
    defaults: dict[str, Any] = {
        "disk": 0,
        "attributes": item.mode << 16,
        "offset": offset,
        "made_by": 0x314,
        "comment": b"",
    }
    f = defaults | item.fields() | item.central
    header = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", f["made_by"], f["version"], f["flags"], f["method"], 0, 0x21,
        f["crc"], f["packed"], f["size"], len(f["name"]), len(f["extra"]), len(f["comment"]),
        f["disk"], 0, f["attributes"], f["offset"],
    )  # fmt: skip
    return b"".join((header, f["name"], f["extra"], f["comment"]))


def end(count: int, size: int, offset: int, comment: bytes = b"", disk: int = 0, here: int | None = None) -> bytes:
    here = count if here is None else here
    return struct.pack("<4s4H2LH", b"PK\5\6", disk, 0, here, count, size, offset, len(comment)) + comment


def end_64(count: int, size: int, offset: int, at: int) -> bytes:
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)


def archive(
    *items: Item, front: bytes = b"", between: bytes = b"", comment: bytes = b"", zip64: bool = False
) -> BytesIO:
    """The items as an archive; `front` and `between` (before the directory) are counted in all offsets."""
    body, directory = bytearray(front), bytearray()
    for item in items:
        directory += central_record(item, len(body))
        body += local_record(item)
    body += between
    at, here = len(body), len(body) + len(directory)
    tail = end_64(len(items), len(directory), at, here) if zip64 else b""
    small = end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if zip64 else end(len(items), len(directory), at, comment)
    return BytesIO(bytes(body + directory) + tail + small)


PROCFILE = Item("Procfile", b"web: python3 app.py\n")


def package(*items: Item, **kwargs: Any) -> BytesIO:
    """The same with a good Procfile in front, so that only the items can be the reason for a refusal."""
    return archive(PROCFILE, *items, **kwargs)


def overlapping_bomb(files: int, kernel: bytes) -> BytesIO:
    """Fifield's bomb (2019): each file's deflate stream quotes the next file's header and goes on into its content.

    So all of them unpack the one kernel at the end; the sizes and checksums of all headers are right.
    """
    packed, content = deflate(kernel), kernel
    items = [Item(f"{files - 1}", content, packed=packed)]
    for number in reversed(range(files - 1)):
        header = local_record(items[-1])[: -len(packed)]
        packed = struct.pack("<BHH", 0, len(header), 0xFFFF ^ len(header)) + header + packed
        content = header + content
        items.append(Item(f"{number}", content, packed=packed))
    items.reverse()
    body, directory = local_record(items[0]), b""
    for item in items:
        directory += central_record(item, body.index(local_record(item)))
    return BytesIO(body + directory + end(files, len(directory), len(body)))
