"""CSV for spreadsheets: what people typed comes back whole, and nothing in it runs."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from environments.csv_export import defused, stream


def read_back(content: bytes) -> list[list[str]]:
    """Read a file as an auditor's program does: strictly."""
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


@pytest.mark.parametrize(
    "typed", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "\x00=1", " =1", "＝1", "=cmd|' /C calc'!A0"]
)
def test_a_formula_gets_an_apostrophe(typed: str) -> None:
    cell = defused(typed)
    assert cell[0] in "'^"
    assert cell.lstrip("'^")[:1] not in ("=", "+", "-") or cell.startswith("'")


@pytest.mark.parametrize("separator", [";", "\t", "|", ",", "\n"])
def test_nor_does_one_begin_where_a_spreadsheet_with_another_separator_begins_a_cell(separator: str) -> None:
    assert defused(f"Bob{separator}=1+1") == f"Bob{separator}'=1+1"


@pytest.mark.parametrize("typed", ["Zoë O’Neill", 'Bob "the Builder"', "a-b", "1.2.0+build", "x = y", "b@example.org"])
def test_what_is_no_formula_stays_as_it_is(typed: str) -> None:
    assert defused(typed) == typed


def test_paragraphs_stay_paragraphs() -> None:
    assert defused("first\n\nsecond") == "first\n\nsecond"


def test_control_characters_are_shown_as_on_the_pages() -> None:
    assert defused("a\x1b[31mb\x00") == "a^[[31mb^@"


def test_what_was_written_is_read_back() -> None:
    rows = [["Zoë", 'says "no", then', "two\nlines\r\nor three"], ["", "a,b;c", "'"]]
    answer = stream("x.csv", ["A", "B", "C"], rows)
    content = answer.getvalue()
    assert read_back(content) == [["A", "B", "C"], ["Zoë", 'says "no", then', "two\nlines\nor three"], rows[1]]
    assert content.startswith(b"\xef\xbb\xbfA,B,C\r\n")


def test_times_are_utc_and_booleans_words() -> None:
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert read_back(stream("x.csv", ["At"], [[at, True, False, None, -3]]).getvalue())[1] == [
        "2026-02-28T23:30:00+00:00",
        "yes",
        "no",
        "",
        "-3",
    ]
    assert at.astimezone(UTC).day == 28


def test_it_is_sent_while_it_is_read_and_kept_by_nobody() -> None:
    asked = 0

    def rows() -> Iterator[list[object]]:
        nonlocal asked
        for asked in range(1, 100_001):
            yield [asked]

    answer = stream("calc.csv", ["N"], rows())
    assert asked == 0, "nothing is read before it is sent"
    chunks = iter(answer)
    assert len(b"".join(next(chunks) for _ in range(3))) > 500
    assert asked < 1000
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="calc.csv"'
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
