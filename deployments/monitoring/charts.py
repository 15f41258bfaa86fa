"""Draws lines over time as SVG paths. Pure: numbers in, texts out; the look is the style sheet's.

A picture is 1000 by 100 units and stretched to the room there is, so that what is written stands beside it as text.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 100
LEAST = 1e-9  # what is less is nothing
STEPS = (1, 2, 2.5, 5, 10)
DASH = 4  # units to each side of a value that stands alone, which would be a speck else


@dataclass(frozen=True)
class Line:
    """One line: its name, its values at even distances (None is a gap), the kind that its look goes by."""

    name: str
    values: Sequence[float | None]
    kind: str = "a"


@dataclass(frozen=True)
class Path:
    name: str
    kind: str
    path: str


@dataclass(frozen=True)
class Drawing:
    """What a template draws; `ticks` are the values beside the picture from top to bottom, in words."""

    paths: list[Path]
    ticks: list[str]


def draw(lines: Sequence[Line], words: Callable[[float], str], base: float = 10) -> Drawing:
    """Draw lines in one picture from zero to a round number above all of them.

    `words` writes a value; `base` is 1024 for bytes, whose round numbers are others. A line that is zero all the time
    is not drawn beside others: the colour of errors would run along the bottom where there are none.
    """
    most = max((value for line in lines for value in line.values if value is not None), default=0.0)
    top = ceiling(most, base)
    drawn = [line for line in lines if any(line.values)] or lines[:1]
    paths = [Path(line.name, line.kind, path_of(line.values, top) if line in drawn else "") for line in lines]
    return Drawing(paths, [words(top), words(top / 2), words(0)])


def ceiling(value: float, base: float = 10) -> float:
    """Give the smallest round number that is not below a value."""
    if not LEAST < value < math.inf:
        return 1.0
    if base == 1024:
        unit = 1024.0 ** max(0, int(math.log(value, 1024)))
        return ceiling(value / unit) * unit
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in STEPS if step * unit >= value * (1 - 1e-9))


def path_of(values: Sequence[float | None], top: float) -> str:
    """Give an SVG path in whole units: a line through the values, broken where there is none; one alone is a dash."""
    wide, high = WIDTH / (len(values) or 1), HEIGHT / top
    parts: list[str] = []
    before: tuple[int, int] | None = None
    for place, value in enumerate(values):
        if value is None:
            before = None
            continue
        x, y = round(wide * (place + 0.5)), HEIGHT - round(high * value)
        if before is None:
            alone = place + 1 == len(values) or values[place + 1] is None
            parts.append(f"M{x - DASH} {y}h{2 * DASH}" if alone else f"M{x} {y}")
        else:
            parts.append(f"l{x - before[0]} {y - before[1]}")
        before = x, y
    return "".join(parts).replace(" -", "-")
