"""What no file of the repository may hold."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Spelled apart, so that this file does not find itself.
REGISTRIES = re.compile(
    "|".join((r"py" r"pi\.org", r"python" r"hosted", r"npm" r"js\.(org|com)", r"--(extra-)?" r"index-url"))
)
INLINE = re.compile(r"""\sstyle=["']|<style\b|\son[a-z]+=["']|<script(?![^>]*\ssrc=)|javascript:""", re.IGNORECASE)
ELSEWHERE = re.compile(r"""(src|href|action)=["']?(https?:)?//""", re.IGNORECASE)


def files(*patterns: str) -> list[Path]:
    """Give the files that are, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def holding(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert holding(REGISTRIES, files()) == []


def test_no_page_has_script_or_style_of_its_own() -> None:
    """The content security policy forbids both; e-mails are not pages."""
    pages = [path for path in files("templates") if "emails" not in path.parts]
    assert pages
    assert holding(INLINE, pages) == []


def test_no_page_loads_anything_from_elsewhere() -> None:
    pages = [path for path in files("templates") if "emails" not in path.parts]
    assert holding(ELSEWHERE, pages) == []


def test_every_locked_package_has_hashes_and_no_address() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / lock).read_text()
        entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
        assert len(entries) > 20
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert "://" not in text


def test_what_runs_is_what_is_tested() -> None:
    def versions(lock: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(), re.MULTILINE))

    assert versions("requirements.txt") <= versions("requirements-dev.txt")


@pytest.mark.parametrize(
    "line",
    [
        '<p style="color: red">',
        "<style>",
        '<a onclick="go()">',
        "<script>",
        '<script type="module">',
        '<a href="javascript:x">',
    ],
)
def test_it_notices_what_is_inline(line: str) -> None:
    assert INLINE.search(line)


def test_it_lets_a_script_file_pass() -> None:
    assert not INLINE.search('<script type="module" src="/static/portal.js" defer></script>')
