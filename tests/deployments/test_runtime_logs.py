"""What a package prints stays within bounds, however much that is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.runtimes.logs import BURST, LINE, RATE, Bounds

END = b" lines were dropped here: they came faster than a log can take.\n"


def kept(*pieces: bytes, seconds: float = 0.0) -> bytes:
    """Give what is kept of pieces that come one after the other, `seconds` apart."""
    bounds = Bounds(0)
    text = b"".join(bounds.keep(piece, number * seconds) for number, piece in enumerate(pieces))
    return text + bounds.end()


def test_an_ordinary_log_is_kept_as_it_is() -> None:
    text = b"one\n\ntwo \xff\x1b[31m\nno end"
    assert kept(text) == text


@given(st.lists(st.sampled_from([b"a", b"\n", b"bc", b"\n\n", b"d\ne"]), max_size=30))
def test_how_it_comes_in_pieces_does_not_matter(pieces: list[bytes]) -> None:
    assert kept(*pieces) == b"".join(pieces)


def test_a_long_line_is_cut_and_says_so() -> None:
    piece = b"x" * 65536
    said = kept(b"before\n", *[piece] * 100, b"y\nafter\n")
    assert said == b"before\n" + b"x" * LINE + f" … cut, {65536 * 100 + 1 - LINE} bytes more\nafter\n".encode()


def test_a_line_without_an_end_says_that_it_was_cut() -> None:
    assert kept(b"x" * (LINE + 5)) == b"x" * LINE + " … cut, 5 bytes more\n".encode()


def test_what_comes_too_fast_is_dropped_and_counted() -> None:
    piece = (b"x" * 63 + b"\n") * 1024
    pieces = 64 * 1024 * 1024 // len(piece)
    said = kept(*[piece] * pieces)
    assert len(said) < BURST + 200
    dropped = int(said[said.rindex("…".encode()) :].split()[1])
    assert said.endswith(END)
    assert said.count(b"\n") - 1 + dropped == pieces * 1024


def test_it_goes_on_when_the_flood_is_over() -> None:
    piece = (b"x" * 63 + b"\n") * 1024
    bounds = Bounds(0)
    for _ in range(200):
        bounds.keep(piece, 0)
    assert bounds.keep(b"quiet again\n", 3).endswith(END + b"quiet again\n")


def test_in_the_long_run_no_more_is_kept_than_the_rate_allows() -> None:
    piece = (b"x" * 63 + b"\n") * 1024
    said = kept(*[piece] * 2000, seconds=0.01)
    assert len(said) < (BURST + 20 * RATE) * 1.01
    assert len(said) > 15 * RATE


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3 * LINE), max_size=8), st.integers(64, 8192))
def test_every_line_is_kept_cut_or_counted(lengths: list[int], size: int) -> None:
    text = b"".join(b"x" * length + b"\n" for length in lengths)
    said = kept(*[text[begin : begin + size] for begin in range(0, len(text), size)])
    assert said.count(b"\n") == len(lengths)
    assert said.count("… cut".encode()) == sum(length > LINE for length in lengths)
