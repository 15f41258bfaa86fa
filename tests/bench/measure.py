"""Takes times of two things in turns, so that what else the machine does hits both alike."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

Act = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Medians over all rounds, in seconds for one call."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Contender:
    """What is measured; `calls` of it make one round. `cpu` gives the CPU seconds used so far where it works."""

    act: Act
    calls: int
    before: Act = lambda: None
    cpu: Callable[[], float] = time.process_time


def in_turns(rounds: int, contenders: Sequence[Contender]) -> list[Times]:
    """Measure each contender once a round; gives the medians in the same order."""
    taken: list[list[Times]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, times in zip(contenders, taken, strict=True):
            contender.before()
            contender.act()  # what only the first call after a change costs is not measured
            times.append(_one_round(contender))
    return [Times(median(t.wall for t in times), median(t.cpu for t in times)) for times in taken]


def _one_round(contender: Contender) -> Times:
    gc.collect()
    wall, cpu = time.perf_counter(), contender.cpu()
    for _ in range(contender.calls):
        contender.act()
    wall, cpu = time.perf_counter() - wall, contender.cpu() - cpu
    return Times(wall / contender.calls, cpu / contender.calls)
