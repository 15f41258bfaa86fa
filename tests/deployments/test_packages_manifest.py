"""What a package says of itself: read strictly, refused in words, documented in docs/packages.md."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deployments.manifests import Manifest, read_metadata, read_procfile
from deployments.packages import PackageRefused, inspect
from deployments.schedules import schedule_problem
from deployments.variables import RESERVED, SET_BY_PORTAL, ValueType, name_problem, value_problem
from tests.deployments.zips import PROCFILE, Item, archive, package

FULL = {
    "name": "Shop",
    "version": "2.1.0",
    "description": "Sells things.\nWell.",
    "runtime_version": "Python 3.11",
    "constants": [
        {"name": "GREETING", "type": "string", "default": "Hello", "description": "The first line."},
        {"name": "PAGE_SIZE", "type": "integer", "default": 25},
        {"name": "VAT", "type": "decimal", "default": 0.21},
        {"name": "OPEN", "type": "boolean", "default": False},
        {"name": "API_TOKEN", "type": "secret"},
        {"name": "CITY"},
    ],
    "scheduled_events": [
        {"name": "Nightly report", "command": "python3 report.py", "schedule": "30 2 * * 1-5"},
        {"name": "Poll", "command": "./poll", "interval": 300},
    ],
    "health_path": "/healthz",
    "runs_twice": False,
    "something_else": {"left": ["alone"]},
}


def metadata(**values: Any) -> bytes:
    return json.dumps(values).encode()


def refusal(content: bytes) -> str:
    with pytest.raises(PackageRefused) as caught:
        read_metadata(content)
    assert caught.value.entry == "model/metadata.json"
    assert caught.value.reason.isprintable()
    return caught.value.reason


def test_it_reads_everything_a_package_can_say() -> None:
    manifest = inspect(package(Item("model/metadata.json", json.dumps(FULL).encode())))
    assert (manifest.name, manifest.version, manifest.runtime) == ("Shop", "2.1.0", "Python 3.11")
    assert manifest.description == "Sells things.\nWell."
    constants = {constant.name: (constant.type, constant.default) for constant in manifest.constants}
    assert constants == {
        "GREETING": ("string", "Hello"),
        "PAGE_SIZE": ("integer", "25"),
        "VAT": ("decimal", "0.21"),
        "OPEN": ("boolean", "false"),
        "API_TOKEN": ("secret", None),
        "CITY": ("string", None),
    }
    assert [(event.name, event.schedule, event.interval) for event in manifest.scheduled_events] == [
        ("Nightly report", "30 2 * * 1-5", None),
        ("Poll", None, 300),
    ]
    assert (manifest.health_path, manifest.runs_twice) == ("/healthz", False)


def test_it_comes_back_from_json_as_it_was() -> None:
    manifest = inspect(package(Item("model/metadata.json", json.dumps(FULL).encode())))
    assert Manifest.from_dict(json.loads(json.dumps(manifest.as_dict()))) == manifest
    assert json.loads(json.dumps(manifest.as_dict())) == manifest.as_dict()


def test_it_says_nothing_where_the_package_is_silent() -> None:
    manifest = inspect(package())
    assert (manifest.name, manifest.version, manifest.runtime, manifest.description) == (None, None, None, "")
    assert (manifest.constants, manifest.scheduled_events) == ((), ())
    assert (manifest.health_path, manifest.runs_twice) == ("/", True)


def test_it_reads_the_spelling_of_mendix() -> None:
    read = read_metadata(
        metadata(
            ProjectName="Shop", ModelVersion="1.0.0.7", RuntimeVersion="9.24.1", HealthPath="/ok", RunsTwice=False,
            Constants=[{"Name": "LIMIT", "Type": "Integer", "DefaultValue": "5"}], AdminUser="MxAdmin",
        )
    )  # fmt: skip
    assert (read.name, read.version, read.runtime) == ("Shop", "1.0.0.7", "9.24.1")
    assert (read.health_path, read.runs_twice, read.constants[0].default) == ("/ok", False, "5")


def test_the_example_in_the_documentation_is_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs/packages.md").read_text()
    example = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert example
    assert len(read_metadata(example[1].encode()).constants) >= 2
    missing = [name for name in (*SET_BY_PORTAL, *ValueType) if f"`{name}`" not in page]
    assert missing == []


@pytest.mark.parametrize(
    ("content", "command"),
    [
        (b"web: python3 app.py", "python3 app.py"),
        (b"# how it runs\r\n\r\nweb:   ./run --port $PORT \r\nworker: ./work\r\n", "./run --port $PORT"),
        (b"\xef\xbb\xbfweb: x\n", "x"),
        (b"release: migrate\nweb : a: b\n", "a: b"),
    ],
)
def test_it_reads_the_web_line(content: bytes, command: str) -> None:
    assert read_procfile(content) == command


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no “web:” line"),
        (b"worker: x\n# web: y\n", "no “web:” line"),
        (b"Web: x", "no “web:” line"),
        (b"web: a\nweb: b", "more than one"),
        (b"web:\n", "no command"),
        (b"web:   \t\n", "no command"),
        (b"web: a\0b", "control"),
        (b"web: a\rb", "control"),
        (b"web: a\x1b[2Jb", "control"),
        (b"web: a\xe2\x80\xaeb", "control"),
        (b"web: " + b"x" * 2001, "longer than 2,000"),
        (b"python3 app.py", "Line 1 of the Procfile"),
        (b"web: x\n\x1b[31m evil\n", "“\\x1b[31m evil”"),
        (b"web: \xff", "not UTF-8"),
    ],
)
def test_it_refuses_a_procfile_that_says_not_how_to_run(content: bytes, words: str) -> None:
    with pytest.raises(PackageRefused) as caught:
        read_procfile(content)
    assert words in caught.value.reason
    assert caught.value.entry == "Procfile"


def test_it_refuses_a_package_without_a_procfile_and_says_where_one_is() -> None:
    with pytest.raises(PackageRefused, match=r"no Procfile.*start the app\.$"):
        inspect(archive(Item("a")))
    with pytest.raises(PackageRefused, match="in the folder “shop”: pack the content"):
        inspect(archive(Item("shop/Procfile", PROCFILE.content)))


def test_it_refuses_files_about_the_package_that_are_too_large() -> None:
    with pytest.raises(PackageRefused, match="Procfile is larger than 64 KiB"):
        inspect(archive(Item("Procfile", b"#" * 65_537)))
    with pytest.raises(PackageRefused, match=r"metadata.json is larger than 1,024 KiB"):
        inspect(package(Item("model/metadata.json", b" " * 1_048_577)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{'a': 1}", "line 1, column 2"),
        (b"\xff", "not UTF-8"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b'{"x": NaN}', "NaN is not a number"),
        (b'{"x": 1, "x": 2}', "“x” is there twice"),
        (b'{"version": "1", "Version": "2"}', "spelled in two ways"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"name": "\\ud800"}', "control or invisible"),
        (b'{"\\ud800\\u001b": 1, "\\ud800\\u001b": 1}', "“\\ud800\\x1b” is there twice"),
    ],
)
def test_it_refuses_what_is_no_proper_json(content: bytes, words: str) -> None:
    assert words in refusal(content)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"version": 1.0}, "“version” of the content must be text in quotes"),
        ({"version": "1" * 61}, "longer than 60"),
        ({"name": "a\nb"}, "control"),
        ({"name": "x" * 101}, "longer than 100"),
        ({"description": "a\0b"}, "control"),
        ({"description": "x" * 5001}, "longer than 5,000"),
        ({"runs_twice": "no"}, "true or false"),
        ({"runs_twice": 0}, "true or false"),
        ({"constants": {}}, "must be a list"),
        ({"constants": 5}, "must be a list"),
        ({"constants": ["A"]}, "item 1 of constants must be an object"),
        ({"constants": [{}]}, "“name” of item 1 of constants is missing"),
        ({"constants": [{"name": "A"}] * 2}, "“A” is there twice"),
        ({"constants": [{"name": f"A{n}"} for n in range(501)]}, "more than 500"),
        ({"constants": [{"name": "A", "type": "date"}]}, "must be one of string, integer"),
        ({"constants": [{"name": "A", "type": 5}]}, "must be text"),
        ({"constants": [{"name": "A", "default": 5}]}, "is no string"),
        ({"constants": [{"name": "A", "default": [5]}]}, "must be text, a number"),
        ({"constants": [{"name": "A", "default": "a\0b"}]}, "no variable can hold"),
        ({"constants": [{"name": "A", "default": "x" * 10_001}]}, "longer than 10,000"),
        ({"constants": [{"name": "A", "type": "integer", "default": 2.5}]}, "a whole number"),
        ({"constants": [{"name": "A", "type": "integer", "default": "٣"}]}, "a whole number"),
        ({"constants": [{"name": "A", "type": "integer", "default": True}]}, "is no integer"),
        ({"constants": [{"name": "A", "type": "integer", "default": 10**20}]}, "a whole number"),
        ({"constants": [{"name": "A", "type": "decimal", "default": 1e300}]}, "a number, such as 2.5"),
        ({"constants": [{"name": "A", "type": "boolean", "default": "yes"}]}, "true or false"),
        ({"constants": [{"name": "A", "type": "boolean", "default": 1}]}, "is no boolean"),
        ({"constants": [{"name": "A", "type": "secret", "default": "hunter2"}]}, "no place for a secret"),
        ({"scheduled_events": [{"name": "a", "command": "x"}]}, "either a “schedule” or an “interval”"),
        ({"scheduled_events": [{"name": "a", "command": "x", "schedule": "* * * * *", "interval": 60}]}, "either"),
        ({"scheduled_events": [{"name": "a", "command": "x", "schedule": "daily"}]}, "five fields"),
        ({"scheduled_events": [{"name": "a", "command": "x", "interval": 59}]}, "from 60 to"),
        ({"scheduled_events": [{"name": "a", "command": "x", "interval": 6e1}]}, "whole number"),
        ({"scheduled_events": [{"name": "a", "command": "x", "interval": "60"}]}, "whole number"),
        ({"scheduled_events": [{"name": "a", "interval": 60}]}, "“command” of item 1 of scheduled_events is missing"),
        ({"scheduled_events": [{"name": "a", "command": "x\ny", "interval": 60}]}, "control"),
        ({"scheduled_events": [{"name": "-a", "command": "x", "interval": 60}]}, "letters A to Z"),
        ({"scheduled_events": [{"name": "a", "command": "x", "interval": 60}] * 2}, "event “a” is there twice"),
    ],
)
def test_it_refuses_wrong_values_in_words(values: dict[str, Any], words: str) -> None:
    assert words in refusal(metadata(**values))


@pytest.mark.parametrize("name", ["lower", "1A", "A-B", "A B", "", "A\n", "Ä", "A=B", "My.Constant", "A" * 101])
def test_it_refuses_names_that_are_no_variables(name: str) -> None:
    assert name_problem(name)


@pytest.mark.parametrize(
    "name",
    ["PORT", "DATA_DIR", "DATABASE_URL", "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP",
     "IFS", "BASH_ENV", "NODE_OPTIONS", "GLIBC_TUNABLES", "PORTAL_VAR", *sorted(RESERVED)],
)  # fmt: skip
def test_it_refuses_reserved_names(name: str) -> None:
    assert name_problem(name)
    assert name in refusal(metadata(constants=[{"name": name}])) or name == "_"


def test_it_accepts_ordinary_names() -> None:
    assert [name_problem(name) for name in ("A", "_A1", "PORTS", "MY_PATH", "OLD_LD_X", "TZ", "LANG")] == [None] * 7


@pytest.mark.parametrize("path", ["/", "/healthz", "/a/b/", "/~me/x.html", "/caf%C3%A9", "/-/ready", "/..a"])
def test_it_accepts_paths_for_the_health_check(path: str) -> None:
    assert read_metadata(metadata(health_path=path)).health_path == path


@pytest.mark.parametrize(
    "path",
    ["healthz", "//evil.example", "/a//b", "/a b", "/a?b", "/a#b", "/é", "/a\\b", "http://x/", "/../x", "/a/./b",
     "/a/..", "/" + "x" * 200, "/a@b\r\nHost: x"],
)  # fmt: skip
def test_it_refuses_odd_paths_for_the_health_check(path: str) -> None:
    assert "health_path" in refusal(metadata(health_path=path))


@pytest.mark.parametrize(
    "schedule", ["* * * * *", "0 0 1 1 7", "*/15 8-18/2 * * 1-5", "0,30 2 31 12 0,6", "59 23 * * *"]
)
def test_it_accepts_schedules(schedule: str) -> None:
    assert schedule_problem(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * *", "* * * * * *", "*  * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
     "5-1 * * * *", "*/0 * * * *", "1/0 * * * *", ", * * * *", "a * * * *", "-1 * * * *", "* * * * mon", "٣ * * * *",
     "*/99 * * * *", "@daily", "* * * * *\n", "1," * 150 + "1 * * * *"],
)  # fmt: skip
def test_it_refuses_what_is_no_schedule(schedule: str) -> None:
    assert schedule_problem(schedule)


def test_it_judges_values_by_their_type() -> None:
    assert value_problem(ValueType.STRING, "any\ntext") is None
    assert value_problem(ValueType.SECRET, "any text") is None
    assert value_problem(ValueType.INTEGER, "-12") is None
    assert value_problem(ValueType.INTEGER, "12\n") is not None
    assert value_problem(ValueType.DECIMAL, "1.50") is None
    assert value_problem(ValueType.DECIMAL, "1,5") is not None
    assert value_problem(ValueType.BOOLEAN, "True") is not None
    assert value_problem(ValueType.STRING, "\ud800") is not None
