"""CSV for spreadsheets: what people typed comes back whole, and nothing in it runs."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from accounts.actor import Actor
from accounts.models import Activity, User
from environments import flows
from environments.csv_export import defused, stream
from environments.models import Membership, NodePermission, Role
from environments.permission_csv import HEADER
from environments.permissions import Permission
from tests.cast import Cast, make_person, signed_in, unlocked

PERMISSIONS = "/apps/calc/permissions.csv"


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


def exported(cast: Cast) -> list[dict[str, str]]:
    """Download the permissions as Alice and read them back."""
    answer = unlocked(cast.alice).get(PERMISSIONS)
    assert answer.status_code == 200
    header, *rows = read_back(answer.getvalue())
    assert header == list(HEADER)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_it_names_everybody_on_every_environment_with_every_permission(cast: Cast) -> None:
    flows.add_member(cast.app, Actor(cast.alice), make_person("dora"), Role.objects.get(name="Product Owner"))
    cast.grant(cast.bob, cast.production, Permission.TRANSPORT)
    cast.grant(cast.bob, cast.test, Permission.BACKUPS)
    NodePermission.objects.filter(permission="backups").update(granted=False)
    NodePermission.objects.update(set_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    rows = exported(cast)
    assert len(rows) == 3 * 3 * 6
    assert [row["Name"] for row in rows[::18]] == ["Alice", "Bob", "Dora"]
    granted = {(r["Name"], r["Environment"], r["Permission"]): (r["Granted"], r["Since"], r["By"]) for r in rows}
    at = "2026-03-01T23:30:00+00:00"
    assert granted["Bob", "Production", "Transport Rights"] == ("yes", at, "Alice")
    assert granted["Bob", "Test", "Access to Backups"] == ("no", at, "Alice")
    assert granted["Bob", "Test", "API Rights"] == ("yes", "", "default")
    assert granted["Bob", "Production", "API Rights"] == ("no", "", "default")
    assert granted["Alice", "Production", "Manage Permissions"] == ("yes", "", "Technical Contact")
    assert granted["Alice", "Production", "API Rights"] == ("no", "", "default")
    assert {value for key, (value, *_) in granted.items() if key[0] == "Dora"} == {"no"}
    bob, dora = rows[18], rows[-1]
    assert (bob["Role"], bob["Deploy permission"], bob["Technical Contact"]) == ("Business Engineer", "yes", "no")
    assert (dora["Role"], dora["Deploy permission"], dora["E-mail"]) == ("Product Owner", "no", "dora@example.org")
    assert {row["Environment"]: row["Production"] for row in rows}["Production"] == "yes"


def test_names_with_quotes_line_breaks_and_formulas_are_read_back_and_do_nothing(cast: Cast) -> None:
    User.objects.filter(pk=cast.bob.pk).update(name='=HYPERLINK("http://x","Bob")\nBrown; Alice, too')
    Role.objects.filter(name="Business Engineer").update(name="@SUM(1)")
    rows = exported(cast)
    names = {row["Name"] for row in rows}
    assert names == {"Alice", '\'=HYPERLINK("http://x","Bob")\nBrown; Alice, too'}
    assert {row["Role"] for row in rows} == {"SCRUM Master", "'@SUM(1)"}
    assert len(rows) == 36


def test_it_is_recorded_and_needs_the_window(cast: Cast) -> None:
    assert signed_in(cast.alice).get(PERMISSIONS).headers["Location"].startswith("/authenticator/")
    assert not Activity.objects.filter(act="permissions.exported").exists()
    alice = unlocked(cast.alice)
    alice.head(PERMISSIONS)
    assert not Activity.objects.filter(act="permissions.exported").exists(), "nothing was handed out"
    answer = alice.get(PERMISSIONS)
    entry = Activity.objects.get(act="permissions.exported")
    assert (entry.actor_name, entry.target, entry.app_name) == ("Alice", "Calc", "Calc")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="calc-permissions.csv"'
    assert answer.headers["Cache-Control"] == "no-store"


def test_it_is_for_the_technical_contact_alone(cast: Cast) -> None:
    cast.grant(cast.bob, cast.production, Permission.MANAGE)
    assert unlocked(cast.bob).get(PERMISSIONS).status_code == 403
    assert unlocked(cast.charlie).get(PERMISSIONS).status_code == 404


def test_a_thousand_members_are_sent_piece_by_piece(cast: Cast) -> None:
    people = User.objects.bulk_create(User(email=f"m{n}@example.org", name=f"M {n}", password="!") for n in range(1000))
    role = Role.objects.get(name="Business Engineer")
    Membership.objects.bulk_create(Membership(app=cast.app, user=person, role=role) for person in people)
    answer = unlocked(cast.alice).get(PERMISSIONS)
    chunks = [len(chunk) for chunk in answer]
    assert max(chunks) < 64 * 1024
    assert sum(chunks) > 1_000_000
