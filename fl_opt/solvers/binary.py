"""Small 0/1 programs, by HiGHS called directly: the cores of larger searches."""

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
    highs = highspy.Highs()
    options = {
        "output_flag": False,
        "mip_rel_gap": 0.0,
        "mip_abs_gap": gap / unit,
        "mip_feasibility_tolerance": TOLERANCE,
        "primal_feasibility_tolerance": TOLERANCE,
        "mip_max_nodes": nodes,
        "time_limit": time_limit_s,
    }
    for name, option in options.items():
        highs.setOptionValue(name, option)
    highs.passModel(model)
    highs.run()
    info, status = highs.getInfo(), highs.getModelStatus()
    nodes = max(info.mip_node_count, 0)
    # a branch may be cut off that is better by the tolerance
    slack = TOLERANCE * unit
    if status == highspy.HighsModelStatus.kInfeasible:
        return Found(None, target + slack, nodes, True)
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        proven = info.mip_dual_bound * unit if status in _limits_struck(highspy) else math.inf
        return Found(None, max(proven, target) + slack, nodes, False)
    chosen = np.array(highs.getSolution().col_value[:size]) > 0.5
    upper = max(info.mip_dual_bound * unit, target) + slack
    return Found(chosen, upper, nodes, status == highspy.HighsModelStatus.kOptimal)


def _limits_struck(highspy: Any) -> tuple[Any, ...]:
    """Ends of a search whose bound holds."""
    status = highspy.HighsModelStatus
    return status.kTimeLimit, status.kSolutionLimit, status.kInterrupt
