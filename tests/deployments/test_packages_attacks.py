"""SECURITY "Archives": the whole archive is refused, and the sentence names the entry."""

import struct
import tracemalloc
from io import BytesIO

import pytest

from deployments.packages import Limits, PackageRefused, inspect
from tests.deployments.zips import (
    DESCRIPTOR,
    DEVICE,
    FOLDER,
    LINK,
    PIPE,
    SOCKET,
    Item,
    deflate,
    end,
    overlapping_bomb,
    package,
)

SMALL = Limits(max_bytes=30_000, max_entries=5, max_unpacked_bytes=20_000_000, max_depth=4, max_name_length=50)


def refusal(archive: BytesIO, limits: Limits | None = None) -> PackageRefused:
    with pytest.raises(PackageRefused) as caught:
        inspect(archive, limits or Limits())
    assert caught.value.reason.endswith(".")
    assert caught.value.reason.isprintable()
    return caught.value


def assert_refused(archive: BytesIO, entry: str, words: str, limits: Limits | None = None) -> None:
    refused = refusal(archive, limits)
    assert refused.entry == entry
    assert f"“{entry}”" in refused.reason
    assert words in refused.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("a/..", "leads out"),
        ("..", "leads out"),
        ("/etc/passwd", "absolute"),
        ("//host/x", "absolute"),
        ("C:/x", "absolute"),
        ("c:x", "absolute"),
        ("a//b", "empty part"),
        ("./a", "empty part"),
        ("a/./b", "empty part"),
        (".", "empty part"),
        ("a//", "empty part"),
        ("/", "absolute"),
        ("x" * 256, "longer than 255 bytes"),
        ("é" * 128, "longer than 255 bytes"),
        ("/".join("a" * 33), "levels deep"),
    ],
)
def test_it_refuses_names_that_lead_elsewhere(name: str, words: str) -> None:
    refused = refusal(package(Item(name, b"x", mode=FOLDER if name.endswith("/") else 0o100644)))
    assert words in refused.reason


@pytest.mark.parametrize("name", ["C:\\x", "..\\x", "a\\b", "\\\\host\\x"])
def test_it_refuses_back_slashes(name: str) -> None:
    assert_refused(package(Item(name)), name, "back-slash")


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("a\0b", "a\\x00b"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x7f", "a\\x7f"),
        ("a\x9b", "a\\x9b"),
        ("a\u202etxt.exe", "a\\u202etxt.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_it_refuses_invisible_characters_and_shows_them_inert(name: str, entry: str) -> None:
    assert_refused(package(Item(name)), entry, "control or invisible")


def test_it_refuses_a_name_of_5000_characters_and_shortens_it() -> None:
    refused = refusal(package(Item("x" * 5000)))
    assert "5,000 characters" in refused.reason
    assert len(refused.reason) < 200


def test_it_refuses_names_that_are_not_utf8() -> None:
    assert_refused(package(Item(b"caf\xe9")), "caf\\xe9", "not UTF-8")
    assert_refused(package(Item(b"a\xed\xa0\x80")), "a\\xed\\xa0\\x80", "not UTF-8")
    assert_refused(package(Item(b"..\xc0\xaf..")), "..\\xc0\\xaf..", "not UTF-8")


def test_it_refuses_an_entry_without_a_name() -> None:
    assert "has no name" in refusal(package(Item(""))).reason


def test_it_refuses_duplicates() -> None:
    assert_refused(package(Item("a", b"1"), Item("a", b"2")), "a", "twice")
    assert_refused(package(Item("a/", mode=FOLDER), Item("a/", mode=FOLDER)), "a/", "twice")
    assert_refused(package(Item("Procfile", b"web: evil")), "Procfile", "twice")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("readme", "README"),
        ("a/x", "A/y"),
        ("straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\ufb01le", "file"),
        ("\u212aelvin", "kelvin"),
        ("\u3392", "mhz"),
        ("Model/", "model/metadata.txt"),
    ],
)
def test_it_refuses_names_that_differ_only_in_case_or_composition(first: str, second: str) -> None:
    items = [Item(name, mode=FOLDER if name.endswith("/") else 0o100644) for name in (first, second)]
    assert_refused(package(*items), second, "but for capitals")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a", "a/"), ("a/", "a"), ("a/b/c", "a/b")])
def test_it_refuses_a_name_that_is_file_and_folder(names: tuple[str, str]) -> None:
    items = [Item(name, mode=FOLDER if name.endswith("/") else 0o100644) for name in names]
    assert_refused(package(*items), names[1], "as a file and as a folder")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (LINK, "is a link"),
        (PIPE, "is a named pipe"),
        (DEVICE, "is a device"),
        (0o060660, "is a device"),
        (SOCKET, "is a socket"),
        (0o150000, "neither a file nor a folder"),
        (0o104755, "set-uid"),
        (0o102755, "set-gid"),
        (0o101755, "sticky"),
        (0o004755, "set-uid"),
        (FOLDER, "file and a folder"),
    ],
)
def test_it_refuses_what_is_no_plain_file(mode: int, words: str) -> None:
    assert_refused(package(Item("a", b"/etc/passwd", mode=mode)), "a", words)


@pytest.mark.parametrize("made_by", [0x0014, 0x0A14, 0x1314])
def test_it_refuses_links_whatever_system_the_archive_names(made_by: int) -> None:
    assert_refused(package(Item("a", b"b", mode=LINK, central={"made_by": made_by})), "a", "is a link")


def test_it_refuses_links_of_windows() -> None:
    assert_refused(package(Item("a", b"b", central={"attributes": 0x400})), "a", "is a link")


def test_it_refuses_folders_that_are_files() -> None:
    assert_refused(package(Item("a/", mode=0o100644)), "a/", "file and a folder")
    assert_refused(package(Item("a", central={"attributes": 0x10})), "a", "file and a folder")
    assert_refused(package(Item("a/", b"content", mode=FOLDER)), "a/", "folder with content")
    assert_refused(package(Item("a/", mode=FOLDER, packed=deflate(b"x"))), "a/", "more than the archive says")


@pytest.mark.parametrize(
    ("flags", "words"), [(0x1, "encrypted"), (0x41, "encrypted"), (0x20, "not supported"), (0x2000, "not supported")]
)
def test_it_refuses_encrypted_and_odd_entries(flags: int, words: str) -> None:
    assert_refused(package(Item("a", b"secret", flags=flags)), "a", words)


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 93, 95, 98, 99, 0xFFFF])
def test_it_refuses_other_compression(method: int) -> None:
    assert_refused(package(Item("a", b"x", method=method)), "a", f"method {method}")


def test_it_refuses_newer_versions_of_the_format() -> None:
    assert_refused(package(Item("a", b"x", central={"version": 90})), "a", "not supported")


def test_it_refuses_an_archive_cut_short_anywhere() -> None:
    whole = package(Item("a", b"x" * 50), Item("b/c", b"y" * 50, method=0)).getvalue()
    for length in range(len(whole)):
        refusal(BytesIO(whole[:length]))


def test_it_refuses_a_hole_anywhere() -> None:
    whole = package(Item("a", b"x" * 50), Item("b/c", b"y" * 50, method=0)).getvalue()
    for at in range(len(whole)):
        refusal(BytesIO(whole[:at] + whole[at + 1 :]))


def test_it_refuses_junk_in_front() -> None:
    shifted = package(Item("a"), front=b"#!/bin/sh\n")
    assert_refused(shifted, "Procfile", "bytes in front")
    naive = BytesIO(b"#!/bin/sh\n" + package(Item("a")).getvalue())
    assert "in front" in refusal(naive).reason


def test_it_refuses_junk_behind() -> None:
    whole = package().getvalue()
    for junk in (b"\0", b"junk", b"\0" * 70_000, whole):
        refusal(BytesIO(whole + junk))


def test_it_refuses_junk_between() -> None:
    assert_refused(package(Item("a", behind=b"junk"), Item("b")), "b", "bytes in front")
    assert "in front of its directory" in refusal(package(Item("a"), between=b"junk")).reason


def test_it_refuses_a_second_end_in_the_comment() -> None:
    whole = package().getvalue()
    body = whole[:-22]
    size, offset = struct.unpack("<2L", whole[-10:-2])
    inner = end(1, size, offset)
    refused = refusal(BytesIO(body + end(1, size, offset, comment=inner)))
    assert "two ends" in refused.reason


def test_it_refuses_more_or_fewer_entries_than_the_end_says() -> None:
    whole = package(Item("a"), Item("b")).getvalue()
    size, offset = struct.unpack("<2L", whole[-10:-2])
    for count in (0, 1, 2, 4, 500):
        refusal(BytesIO(whole[:-22] + end(count, size, offset)))


def test_it_refuses_a_directory_with_more_in_it_than_entries() -> None:
    whole = package(Item("a")).getvalue()
    size, offset = struct.unpack("<2L", whole[-10:-2])
    refused = refusal(BytesIO(whole[:-22] + b"junk" + end(2, size + 4, offset)))
    assert "more in it than its entries" in refused.reason


def test_it_refuses_one_part_of_several() -> None:
    whole = package().getvalue()
    size, offset = struct.unpack("<2L", whole[-10:-2])
    for last in (end(1, size, offset, disk=1), end(1, size, offset, here=0)):
        assert "one part of several" in refusal(BytesIO(whole[:-22] + last)).reason
    assert_refused(package(Item("a", central={"disk": 1})), "a", "split archive")


def test_it_refuses_wrong_checksums_and_damage() -> None:
    both = {"crc": 1}
    assert_refused(package(Item("a", b"text", local=both, central=both)), "a", "checksum is wrong")
    assert_refused(package(Item("a", b"text", method=0, local=both, central=both)), "a", "checksum is wrong")
    assert_refused(package(Item("a", b"text", packed=b"\xff\xff\xff\xff")), "a", "damaged")
    assert_refused(package(Item("a", b"text" * 99, packed=deflate(b"text" * 99)[:-3])), "a", "cut short")
    assert_refused(package(Item("a", b"text", packed=deflate(b"text") + b"junk")), "a", "bytes behind its content")


def test_it_refuses_the_overlapping_bomb_before_unpacking_any_of_it() -> None:
    bomb = overlapping_bomb(files=100, kernel=b"\0" * 200_000)
    assert len(bomb.getvalue()) < 15_000
    assert_refused(bomb, "0", "overlaps another entry", Limits(max_ratio=10_000))


def test_it_refuses_two_entries_with_the_same_content() -> None:
    assert_refused(package(Item("a", b"x"), Item("a2", b"x", central={"offset": 0})), "Procfile", "overlaps")
    assert_refused(package(Item("a", b"x", central={"offset": 1})), "Procfile", "overlaps")


@pytest.mark.parametrize(
    ("local", "words"),
    [
        ({"name": b"b"}, "another name"),
        ({"name": b"aa"}, "another name"),
        ({"crc": 5}, "another size or checksum"),
        ({"size": 5}, "another size or checksum"),
        ({"packed": 5}, "another size or checksum"),
        ({"method": 0}, "described differently"),
        ({"flags": 0x1}, "described differently"),
        ({"flags": 0x800}, "described differently"),
        ({"flags": 0x8}, "described differently"),
    ],
)
def test_it_refuses_a_header_that_contradicts_the_directory(local: dict[str, object], words: str) -> None:
    assert_refused(package(Item("a", b"text", local=local)), "a", words)


@pytest.mark.parametrize("behind", [b"", b"x" * 12, struct.pack("<4sLLL", b"PK\7\x08", 0, 0, 0), b"\0" * 30])
def test_it_refuses_a_wrong_descriptor(behind: bytes) -> None:
    item = Item("a", b"text", flags=DESCRIPTOR, behind=behind, local={"crc": 0, "size": 0, "packed": 0})
    assert_refused(package(item), "a", "behind it")


def test_it_refuses_two_different_names_of_one_entry() -> None:
    other = struct.pack("<HHBL", 0x7075, 6, 1, 0) + b"b"
    for where in ("local", "central"):
        assert_refused(package(Item("a", b"x", **{where: {"extra": other}})), "a", "two different names")  # type: ignore[arg-type]


def test_it_refuses_damaged_extra_fields() -> None:
    for extra in (b"\1\0\xff\0", struct.pack("<HH", 9, 0) * 40, struct.pack("<HHQ", 1, 8, 1) * 2):
        assert refusal(package(Item("a", b"x", central={"extra": extra}))).entry == "a"


def test_it_refuses_zip64_sizes_that_are_missing() -> None:
    assert_refused(package(Item("a", b"x", central={"size": 0xFFFFFFFF})), "a", "Zip64")
    short = struct.pack("<HHL", 1, 4, 1)
    assert_refused(package(Item("a", b"x", central={"size": 0xFFFFFFFF, "extra": short})), "a", "Zip64")


def test_it_refuses_zip64_sizes_beyond_any_file() -> None:
    extra = struct.pack("<HHQ", 1, 8, 2**64 - 1)
    assert_refused(package(Item("a", b"x", central={"size": 0xFFFFFFFF, "extra": extra})), "a", "unpacks to more")
    assert refusal(package(Item("a", b"x", central={"offset": 0xFFFFFFFF, "extra": extra})))
    assert refusal(package(Item("a", b"x", central={"packed": 0xFFFFFFFF, "extra": extra})))


@pytest.mark.parametrize(
    ("at", "value"),
    [(-22 - 20 + 8, 1), (-22 - 20 + 16, 2), (-22 - 20 - 56 + 4, 45), (-22 - 20 - 56 + 32, 9), (-22 - 20 - 56 + 48, 9)],
)
def test_it_refuses_zip64_ends_that_contradict(at: int, value: int) -> None:
    whole = bytearray(package(Item("a"), zip64=True).getvalue())
    whole[len(whole) + at] = value
    refusal(BytesIO(bytes(whole)))


def test_it_refuses_two_ends_that_differ() -> None:
    whole = bytearray(package(Item("a"), zip64=True).getvalue())
    whole[-14:-10] = struct.pack("<2H", 1, 1)
    assert "contradict" in refusal(BytesIO(bytes(whole))).reason


def test_it_refuses_bombs_from_the_directory() -> None:
    zeros = b"\0" * 11_000_000
    assert_refused(package(Item("a", zeros)), "a", "more than 100 times")
    assert_refused(package(Item("a", zeros)), "a", "more than 10 MiB", Limits(max_unpacked_bytes=10 * 1024 * 1024))
    many = [Item(f"{n}", b"\0" * 6_000_000) for n in range(2)]
    assert "more than 100 times" in refusal(package(*many)).reason
    assert "more than 11 MiB" in refusal(package(*many), Limits(max_ratio=2000, max_unpacked_bytes=11 * 2**20)).reason


def test_it_refuses_a_bomb_that_lies_about_its_size_without_unpacking_it() -> None:
    packed = deflate(b"\0" * 200_000_000)
    bomb = package(Item("a", b"\0" * 1000, packed=packed))
    tracemalloc.start()
    try:
        assert_refused(bomb, "a", "more than the archive says")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_it_refuses_content_shorter_than_it_says() -> None:
    assert_refused(package(Item("a", b"x" * 10, packed=deflate(b"x" * 9))), "a", "less than the archive says")
    both = {"size": 5}
    assert_refused(package(Item("a", b"x" * 9, method=0, local=both, central=both)), "a", "two different sizes")


def test_it_refuses_more_than_the_limits() -> None:
    assert "larger than 29 KiB" in refusal(package(Item("a", bytes(40_000), method=0)), SMALL).reason
    assert "more than 5 files" in refusal(package(*(Item(f"{n}") for n in range(5))), SMALL).reason
    assert_refused(package(Item("a/b/c/d/e")), "a/b/c/d/e", "5 levels deep", SMALL)
    assert "51 characters" in refusal(package(Item("a" * 51)), SMALL).reason


def test_it_counts_folders_that_are_only_implied() -> None:
    assert "more than 5 files" in refusal(package(Item("a/b/c/d"), Item("e")), SMALL).reason


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"\x1f\x8b" + b"\0" * 500, b"\0" * 100_000])
def test_it_refuses_what_is_no_zip(content: bytes) -> None:
    assert refusal(BytesIO(content)).reason == "The file is not a zip archive."


def test_it_refuses_an_empty_archive() -> None:
    assert refusal(BytesIO(end(0, 0, 0))).reason == "The archive is empty."
