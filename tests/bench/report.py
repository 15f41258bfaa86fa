"""What a person reads: a line for each measurement, its goal beside it, and a sentence at the end."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True)
class Line:
    measured: str
    floor: str
    portal: str
    result: str
    goal: str
    met: bool


HEADINGS = ("", "floor", "portal", "result", "goal", "")


def table(lines: Sequence[Line]) -> str:
    rows = [HEADINGS, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(fields(Line)))]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in rows)


def sentence(lines: Sequence[Line]) -> str:
    missed = [line.measured for line in lines if not line.met]
    if not missed:
        return f"All {len(lines)} goals are met."
    return f"{len(missed)} of {len(lines)} goals missed: {'; '.join(missed)}."


def busy() -> str:
    """Say so when other work takes the processors: wall times are too long then and their differences chance."""
    load, processors = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load <= processors:
        return ""
    return f"This machine is busy (load {load:.1f} on {processors} processors): trust CPU times, not the others."


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


def seconds(length: float) -> str:
    return f"{length:.2f} s"


def _cells(line: Line) -> tuple[str, ...]:
    *texts, met = astuple(line)
    return (*texts, "met" if met else "missed")


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Words to the left, numbers to the right."""
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.rjust(width) if column in (1, 2) else text.ljust(width)
