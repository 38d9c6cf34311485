"""What an experiment is: independent runs, lines of a table with thresholds, pictures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from numpy.typing import ArrayLike

from fl_opt.comparison.statistics import Interval, bootstrap_interval

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

Data: TypeAlias = dict[str, Any]
"""What a run found, in plain JSON: texts, finite numbers, None for what never came, lists."""

Results: TypeAlias = Mapping[str, Mapping[int, Data]]
"""``results[arm][seed]``, of all cells of an experiment."""


@dataclass(frozen=True, order=True)
class Cell:
    """One independent run."""

    arm: str
    seed: int


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    what
        The quantity, in a few words.
    ours
        What we measured; the interval is over the seeds, paired where it is a difference.
    unit
        Of `ours`; "%" tells a share in per cent.
    source
        What the source has, as text with its unit; "" where it has nothing.
    threshold
        What was promised before the run, as text; "" where nothing was.
    met
        Whether it holds; None where nothing was promised.
    """

    what: str
    ours: Interval
    unit: str = ""
    source: str = ""
    threshold: str = ""
    met: bool | None = None

    @classmethod
    def measured(
        cls,
        what: str,
        sample: ArrayLike,
        *,
        unit: str = "",
        source: str = "",
        at_least: float = -math.inf,
        at_most: float = math.inf,
    ) -> Row:
        """A mean over seeds. Met where its whole interval keeps the limits.

        Of three seeds the interval reaches from the least to the largest, so that every seed must
        keep them. `sample` (n,) is in `unit`; differences of two arms are taken seed by seed.
        """
        ours = bootstrap_interval(sample)
        low, high = (ours.value, ours.value) if math.isnan(ours.low) else (ours.low, ours.high)
        limits = [
            f"{word} {_plain(limit, unit)}"
            for word, limit in (("≥", at_least), ("≤", at_most))
            if math.isfinite(limit)
        ]
        met = at_least <= low and high <= at_most if limits else None
        return cls(what, ours, unit, source, " and ".join(limits), met)

    @classmethod
    def exact(
        cls, what: str, value: float, expected: float, *, unit: str = "", source: str = ""
    ) -> Row:
        """A quantity of arithmetic. Met where it equals what is expected."""
        ours = Interval(float(value), math.nan, math.nan, 1)
        return cls(what, ours, unit, source, f"= {_plain(expected, unit)}", value == expected)


def _plain(value: float, unit: str) -> str:
    if unit == "%":
        value *= 100.0
    return f"{value:,.10g} {unit}".rstrip().replace(",", " ").replace("-", "−")


@dataclass(frozen=True)
class Experiment(ABC):
    """Base of all experiments: a frozen record whose fields are its settings.

    The docstring of its module is its text on the page: a title in the first line, then
    paragraphs. Runs are kept by the fields: other settings, other runs.

    Parameters
    ----------
    dataset
        What is learned; "" where an experiment needs no data. The thresholds hold on the default
        of the subclass.
    seeds
        Number of seeds; every arm runs in each.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    """Authors, venue, year, arXiv number of what it is measured against."""
    first_seed: ClassVar[int] = 0
    """Above the seeds that were looked at when the settings were made."""

    dataset: str = ""
    seeds: int = 3

    @property
    @abstractmethod
    def arms(self) -> Sequence[str]:
        """What is compared."""

    @abstractmethod
    def quick(self) -> Self:
        """The same in a few seconds, on "digits": to see that it runs, not what it finds."""

    @abstractmethod
    def run(self, cell: Cell) -> Data:
        """One run, the same for the same cell wherever it runs; in a process of its own.

        A few hundred numbers at most: all of it is committed.
        """

    @abstractmethod
    def rows(self, results: Results) -> Sequence[Row]:
        """The table, thresholds first."""

    @abstractmethod
    def figures(self, results: Results) -> Sequence[Picture]:
        """Pictures, drawn by ``fl_opt.report.charts`` or ``fl_opt.report.figures``."""

    def cells(self) -> Sequence[Cell]:
        """All runs, seed by seed."""
        return [Cell(arm, seed) for seed in self.drawn for arm in self.arms]

    @property
    def drawn(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)


def over_seeds(results: Results, arm: str, key: str) -> list[float]:
    """The number `key` of every run of `arm`, in the order of the seeds: fit to be paired."""
    return [float(results[arm][seed][key]) for seed in sorted(results[arm])]
