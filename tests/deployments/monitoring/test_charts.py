"""Lines as SVG paths, and the numbers they are drawn from."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.monitoring.charts import DASH, HEIGHT, WIDTH, Line, ceiling, draw, path_of
from deployments.monitoring.metrics import Series, Stretch
from deployments.runtimes.base import QUICKER_THAN
from tests.deployments.monitoring.test_log_store import NOON

MOVE = re.compile(r"([Ml])(-?\d+)(?: |(?=-))(-?\d+)(h8)?")


def points(path: str) -> list[list[tuple[int, int]]]:
    """Read a path back: the pieces of the line, each with its points."""
    pieces: list[list[tuple[int, int]]] = []
    assert MOVE.sub("", path) == ""
    for kind, x, y, alone in MOVE.findall(path):
        if kind == "M":
            pieces.append([(int(x) + (DASH if alone else 0), int(y))])
        else:
            pieces[-1].append((pieces[-1][-1][0] + int(x), pieces[-1][-1][1] + int(y)))
    return pieces


def test_a_line_rises_with_its_values_and_breaks_where_there_is_none() -> None:
    assert points(path_of([0, 5, None, 10, None], 10)) == [[(100, 100), (300, 50)], [(700, 0)]]
    assert path_of([None, 10], 10) == "M746 0h8"
    assert path_of([None, None], 1) == ""


@given(st.lists(st.none() | st.floats(0, 1e12), max_size=200))
def test_every_value_is_where_it_belongs(values: list[float | None]) -> None:
    top = ceiling(max((value for value in values if value is not None), default=0))
    drawn = [point for piece in points(path_of(values, top)) for point in piece]
    there = [(place, value) for place, value in enumerate(values) if value is not None]
    assert len(drawn) == len(there)
    for (x, y), (place, value) in zip(drawn, there, strict=True):
        assert abs(x - WIDTH * (place + 0.5) / len(values)) <= 0.51
        assert abs(y - HEIGHT * (1 - value / top)) <= 0.51


@given(st.floats(1e-6, 1e15))
def test_a_ceiling_is_round_and_near(value: float) -> None:
    for base in (10, 1024):
        top = ceiling(value, base)
        assert value * (1 - 1e-6) <= top <= 2.6 * value


@pytest.mark.parametrize(
    ("value", "base", "top"),
    [
        (0, 10, 1),
        (-1, 10, 1),
        (math.inf, 10, 1),
        (math.nan, 10, 1),
        (7, 10, 10),
        (0.021, 10, 0.025),
        (300 * 1024**2, 1024, 500 * 1024**2),
    ],
)
def test_a_ceiling_that_people_would_choose(value: float, base: float, top: float) -> None:
    assert ceiling(value, base) == pytest.approx(top)


def test_all_lines_of_a_picture_have_one_measure() -> None:
    drawing = draw([Line("a", [1, 2]), Line("b", [None, 8], "b")], str)
    assert drawing.ticks == ["10.0", "5.0", "0"]
    assert [(path.name, path.kind) for path in drawing.paths] == [("a", "a"), ("b", "b")]
    assert points(drawing.paths[0].path)[0][1] == (750, 80)


@pytest.mark.parametrize(("first", "drawn"), [([0, 1], [True, True, False]), ([0, 0], [False, True, False])])
def test_a_line_of_nothing_is_not_drawn_beside_others(first: list[float], drawn: list[bool]) -> None:
    drawing = draw([Line("2xx", first), Line("4xx", [0, 3], "c"), Line("5xx", [0, None], "d")], str)
    assert [bool(path.path) for path in drawing.paths] == drawn


def test_where_there_is_nothing_at_all_one_line_says_so() -> None:
    drawing = draw([Line("2xx", [0, 0]), Line("5xx", [0, 0], "d")], str)
    assert [bool(path.path) for path in drawing.paths] == [True, False]


def test_what_is_counted_now_and_then_goes_on_in_between() -> None:
    there = Stretch(storage=7)
    series = Series(NOON, 60, [Stretch(), there, Stretch(), None, Stretch(), Stretch(storage=9)])
    assert series.carried(lambda stretch: stretch.storage) == [None, 7, 7, None, 7, 9]


def test_stretches_add_up_to_longer_ones() -> None:
    first = Stretch(2, 30, 3, 200, 150, 10, 1, 2, 1, 0.4, 0.3, [0, 1, 0, 0, 0], length=60)
    second = Stretch(1, 15, 12, 400, 400, None, 0, 1, 0, 0.2, 0.2, [0, 3, 0, 0, 1], length=60)
    both = Series(NOON, 60, [first, None, None, second, None, None]).grouped(4)
    (one, none) = both.stretches
    assert none is None
    assert one is not None
    assert (both.span, both.moment(1)) == (240, NOON.replace(minute=4))
    assert one.processor_share == pytest.approx(100 * 15 / 45)
    assert (one.memory_mean, one.memory_most) == (200, 400)
    assert (one.storage, one.restarts, one.failures) == (10, 1, 1)
    assert [one.requests(status) for status in (1, 2, 5)] == [0, 2, 0.5]
    assert one.check_mean == pytest.approx(0.2)
    assert one.check_worst == 0.3


def test_nothing_measured_is_no_number() -> None:
    empty = Stretch()
    assert [
        empty.processor_share,
        empty.memory_mean,
        empty.memory_most,
        empty.check_mean,
        empty.answered_within(0.5),
    ] == [None] * 5


def latencies(**counts: int) -> Stretch:
    found = Stretch()
    for place, count in counts.items():
        found.latencies[int(place[1:])] = count
    return found


def test_within_which_time_requests_were_answered() -> None:
    assert latencies(_3=10).answered_within(0.5) == pytest.approx(0.0075)
    mixed = latencies(_0=90, _9=10)
    assert mixed.answered_within(0.5) < 0.001  # type: ignore[operator]
    assert 0.5 < mixed.answered_within(0.95) < 1.0  # type: ignore[operator]
    assert latencies(_14=1).answered_within(0.95) == QUICKER_THAN[-1]
    assert latencies(_3=1).answered_within(1.0) == 0.01
