"""Times as multiples of one array pass, taken in turns, so that a busy machine disturbs little.

The yardstick is a single-threaded pass of w log2(1 + c/w) over a million doubles in chunks of
16,384. It runs before and after everything that is timed. The time of a run is the lesser of its
wall-clock and its processor time: the same on an idle machine, and on a shared one other people's
work is not charged. Of several turns the least counts; the median tells how far to trust it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")
CHUNK, SIZE, PASSES = 16_384, 1_000_000, 5


@dataclass(frozen=True)
class Times:
    """Seconds of the turns of one run, and of the yardstick during all of them."""

    seconds: tuple[float, ...]
    pass_s: float

    @property
    def least_s(self) -> float:
        """Time of the quickest turn [s]."""
        return min(self.seconds)

    @property
    def passes(self) -> float:
        """The quickest turn in passes."""
        return self.least_s / self.pass_s

    def __str__(self) -> str:
        median = statistics.median(self.seconds) / self.pass_s
        return f"{self.passes:.3g} passes (median {median:.3g} of {len(self.seconds)} turns)"


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """The lesser of wall-clock and processor time of a call [s], and what it returns."""
    wall, processor = time.perf_counter(), time.process_time()
    found = run()
    return min(time.perf_counter() - wall, time.process_time() - processor), found


class Yardstick:
    """The pass that everything is measured in."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = rng.uniform(0.1, 1.0, SIZE)
        self.c = rng.uniform(0.1, 100.0, SIZE)
        self.rate = np.empty(SIZE)
        self.least_s, _ = timed(self.run)

    def run(self) -> None:
        """One pass."""
        for first in range(0, SIZE, CHUNK):
            part = slice(first, first + CHUNK)
            w = self.w[part]
            self.rate[part] = w * np.log2(1.0 + self.c[part] / w)

    def take(self) -> None:
        """Time some passes."""
        self.least_s = min(self.least_s, *(timed(self.run)[0] for _ in range(PASSES)))


def in_turns(
    runs: Mapping[str, Callable[[], object]], turns: int | Mapping[str, int]
) -> dict[str, Times]:
    """Time all runs, one after another, over and over, with the yardstick in between."""
    yardstick = Yardstick()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    count = dict.fromkeys(runs, turns) if isinstance(turns, int) else dict(turns)
    yardstick.take()
    for turn in range(max(count.values())):
        for name, run in runs.items():
            if turn < count[name]:
                gc.collect()
                seconds[name].append(timed(run)[0])
                yardstick.take()
    return {name: Times(tuple(found), yardstick.least_s) for name, found in seconds.items()}


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of ln time on ln size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
