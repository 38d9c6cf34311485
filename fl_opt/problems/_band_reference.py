"""Two bands as a 0/1 program, with least bandwidths computed apart from the engine."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.problems._reference import least_bandwidth_hz
from fl_opt.problems.band_choice import BandChoice
from fl_opt.structure import Program

if TYPE_CHECKING:
    from fl_opt.problems.band_selection import BandSelection


def program(problem: BandSelection) -> Program[BandChoice]:
    """A binary for each device and band; both bands as knapsacks of capacity 1."""
    import pyomo.environ as pyo

    size, worth = problem.sub6.size, problem.worth
    able, share = np.zeros((2, size), dtype=bool), np.zeros((2, size))
    for i, uplink in enumerate(problem.uplinks):
        width = uplink.network.band_hz
        least = least_bandwidth_hz(uplink.network, problem.deadline_s)
        paid = problem.chain_j[i] <= problem.sub6.energy_j
        able[i] = (worth[i] > 0.0) & (least <= width) & paid
        np.divide(least, width, out=share[i], where=able[i] & (least > 0.0))
    unit = float(np.max(worth, where=able, initial=0.0)) or 1.0
    model = pyo.ConcreteModel()
    pairs = list(itertools.product(range(2), range(size)))
    bounds = {(i, k): (0, int(able[i, k])) for i, k in pairs}
    model.joins = pyo.Var(pairs, domain=pyo.Binary, bounds=lambda _, i, k: bounds[i, k])
    model.rows = pyo.ConstraintList()
    for i in range(2):
        used = (float(share[i, k]) * model.joins[i, k] for k in range(size))
        model.rows.add(pyo.quicksum(used) <= 1.0)
    for k in range(size):
        model.rows.add(model.joins[0, k] + model.joins[1, k] <= 1.0)
    earned = (-float(worth[i, k]) / unit * model.joins[i, k] for i, k in pairs)
    model.utility = pyo.Objective(expr=pyo.quicksum(earned))

    def decision() -> BandChoice:
        band = np.full(size, -1)
        for i, k in pairs:
            if round(model.joins[i, k].value) == 1:
                band[k] = i
        return problem.join(band)

    return Program(model, decision, unit)
