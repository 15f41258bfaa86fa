"""Reading a log for people: how much, from where, and only what is looked for."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.monitoring import logs
from deployments.monitoring.levels import Level
from deployments.monitoring.logs import SHOWN, Excerpt, Reader, Wanted
from tests.cast import Cast
from tests.deployments.monitoring.written import empty_logs, write

ALL = Wanted()


@pytest.fixture(autouse=True)
def _emptied(cast: Cast) -> Iterator[None]:
    with empty_logs(cast.test):
        yield


def texts(excerpt: Excerpt) -> list[str]:
    return [line.text for line in excerpt.lines]


def older(cast: Cast, wanted: Wanted) -> list[str]:
    reader = Reader(cast.test, wanted)
    excerpt = reader.last()
    found = texts(excerpt)
    while excerpt.older:
        excerpt = reader.last(excerpt.begin)
        found = texts(excerpt) + found
    return found


def newer(cast: Cast, wanted: Wanted, after: str) -> list[str]:
    reader = Reader(cast.test, wanted)
    found: list[str] = []
    while True:
        excerpt = reader.next(after)
        found += texts(excerpt)
        if not excerpt.newer:
            return found
        after = excerpt.end


def test_a_line_is_taken_apart(cast: Cast) -> None:
    write(cast.test, "ERROR It broke.\r", instance=18)
    (line,) = Reader(cast.test, ALL).last().lines
    assert (line.instance, line.text, line.level) == ("18", "ERROR It broke.", Level.ERROR)
    assert line.at is not None


@pytest.mark.parametrize("wanted", [ALL, Wanted(words="LINE"), Wanted(Level.INFO)])
@pytest.mark.parametrize("count", [0, 1, SHOWN, SHOWN + 1, 5 * SHOWN + 7])
def test_page_by_page_every_line_is_seen_once(cast: Cast, wanted: Wanted, count: int) -> None:
    every = [f"INFO line {number} " + "x" * (number % 97 * 9) for number in range(count)]
    write(cast.test, *every)
    assert older(cast, wanted) == every
    first = Reader(cast.test, wanted).last()
    while first.older:
        first = Reader(cast.test, wanted).last(first.begin)
    assert newer(cast, wanted, first.begin or "") == every


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(["INFO a", "ERROR b", "  in c", "plain", "DEBUG d"]), max_size=80),
    most=st.integers(150, 900),
)
def test_what_is_found_does_not_depend_on_how_much_is_read_at_once(cast: Cast, kinds: list[str], most: int) -> None:
    wanted = Wanted(Level.ERROR)
    with empty_logs(cast.test), pytest.MonkeyPatch.context() as patched:
        write(cast.test, *kinds)
        patched.setattr(logs, "READ", most)
        patched.setattr(logs, "READ_MORE", most)
        kept, belongs = [], False
        for text in kinds:
            belongs = text.startswith("ERROR") or (belongs and text.startswith(" "))
            kept += [text] * belongs
        assert older(cast, wanted) == kept


def test_a_stack_trace_stays_with_its_error_of_the_same_instance(cast: Cast) -> None:
    write(cast.test, "ERROR It broke.", "Traceback (most recent call last):", "  File 'a'")
    write(cast.test, "  of another", instance=18)
    write(cast.test, "KeyError: 'a'", "", "Listening again", "  indented")
    wanted = ["ERROR It broke.", "Traceback (most recent call last):", "  File 'a'", "KeyError: 'a'", ""]
    assert texts(Reader(cast.test, Wanted(Level.ERROR)).last()) == wanted
    assert texts(Reader(cast.test, Wanted(Level.ERROR, "keyerror")).last()) == ["KeyError: 'a'"]


def test_text_is_found_in_any_case_and_only_in_what_the_app_wrote(cast: Cast) -> None:
    write(cast.test, "Grüße von Zoë", "other 20")
    assert texts(Reader(cast.test, Wanted(words="GRÜSSE".replace("SS", "ß"))).last()) == ["Grüße von Zoë"]
    assert texts(Reader(cast.test, Wanted(words="ZOË")).last()) == ["Grüße von Zoë"]
    assert texts(Reader(cast.test, Wanted(words="20")).last()) == ["other 20"]


def test_following_goes_on_after_what_was_seen(cast: Cast) -> None:
    write(cast.test, "one")
    reader = Reader(cast.test, ALL)
    end = reader.last().end
    assert texts(reader.follow(end)) == []
    write(cast.test, "two", "three")
    excerpt = reader.follow(end)
    assert (texts(excerpt), excerpt.left_out, excerpt.crowded) == (["two", "three"], 0, 0)
    assert texts(reader.follow(excerpt.end)) == []


def test_following_an_error_brings_the_trace_that_comes_later(cast: Cast) -> None:
    reader = Reader(cast.test, Wanted(Level.ERROR))
    write(cast.test, "ERROR It broke.")
    end = reader.last().end
    write(cast.test, "  File 'a'", "INFO fine")
    assert texts(reader.follow(end)) == ["  File 'a'"]


def test_what_is_too_much_to_follow_is_left_out_and_counted(cast: Cast) -> None:
    reader = Reader(cast.test, ALL)
    write(cast.test, "begin")
    end = reader.last().end
    write(cast.test, *(f"line {number}" for number in range(300)))
    excerpt = reader.follow(end)
    assert (len(excerpt.lines), excerpt.crowded, excerpt.left_out) == (SHOWN, 100, 0)
    assert texts(excerpt)[-1] == "line 299"
    end = excerpt.end
    write(cast.test, *("x" * 500 for _ in range(1000)), "last")
    excerpt = reader.follow(end)
    assert texts(excerpt)[-1] == "last"
    assert excerpt.left_out > 400_000
    assert texts(reader.follow(excerpt.end)) == []


def test_looking_for_something_rare_ends_and_goes_on_from_there(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SEARCHED", 100_000)
    monkeypatch.setattr(logs, "READ_MORE", 50_000)
    write(cast.test, "the needle", *("hay " * 50 for _ in range(2000)))
    excerpt = Reader(cast.test, Wanted(words="needle")).last()
    assert (excerpt.lines, excerpt.searched, excerpt.older) == ([], True, True)
    assert older(cast, Wanted(words="needle")) == ["the needle"]


def test_a_line_that_is_not_one_is_shown_as_it_is(cast: Cast) -> None:
    from tests.deployments.monitoring.written import folder_of

    write(cast.test, "one")
    (path,) = folder_of(cast.test).iterdir()
    path.write_bytes(b"torn\n2026-05-03T12:00:00 1 no zone\n\xff\xfe 1 x\n\n")
    assert [(line.at, line.instance) for line in Reader(cast.test, ALL).last().lines] == [(None, "")] * 3


def test_ten_gigabytes_open_at_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read for the last lines, and for a look at what came since, does not grow with the log."""
    from tests.deployments.monitoring.written import folder_of

    write(cast.test, *(f"line {number}" for number in range(300)))
    (path,) = folder_of(cast.test).iterdir()
    end = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(10 * 1024**3)
        file.write(b"\n" + end)
    import os

    read, real = [0], os.pread

    def counted(file: int, length: int, offset: int) -> bytes:
        text = real(file, length, offset)
        read[0] += len(text)
        return text

    monkeypatch.setattr(os, "pread", counted)
    excerpt = Reader(cast.test, ALL).last()
    assert texts(excerpt)[-1] == "line 299"
    Reader(cast.test, ALL).follow(excerpt.end)
    assert read[0] < 4 * logs.READ
    Reader(cast.test, Wanted(words="nowhere")).last()
    assert read[0] < logs.SEARCHED + logs.READ_MORE + 8 * logs.READ
