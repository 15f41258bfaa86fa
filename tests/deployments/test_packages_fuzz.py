"""Whatever the bytes: a manifest or a refusal, nothing else; what is accepted unpacks exactly, inside the folder."""

import json
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deployments.archive_names import has_invisible
from deployments.archives import CENTRAL, LOCAL, list_files, read_content, read_entries
from deployments.manifests import Manifest, Metadata, read_metadata, read_procfile
from deployments.packages import Limits, PackageRefused, inspect, unpack
from portal.env import BASE_DIR
from tests.deployments.zips import DESCRIPTOR, FOLDER, LINK, PROCFILE, UTF8, Item, archive, package

CALC = BASE_DIR / "tests" / "packages" / "calc" / "1.1.0"
LIMITS = Limits(max_bytes=50_000, max_entries=20, max_unpacked_bytes=100_000, max_depth=6, max_name_length=100)
fuzz = settings(max_examples=250, deadline=5000, suppress_health_check=[HealthCheck.too_slow])

METADATA = Item("model/metadata.json", b'{"version": "1.0", "constants": [{"name": "A"}], "x": {"y": [1, 2.5, null]}}')
STREAMED = Item("s", b"text" * 9, flags=DESCRIPTOR, local={"crc": 0, "packed": 0, "size": 0})
STREAMED.behind = b"PK\7\x08" + struct.pack("<LLL", STREAMED.fields()["crc"], STREAMED.fields()["packed"], 36)
SEEDS = [
    package(METADATA, Item("a/b", b"x" * 100), Item("a/c", b"y" * 10, method=0), comment=b"hello").getvalue(),
    package(Item("folder/", mode=FOLDER), STREAMED, Item("run", b"#!", mode=0o100755), zip64=True).getvalue(),
    package(Item("a", archive(Item("b", b"inner")).getvalue(), method=0), Item("größe", b"")).getvalue(),
]
Result = TypeVar("Result")
INTERESTING = [0, 1, 8, 0xFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good archive with a few bytes changed, removed, repeated or added."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(1, 40))
        change = draw(st.sampled_from(["flip", "number", "cut", "repeat", "insert", "move"]))
        if change == "flip":
            data[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif change == "number":
            form = draw(st.sampled_from(["<H", "<L", "<Q"]))
            number = draw(st.sampled_from(INTERESTING)) % 256 ** struct.calcsize(form)
            data[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif change == "cut":
            del data[at : at + length]
        elif change == "repeat":
            data[at:at] = data[at : at + length]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=20))
        else:
            piece = data[at : at + length]
            del data[at : at + length]
            to = draw(st.integers(0, len(data)))
            data[to:to] = piece
    return bytes(data)


LOCAL_FIELDS = {"version": 4, "flags": 6, "method": 8, "crc": 14, "packed": 18, "size": 22, "name": 26, "extra": 28}
CENTRAL_FIELDS = {"version": 6, "flags": 8, "method": 10, "crc": 16, "packed": 20, "size": 24, "name": 28, "extra": 30}
CENTRAL_FIELDS |= {"comment": 32, "disk": 34, "attributes": 38, "offset": 42}
END_FIELDS = {"disk": 4, "here": 8, "entries": 10, "size": 12, "offset": 16, "comment": 20}


def made_by_python() -> bytes:
    """A real archive: the app of the demo, as `zipfile` packs it."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(path for path in CALC.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            made.write(path, path.relative_to(CALC).as_posix())
    return target.getvalue()


REAL = made_by_python()


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A real archive with its structure bent: fields of its records changed, records doubled, dropped, moved."""
    data = bytearray(REAL)
    with zipfile.ZipFile(BytesIO(REAL)) as read:
        locals_, begins = [entry.header_offset for entry in read.infolist()], read.start_dir
    centrals = [at for at in range(begins, len(data) - 4) if data[at : at + 4] == b"PK\1\2"]
    end = data.rindex(b"PK\5\6")
    for _ in range(draw(st.integers(1, 3))):
        starts, fields = draw(
            st.sampled_from([(locals_, LOCAL_FIELDS), (centrals, CENTRAL_FIELDS), ([end], END_FIELDS)])
        )
        at = draw(st.sampled_from(starts)) + fields[draw(st.sampled_from(sorted(fields)))]
        before = int.from_bytes(data[at : at + 2], "little")
        near = st.sampled_from([before ^ 1, before ^ 8, before + 1, before - 1, before ^ 0x800])
        value = draw(near | st.sampled_from(INTERESTING)) % 0x10000
        data[at : at + 2] = value.to_bytes(2, "little")
    record = draw(st.sampled_from(centrals))
    length = next((at for at in [*centrals, end] if at > record), end) - record
    change = draw(st.sampled_from(["none", "none", "double", "drop", "name", "elsewhere"]))
    if change == "double":
        data[record:record] = data[record : record + length]
    elif change == "drop":
        del data[record : record + length]
    elif change == "name":
        name = draw(st.sampled_from([b"../../etc/x", b"/etc/passwd", b"Procfile", b"PROCFILE", b"a\\b", b"a/", b"\0"]))
        here = slice(record + CENTRAL.size, record + CENTRAL.size + len(name))
        data[here] = name
        start = draw(st.sampled_from(locals_)) + LOCAL.size
        data[start : start + len(name)] = name
    elif change == "elsewhere":
        piece = data[record : record + length]
        del data[record : record + length]
        data[locals_[-1] : locals_[-1]] = piece
    return bytes(data)


NAMES = st.one_of(
    st.lists(st.text("abcd", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
    st.text(st.sampled_from("ab/.\\\0:~Aé\u0301 "), max_size=12),
    st.lists(st.sampled_from(["a", "A", "b", "..", ".", "", "model", "Procfile"]), max_size=5).map("/".join),
    st.binary(max_size=6),
)
LIES = st.dictionaries(
    st.sampled_from(["crc", "packed", "size", "flags", "method", "version", "offset", "attributes", "disk"]),
    st.sampled_from([0, 1, 2, 8, 20, 0xFFFF]),
    max_size=2,
)
MODES = st.sampled_from([0, 0o644, 0o100644, 0o100755] * 4 + [0o104755, FOLDER, LINK, 0o020666])


@st.composite
def composed(draw: st.DrawFn) -> bytes:
    """An archive of entries with odd names and modes, some of whose headers lie."""
    items = [PROCFILE]
    for _ in range(draw(st.integers(0, 4))):
        lies = draw(LIES) if draw(st.integers(0, 3)) == 0 else {}
        item = Item(draw(NAMES), draw(st.binary(max_size=50)), draw(MODES), draw(st.sampled_from([0, 8])), central=lies)
        if draw(st.booleans()):
            item.local = {name: value for name, value in lies.items() if name not in ("offset", "attributes", "disk")}
        items.append(item)
    return archive(*items, zip64=draw(st.booleans())).getvalue()


def attempt(act: Callable[[], Result]) -> Result | None:
    """What the act returns, or None where it refuses, in a sentence that can be shown."""
    try:
        return act()
    except PackageRefused as refused:
        reason = refused.reason
    assert reason.isprintable()
    assert len(reason) < 500
    return None


def check(data: bytes) -> Manifest | None:
    """Inspects, and where it is accepted unpacks, checks what is on disk, and asks Python's reader for its opinion."""
    manifest = attempt(lambda: inspect(BytesIO(data), LIMITS))
    if manifest is None:
        leaves_nothing_or_everything(data)
        return None
    with tempfile.TemporaryDirectory() as place:
        release = Path(place) / "release"
        unpack(BytesIO(data), release, LIMITS)
        assert list(Path(place).iterdir()) == [release]
        assert manifest.unpacked_bytes <= LIMITS.max_unpacked_bytes
        files = [path for path in release.rglob("*") if not path.is_dir()]
        assert all(stat.S_ISREG(path.lstat().st_mode) and not path.lstat().st_mode & 0o7022 for path in files)
        content = {path.relative_to(release).as_posix(): path.read_bytes() for path in files}
    assert sorted(content) == sorted(entry.name for entry in list_files(BytesIO(data), 0, 1000, LIMITS))
    assert len(content) == manifest.files
    assert sum(map(len, content.values())) == manifest.unpacked_bytes
    assert content == says_python(data)
    return manifest


def leaves_nothing_or_everything(data: bytes) -> None:
    """Unpacks what is no package; an archive that is sound but for its Procfile is unpacked, any other not at all."""
    with tempfile.TemporaryDirectory() as place:
        release = Path(place) / "release"
        attempt(lambda: unpack(BytesIO(data), release, LIMITS))
        sound = attempt(
            lambda: [b"".join(read_content(BytesIO(data), each)) for each in read_entries(BytesIO(data), LIMITS)]
        )
        assert release.exists() == (sound is not None)


def says_python(data: bytes) -> dict[str, bytes]:
    """The content as `zipfile` sees it: two readers must not see two different packages."""
    with zipfile.ZipFile(BytesIO(data)) as other:
        seen = {entry: other.read(entry) for entry in other.infolist() if not entry.filename.endswith("/")}
    return {
        entry.filename if entry.flag_bits & UTF8 else entry.filename.encode("cp437").decode(): content
        for entry, content in seen.items()
    }


def test_the_seeds_are_accepted() -> None:
    assert all(check(seed) for seed in [*SEEDS, REAL])


@given(mutated())
@fuzz
def test_a_damaged_archive_is_refused_or_sound(data: bytes) -> None:
    check(data)


@given(bent())
@fuzz
def test_a_real_archive_that_was_bent_is_refused_or_sound(data: bytes) -> None:
    check(data)


@given(composed())
@fuzz
def test_an_odd_archive_is_refused_or_sound(data: bytes) -> None:
    check(data)


@given(st.binary(max_size=300))
@example(b"PK\5\6" + b"\0" * 18)
@example(b"PK\3\4")
@fuzz
def test_bytes_that_are_no_archive_are_refused(data: bytes) -> None:
    assert check(data) is None


@given(mutated(), st.integers(1, 60))
@settings(max_examples=60, deadline=5000)
def test_a_slow_source_makes_no_difference(data: bytes, step: int) -> None:
    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(step if size is None or size < 0 else min(size, step))

    assert outcome(Slow(data)) == outcome(BytesIO(data))


def outcome(source: BytesIO) -> Any:
    try:
        return [b"".join(read_content(source, placed)) for placed in read_entries(source, LIMITS)]
    except PackageRefused as refused:
        return refused.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
KEYS = ["name", "version", "Description", "runtimeVersion", "health_path", "runs_twice", "other"]
ITEM = st.dictionaries(st.sampled_from(["name", "type", "default", "command", "schedule", "interval"]), JSON)
SAID = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(KEYS, JSON)
    | {key: JSON | st.lists(ITEM, max_size=3) for key in ("constants", "scheduled_events")},
)


@given(SAID | JSON)
@fuzz
def test_any_metadata_is_read_or_refused(said: Any) -> None:
    metadata = attempt(lambda: read_metadata(json.dumps(said).encode()))
    if metadata is not None:
        manifest = Manifest(**vars(metadata), web="x")
        assert Manifest.from_dict(json.loads(json.dumps(manifest.as_dict()))) == manifest


@given(st.binary(max_size=200))
@fuzz
def test_any_bytes_as_metadata_are_read_or_refused(content: bytes) -> None:
    assert isinstance(attempt(lambda: read_metadata(content)), Metadata | None)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"web: {text}".encode()))
@fuzz
def test_any_bytes_as_procfile_are_read_or_refused(content: bytes) -> None:
    command = attempt(lambda: read_procfile(content))
    assert command is None or (command and not has_invisible(command))
