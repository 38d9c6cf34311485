"""The rows of a comparison's tables: arms over their runs, and arms against a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.comparison.measures import Measure, Yardstick
from fl_opt.comparison.statistics import Interval, bootstrap_interval, half_reached

if TYPE_CHECKING:
    from fl_opt.units import Floats
    from fl_opt.validation import Trace


@dataclass(frozen=True)
class ArmRow:
    """One measure of one arm over its runs.

    Attributes
    ----------
    interval
        Mean over the runs that have the measure, with its interval. For a time or an energy until
        the target its `value` is when half of the runs had got there (inf where fewer than half
        ever did), and it has no ends.
    reached
        How many runs got to the target; None for other measures.
    """

    arm: str
    measure: Measure
    interval: Interval
    reached: int | None


@dataclass(frozen=True)
class PairRow:
    """One measure of one arm against the baseline, run by run in the same worlds.

    Attributes
    ----------
    interval
        Mean over the seeds of (arm - baseline), with its interval. A time or energy until the
        target is restricted to `horizon`: a run that did not get there within it counts as
        `horizon`, which every run of both arms was observed for.
    better, worse, undecided
        Seeds in which the arm did better, worse, or in which it cannot be told.
    """

    arm: str
    baseline: str
    measure: Measure
    interval: Interval
    better: int
    worse: int
    undecided: int
    horizon: float | None


def arm_row(
    arm: str, runs: Mapping[int, Trace], measure: Measure, yard: Yardstick, level: float
) -> ArmRow:
    """The row of one arm; `runs` by seed."""
    values = np.array([measure.read(trace, yard) for trace in runs.values()])
    if measure.horizon is None:
        return ArmRow(arm, measure, bootstrap_interval(values[np.isfinite(values)], level), None)
    interval = Interval(half_reached(values), math.nan, math.nan, values.size)
    return ArmRow(arm, measure, interval, int(np.isfinite(values).sum()))


def pair_row(
    names: tuple[str, str],
    runs: tuple[Mapping[int, Trace], Mapping[int, Trace]],
    measure: Measure,
    yard: Yardstick,
    level: float,
) -> PairRow:
    """The row of an arm against a baseline, over the seeds that both finished."""
    shared = sorted(runs[0].keys() & runs[1].keys())
    ours, theirs = (np.array([measure.read(side[s], yard) for s in shared]) for side in runs)
    sign = -1.0 if measure.better == "lower" else 1.0
    difference = _apart(ours, theirs)
    ahead = sign * difference
    horizon: float | None = None
    if measure.horizon is not None:
        ends = [np.array([measure.horizon(side[s]) for s in shared]) for side in runs]
        horizon = float(np.min(ends, initial=math.inf)) if shared else math.nan
        # a run that ended without the event is known to be later than all that happened till then
        ahead = np.where(ours <= ends[1], np.where(np.isnan(theirs), 1.0, ahead), ahead)
        ahead = np.where(theirs <= ends[0], np.where(np.isnan(ours), -1.0, ahead), ahead)
        difference = _apart(np.fmin(ours, horizon), np.fmin(theirs, horizon))
    interval = bootstrap_interval(difference[np.isfinite(difference)], level)
    better, worse = int(np.sum(ahead > 0.0)), int(np.sum(ahead < 0.0))
    if not measure.better:
        better = worse = 0
    return PairRow(*names, measure, interval, better, worse, len(shared) - better - worse, horizon)


def _apart(one: Floats, two: Floats) -> Floats:
    """Their difference, and nothing where only the order of a summation differs."""
    difference = one - two
    rounding = 1e-12 * np.fmax(np.abs(one), np.abs(two))
    return np.where(np.abs(difference) <= rounding, 0.0, difference)
