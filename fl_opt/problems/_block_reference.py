"""The matching of blocks as a 0/1 program. Rate, power and error are written out anew."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.structure import Program

if TYPE_CHECKING:
    from fl_opt.problems.resource_blocks import ResourceBlockAssignment


def program(problem: ResourceBlockAssignment) -> Program[Allocation]:
    """Minimise sum over usable pairs of -K (1 - q) x, each device and block used at most once."""
    import pyomo.environ as pyo
    from pyomo.core.expr import LinearExpression

    network = problem.network
    devices, blocks = range(network.size), range(network.blocks)
    pairs = {(i, n): _pair(problem, i, n) for i in devices for n in blocks}
    unit = max(worth for worth, _ in pairs.values()) or 1.0
    model = pyo.ConcreteModel()
    model.uses = pyo.Var(
        devices, blocks, domain=pyo.Binary, bounds=lambda _, i, n: (0, int(pairs[i, n][0] > 0.0))
    )
    model.lost = pyo.Objective(
        expr=LinearExpression(
            linear_coefs=[-worth / unit for worth, _ in pairs.values()],
            linear_vars=[model.uses[pair] for pair in pairs],
        )
    )
    model.device = pyo.Constraint(devices, rule=lambda m, i: sum(m.uses[i, n] for n in blocks) <= 1)
    model.block = pyo.Constraint(blocks, rule=lambda m, n: sum(m.uses[i, n] for i in devices) <= 1)

    def decision() -> Allocation:
        return served(network, model.uses, {pair: watt for pair, (_, watt) in pairs.items()})

    return Program(model, decision, unit)


def served(network: BlockNetwork, uses: Any, power: dict[tuple[int, int], float]) -> Allocation:
    """The decision that the solved binaries `uses` tell, with the power of each pair."""
    block, sent = np.full(network.size, -1), np.zeros(network.size)
    for (i, n), watt in power.items():
        if round(uses[i, n].value) == 1:
            block[i], sent[i] = n, watt
    on = block >= 0
    return Allocation(
        selected=on,
        bandwidth_hz=np.where(on, network.band_hz, 0.0),
        power_w=sent,
        cpu_hz=np.where(on, network.cpu_hz, 0.0),
        block=block,
    )


def _pair(problem: ResourceBlockAssignment, i: int, n: int) -> tuple[float, float]:
    """Expected samples and power of device i on block n; (0, 0) where it may not be used."""
    network = problem.network
    power, delay = link(network, i, n, float(problem.energy_j[i]), problem.power, problem.training)
    if power == 0.0 or delay > float(problem.delay_s[i]) * (1.0 + 1e-12):
        return 0.0, 0.0
    noise = float(network.interference_w[n]) + float(network.noise_w_hz[i]) * network.band_hz
    loss = network.waterfall * noise / (power * float(network.gain[i, n]))
    return float(network.samples[i]) * math.exp(-loss), power


def link(
    network: BlockNetwork, i: int, n: int, energy: float, rule: str, training: str
) -> tuple[float, float]:
    """Power and delay of device i on block n; (0, inf) where it may not be used."""
    noise = float(network.interference_w[n]) + float(network.noise_w_hz[i]) * network.band_hz
    gain, bits = float(network.gain[i, n]), float(network.upload_bit[i])
    heat = float(network.capacitance[i] * network.cycles[i] * network.cpu_hz[i] ** 2)
    work = float(network.cycles[i] / network.cpu_hz[i])
    counted = {"neither": (0.0, 0.0), "energy": (heat, 0.0), "both": (heat, work)}
    spent, waited = counted[training]
    waited += _downlink(network, i)

    def airtime(power: float) -> float:
        rate = network.band_hz * math.log2(1.0 + power * gain / noise)
        return bits / rate if rate else math.inf if bits else 0.0

    power = float(network.power_max_w[i])
    over = power * airtime(power) + spent - energy if power else 0.0
    if rule == "chosen" and over > 0.0:
        power = _root(lambda p: p * airtime(p) + spent - energy, power)
    if power == 0.0 or gain == 0.0:
        return 0.0, math.inf
    if power * airtime(power) + spent > energy * (1.0 + 1e-12):
        return 0.0, math.inf
    return power, waited + airtime(power)


def _downlink(network: BlockNetwork, i: int) -> float:
    band = network.downlink_band_hz
    noise = network.downlink_interference_w + float(network.noise_w_hz[i]) * band
    snr = network.downlink_power_w * float(network.downlink_gain[i]) / noise
    bits = float(network.downlink_bit[i])
    return bits / (band * math.log2(1.0 + snr)) if bits else 0.0


def _root(short: Any, high: float) -> float:
    """The power in (0, high) at which the energy limit is met; 0 where none does."""
    from scipy.optimize import brentq

    low = high
    while short(low) > 0.0:
        low /= 2.0
        if low < high * 1e-12:
            return 0.0
    return float(brentq(short, low, high, xtol=1e-300, rtol=1e-15)) * (1.0 - 1e-14)
