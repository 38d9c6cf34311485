"""Blocks and levels as the full 0/1 program, every binary of it, formulas written out anew."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.structure import Program

if TYPE_CHECKING:
    from fl_opt.problems.block_levels import BlockLevels

Index = tuple[int, ...]


def program(problem: BlockLevels) -> Program[Allocation]:
    """Minimise minus the worth over a binary for each device, block, bandwidth, power and clock."""
    import pyomo.environ as pyo
    from pyomo.core.expr import LinearExpression

    network = problem.network
    devices, blocks = range(network.size), range(network.blocks)
    levels = [range(len(each)) for each in (problem.bandwidth_hz, problem.power_w, problem.cpu_hz)]
    found = {k: _worth(problem, k) for k in itertools.product(devices, blocks, *levels)}
    worth = {index: each or 0.0 for index, each in found.items()}
    unit = max(abs(each) for each in worth.values()) or 1.0
    model: Any = pyo.ConcreteModel()
    model.uses = pyo.Var(
        list(worth),
        domain=pyo.Binary,
        bounds=lambda _, *index: (0, int(found[index] is not None)),
    )

    def weighed(weights: dict[Index, float]) -> Any:
        return LinearExpression(
            linear_coefs=list(weights.values()), linear_vars=[model.uses[k] for k in weights]
        )

    def at_most_one(place: int, value: int) -> Any:
        return weighed({index: 1.0 for index in worth if index[place] == value}) <= 1.0

    model.lost = pyo.Objective(expr=weighed({k: -each / unit for k, each in worth.items()}))
    model.device = pyo.Constraint(devices, rule=lambda _, i: at_most_one(0, i))
    model.block = pyo.Constraint(blocks, rule=lambda _, n: at_most_one(1, n))
    model.seats = pyo.Constraint(
        expr=weighed(dict.fromkeys(worth, 1.0)) <= problem.participants_max
    )
    if math.isfinite(problem.band_total_hz):
        width = float(problem.bandwidth_hz.max())
        shares = {k: float(problem.bandwidth_hz[k[2]]) / width for k in worth}
        model.band = pyo.Constraint(expr=weighed(shares) <= problem.band_total_hz / width)

    def decision() -> Allocation:
        size = network.size
        block, level = np.full(size, -1), np.zeros((size, 3), dtype=int)
        for index in worth:
            if round(model.uses[index].value) == 1:
                block[index[0]], level[index[0]] = index[1], index[2:]
        on = block >= 0
        return Allocation(
            selected=on,
            bandwidth_hz=np.where(on, problem.bandwidth_hz[level[:, 0]], 0.0),
            power_w=np.where(on, problem.power_w[level[:, 1]], 0.0),
            cpu_hz=np.where(on, problem.cpu_hz[level[:, 2]], 0.0),
            block=block,
        )

    return Program(model, decision, unit)


def _worth(problem: BlockLevels, index: Index) -> float | None:
    """Worth of a device on a block at three levels; None where it may not be used."""
    i, n, j, k, m = index
    network, slack = problem.network, 1.0 + 1e-12
    band, power = float(problem.bandwidth_hz[j]), float(problem.power_w[k])
    clock, bits = float(problem.cpu_hz[m]), float(network.upload_bit[i])
    noise = float(network.interference_w[n]) + float(network.noise_w_hz[i]) * band
    heard = power * float(network.gain[i, n])
    if heard == 0.0 and bits > 0.0:
        return None
    arrives = math.exp(-network.waterfall * noise / heard) if heard else 0.0
    airtime = bits / (band * math.log2(1.0 + heard / noise)) if bits else 0.0
    counted = problem.training != "neither"
    heat = float(network.capacitance[i] * network.cycles[i]) * clock**2 if counted else 0.0
    work = float(network.cycles[i]) / clock if problem.training == "both" else 0.0
    energy = power * airtime + heat
    met = (
        1.0 - arrives <= problem.error_max * slack
        and work + airtime + float(network.downlink_s()[i]) <= float(problem.delay_s[i]) * slack
        and energy <= float(problem.energy_j[i]) * slack
        and power <= float(network.power_max_w[i]) * slack
    )
    if not met:
        return None
    gain = float(problem.arrival_utility[i]) * arrives - problem.utility_per_j * energy
    return float(problem.utility[i]) + gain
