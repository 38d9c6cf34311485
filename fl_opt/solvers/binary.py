"""Small 0/1 programs, by HiGHS called directly: the cores of larger searches.

HiGHS 1.15.1 errs: of random programs of up to ten columns whose values are nearly proportional to
a row, it called 1 in 100 infeasible, or less valuable than they are, with presolve and a tolerance
of 1e-10, and 1 in 6,000 with any other settings that were tried, each time another one. So every
program is solved under two settings; where the second finds more than the first allows, the first
is not believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.units import Floats

TOLERANCE = 1e-10
"""Feasibility and integrality tolerance of HiGHS, on rows of order one."""
FAR = 1e15
"""What rows of order one never reach."""


@dataclass(frozen=True, eq=False)
class Found:
    """A choice (n,), None where there is none, and an upper bound of the value of any.

    `nodes` is the size of the tree, `whole` tells whether it was searched to its end.
    """

    chosen: NDArray[np.bool_] | None
    upper: float
    nodes: int
    whole: bool


def maximise(
    value: Floats,
    rows: Floats,
    limits: Floats,
    *,
    eased: NDArray[np.bool_],
    charge: float,
    most: float,
    target: float,
    gap: float,
    nodes: int,
    time_limit_s: float,
) -> Found:
    """Maximise ``value x - charge e`` over x in {0,1}^n with ``rows x <= limits + eased e``.

    Parameters
    ----------
    value, rows, limits
        (n,), (r, n) and (r,). Rows are scaled to their largest entry here.
    eased, charge, most
        (r,) the rows that e loosens, what a unit of it costs, and its upper limit.
    target
        Only what is worth at least this is looked for.
    gap
        Distance of bound and value at which the search ends.
    nodes, time_limit_s
        Limits of the tree; where one strikes, `upper` is what was proven until then.
    """
    import highspy

    size, unit = value.size, float(value.max())
    grain = unit / charge if charge > 0.0 else 0.0
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0.0, largest, 1.0)
    matrix = np.hstack([rows / scale[:, None], np.where(eased, -grain / scale, 0.0)[:, None]])
    goal = np.append(value / unit, -1.0)
    matrix, limits = np.vstack([matrix, -goal]), np.append(limits / scale, -target / unit)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = size + 1, limits.size
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = goal
    model.col_lower_ = np.zeros(size + 1)
    model.col_upper_ = np.append(np.ones(size), most / grain if grain else 0.0)
    model.integrality_ = [highspy.HighsVarType.kInteger] * size + [highspy.HighsVarType.kContinuous]
    model.row_lower_ = np.full(limits.size, -math.inf)
    # HiGHS takes 1e20 for infinite and refuses it as an upper limit from below
    model.row_upper_ = np.clip(limits, -FAR, FAR)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.num_col_, model.a_matrix_.num_row_ = size + 1, limits.size
    model.a_matrix_.start_ = np.arange(limits.size + 1) * (size + 1)
    model.a_matrix_.index_ = np.tile(np.arange(size + 1), limits.size)
    model.a_matrix_.value_ = matrix.ravel()
    options = {"mip_abs_gap": gap / unit, "mip_max_nodes": nodes, "time_limit": time_limit_s}
    first, other = (_solved(model, options | setting) for setting in SETTINGS)
    # a branch may be cut off that is better by the tolerance
    slack = TOLERANCE * unit
    found = first if other.value * unit <= max(first.upper * unit, target) + slack else other
    chosen = None if found.columns is None else found.columns[:size] > 0.5
    upper = max(found.upper * unit, target) + slack
    return Found(chosen, upper, first.nodes, found.whole)


SETTINGS: tuple[dict[str, Any], ...] = (
    {
        "presolve": "off",
        "mip_feasibility_tolerance": TOLERANCE,
        "primal_feasibility_tolerance": TOLERANCE,
    },
    {"mip_feasibility_tolerance": 1e-9, "primal_feasibility_tolerance": 1e-9},
)
"""Two ways to solve the same program."""


@dataclass(frozen=True, eq=False)
class _Solved:
    """The columns of the best answer, None where there is none, its value, and a bound."""

    columns: Floats | None
    value: float
    upper: float
    nodes: int
    whole: bool


def _solved(model: Any, options: dict[str, Any]) -> _Solved:
    import highspy

    highs = highspy.Highs()
    for name, option in {"output_flag": False, "mip_rel_gap": 0.0, **options}.items():
        highs.setOptionValue(name, option)
    highs.passModel(model)
    highs.run()
    info, status = highs.getInfo(), highs.getModelStatus()
    nodes = max(info.mip_node_count, 0)
    if status == highspy.HighsModelStatus.kInfeasible:
        return _Solved(None, -math.inf, -math.inf, nodes, True)
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        proven = info.mip_dual_bound if status in _limits_struck(highspy) else math.inf
        return _Solved(None, -math.inf, proven, nodes, False)
    columns = np.array(highs.getSolution().col_value)
    whole = status == highspy.HighsModelStatus.kOptimal
    return _Solved(columns, info.objective_function_value, info.mip_dual_bound, nodes, whole)


def _limits_struck(highspy: Any) -> tuple[Any, ...]:
    """Ends of a search whose bound holds."""
    status = highspy.HighsModelStatus
    return status.kTimeLimit, status.kSolutionLimit, status.kInterrupt
