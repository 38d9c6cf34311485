"""HiGHS on a whole knapsack, handed over as it likes it best: arrays, no modelling layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fl_opt.structure import Items


@dataclass(frozen=True)
class Answer:
    """Whether HiGHS closed the gap in time, and the value that it found."""

    finished: bool
    value: float


def knapsack(items: Items, gap: float, time_limit_s: float) -> Answer:
    """Maximise the value of `items`; one thread, capacity and values scaled to one."""
    import highspy

    size, unit = items.value.size, float(items.value.max())
    fits = items.weight <= items.capacity
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = size, 1
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = items.value / unit
    model.col_lower_, model.col_upper_ = np.zeros(size), fits.astype(float)
    model.integrality_ = [highspy.HighsVarType.kInteger] * size
    model.row_lower_, model.row_upper_ = np.array([-math.inf]), np.array([1.0])
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.array([0, size])
    model.a_matrix_.index_ = np.arange(size)
    model.a_matrix_.value_ = np.where(fits, items.weight / items.capacity, 1.0)
    highs = highspy.Highs()
    options = {
        "output_flag": False,
        "threads": 1,
        "mip_rel_gap": gap,
        "mip_abs_gap": 0.0,
        "mip_feasibility_tolerance": 1e-9,
        "primal_feasibility_tolerance": 1e-9,
        "time_limit": time_limit_s,
    }
    for name, option in options.items():
        highs.setOptionValue(name, option)
    highs.passModel(model)
    highs.run()
    finished = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    value = unit * float(highs.getInfo().objective_function_value)
    return Answer(finished, value if math.isfinite(value) else 0.0)
