"""`ResidenceScheduling` as a 0/1 program over intervals of finish times, for reference.

A finish in [left, right] is worth at most that at `left`, and takes at least the bandwidth at
`right`: with both, the program's optimum is at least that of the problem. Its choice, finished
somewhere between, is a decision. Between the two lies the width of the intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_opt.network import Network
from fl_opt.problems._reference import least_bandwidth_hz
from fl_opt.structure import Program
from fl_opt.units import Floats

if TYPE_CHECKING:
    from fl_opt.allocation import Allocation

INTERVALS = 128


def interval_program(
    network: Network,
    deadline_s: Floats,
    value: Callable[[Floats], Floats],
    decided: Callable[[NDArray[np.bool_], Floats, Floats], Allocation],
) -> Program[Allocation]:
    """The program; `value` (K,) of finish times, `decided` the round of a set and its intervals."""
    import pyomo.environ as pyo
    from pyomo.core.expr import LinearExpression

    trained = np.minimum(network.cycles / network.cpu_max_hz, deadline_s)
    # narrow where the upload is short and its bandwidth steep
    ends = trained + (deadline_s - trained) * np.geomspace(1e-4, 1.0, INTERVALS + 1)[:, None]
    ends[-1] = deadline_s
    ends[0] = trained
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.array([least_bandwidth_hz(network, end) for end in ends[1:]]) / network.band_hz
    # a device without payload needs none, even of a band of zero
    share = np.where(np.isnan(share), 0.0, share)
    worth = np.array([value(end) for end in ends[:-1]])
    unit = float(worth.max(initial=0.0)) or 1.0
    able = (share <= 1.0 + 1e-9) & (worth > 0.0)
    model = pyo.ConcreteModel()
    devices, intervals = range(network.size), range(INTERVALS)
    model.takes = pyo.Var(
        intervals, devices, domain=pyo.Binary, bounds=lambda _, i, k: (0, int(able[i, k]))
    )
    takes = list(model.takes.values())
    gained = np.where(able, -worth / unit, 0.0).ravel().tolist()
    model.lost = pyo.Objective(expr=LinearExpression(linear_coefs=gained, linear_vars=takes))
    # bandwidths are good to 1e-10
    needed = np.where(able, share * (1.0 - 1e-9), 0.0).ravel().tolist()
    band = LinearExpression(linear_coefs=needed, linear_vars=takes)
    model.band = pyo.Constraint(expr=band <= 1.0)
    model.once = pyo.Constraint(
        devices, rule=lambda m, k: sum(m.takes[i, k] for i in intervals) <= 1
    )

    def decision() -> Allocation:
        taken = np.array([each.value > 0.5 for each in takes]).reshape(able.shape)
        selected = np.asarray(taken.any(axis=0))
        left, right = (np.where(taken, end, 0.0).max(axis=0) for end in (ends[:-1], ends[1:]))
        return decided(selected, left, np.where(selected, right, deadline_s))

    return Program(model, decision, unit)
