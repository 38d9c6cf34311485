"""Intervals from few runs, and times that some runs never reach, without flattery."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import number
from fl_opt.errors import InvalidInput

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A mean with a confidence interval.

    Attributes
    ----------
    value
        Mean of the sample; NaN for an empty one.
    low, high
        Ends of the interval; NaN where fewer than two values leave nothing to resample.
    count
        Size of the sample.
    level
        Confidence that was asked for.
    """

    value: float
    low: float
    high: float
    count: int
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside, and the sample is large enough for that to mean something.

        See `coverage_limit`: at a level of 95 % that takes six values.
        """
        outside = self.low > 0.0 or self.high < 0.0
        return outside and coverage_limit(self.count) >= self.level


def coverage_limit(count: int) -> float:
    """Largest confidence that an interval within the range of `count` values can have.

    All values of a symmetric continuous sample lie on one side of its centre with probability
    2^(1 - n), and then no interval between the smallest and the largest contains it. A bootstrap
    interval of a mean never leaves that range, whatever level it is asked for.
    """
    return 1.0 - 2.0 ** (1 - count) if count > 0 else 0.0


def bootstrap_interval(
    sample: ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean of `sample` (n,) with its expanded percentile bootstrap interval.

    The means of `resamples` draws with replacement are sorted and cut off at both ends. The
    ordinary cut at (1 - level)/2 is too narrow for few values, because the resampled spread is
    sqrt((n - 1)/n) of the sample's and because a normal quantile stands in for Student's; the cut
    is therefore at the normal probability of -sqrt(n/(n - 1)) t_(n-1). That is the whole
    correction: see `coverage_limit` for what no bootstrap of n values can do, and
    docs/comparison.md for the coverage measured, next to those of the plain and BCa intervals.

    Seeded, so that the same sample has the same interval. Source: T. Hesterberg, What teachers
    should know about the bootstrap, The American Statistician 2015, arXiv 1411.5279.

    Raises ``InvalidInput`` for a sample that is not finite or a level outside (0, 1).

    >>> interval = bootstrap_interval([0.9, 1.1, 1.0, 1.2, 0.8, 1.0])
    >>> interval.low < interval.value < interval.high
    True
    """
    values = np.asarray(sample, dtype=float)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InvalidInput("sample", values, "a list of finite numbers")
    level = number("level", level, high=1.0)
    count = values.size
    if count < 2:
        mean = float(values.mean()) if count else math.nan
        return Interval(mean, math.nan, math.nan, count, level)
    from scipy.special import ndtr, stdtrit

    student = float(stdtrit(count - 1, 0.5 + level / 2.0))
    tail = float(ndtr(-math.sqrt(count / (count - 1)) * student))
    rng = np.random.default_rng(seed)
    means = values[rng.integers(count, size=(resamples, count))].mean(axis=1)
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high), count, level)


def half_reached(moments: ArrayLike) -> float:
    """When half of the runs had got there: the lower median of `moments` (n,), NaN for never.

    A run that never got there is later than all that did, and not left out; inf where fewer than
    half did. NaN for no runs.
    """
    times = np.asarray(moments, dtype=float)
    if not times.size:
        return math.nan
    return float(np.sort(np.where(np.isnan(times), np.inf, times))[(times.size - 1) // 2])
