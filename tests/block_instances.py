"""Instances of the assignment of resource blocks, and the worth of a pair in 50 digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mpmath

from benchmarks.laws.blocks import BITS
from fl_opt.problems import BlockNetwork, MinBlockRoundTime, ResourceBlockAssignment

CASE = json.loads((Path(__file__).parent / "cases" / "wirelessfl_9x6.json").read_text())


def published(power: str, **changes: Any) -> ResourceBlockAssignment:
    """The instance of the file, see its `source`; SI, 1 MHz a block, upload energy only."""
    network = BlockNetwork.from_distance(
        CASE["distance_m"], interference_w=CASE["I_W"], power_max_w=CASE["P_W"], upload_bit=BITS,
        samples=CASE["datanumber"], band_hz=1e6, noise_w_hz=CASE["noise_term"] / 1e6,
        downlink_bit=BITS, downlink_interference_w=CASE["Id"],
    )  # fmt: skip
    limits = {"delay_s": CASE["delay_req_s"], "energy_j": CASE["energy_req_J"]}
    return ResourceBlockAssignment(network, **(limits | {"power": power} | changes))


def exact_weight(problem: ResourceBlockAssignment, i: int, n: int) -> Any:
    """Worth of a pair in 50 digits, limits exactly as stated."""
    power, delay, noise = _exact_link(problem, i, n)
    if power == 0 or delay > problem.delay_s[i]:
        return 0 * power
    network = problem.network
    error = network.waterfall * noise / (power * power.context.mpf(network.gain[i, n]))
    return network.samples[i] * power.context.exp(-error)


def exact_delay(problem: MinBlockRoundTime, i: int, n: int) -> Any:
    """Delay of a pair in 50 digits, infinite where no power meets the energy limit."""
    return _exact_link(problem, i, n)[1]


def _exact_link(problem: Any, i: int, n: int) -> tuple[Any, Any, Any]:
    """Power, delay and disturbance of a pair in 50 digits: bisection on the power."""
    mp = mpmath.mp.clone()
    mp.dps = 50
    network = problem.network
    noise = mp.mpf(network.interference_w[n]) + mp.mpf(network.noise_w_hz[i]) * network.band_hz
    gain, bits = mp.mpf(network.gain[i, n]), mp.mpf(network.upload_bit[i])
    work = mp.mpf(network.cycles[i]) / network.cpu_hz[i]
    heat = mp.mpf(network.capacitance[i]) * network.cycles[i] * mp.mpf(network.cpu_hz[i]) ** 2
    spent = heat if problem.training != "neither" else mp.mpf(0)
    waited = work if problem.training == "both" else mp.mpf(0)
    if network.downlink_bit[i]:
        band = mp.mpf(network.downlink_band_hz)
        heard = network.downlink_interference_w + mp.mpf(network.noise_w_hz[i]) * band
        snr = network.downlink_power_w * mp.mpf(network.downlink_gain[i]) / heard
        waited += network.downlink_bit[i] / (band * mp.log(1 + snr, 2))

    def airtime(p: Any) -> Any:
        return bits / (network.band_hz * mp.log1p(p * gain / noise) / mp.log(2)) if bits else 0

    def over(p: Any) -> bool:
        return bool(spent + p * airtime(p) > problem.energy_j[i])

    power = mp.mpf(network.power_max_w[i])
    if over(power):
        if problem.power == "max" or over(power * mp.mpf(10) ** -12):
            return mp.mpf(0), mp.inf, noise
        low, high = mp.mpf(0), power
        for _ in range(160):
            middle = (low + high) / 2
            low, high = (low, middle) if over(middle) else (middle, high)
        power = low
    return power, waited + airtime(power), noise
