"""The cell that speed is measured in: any number of devices, every limit binding for many of them.

Law, independent for each device: place uniform in a disc of 1.5 km, path loss 128.1 + 37.6 log10
d[km] with 15 dB of antenna gain, Rayleigh fading (its power at least 0.2), power limit uniform
from 8 to 22 dBm, fastest clock 0.5 to 2 GHz, slowest 0.1 to 0.8 of that, 0.24 to 0.8 Gcycle,
50 to 150 kbit, capacitance 1e-28, samples 100 to 999, deadline 2 s. The band is a multiple of what
all together need at least. A part of the devices then gets an energy budget of 0.95 to 1 times
what it spends without one; where the least bandwidth under it is more than 20 times the mean
share, it is lifted.
"""

from __future__ import annotations

import numpy as np

import fl_opt
from fl_opt import Allocation, Network
from fl_opt.allocation import use
from fl_opt.problems.uplink import Uplink
from fl_opt.units import Floats, ratio_from_db, watt_from_dbm

DEADLINE_S = 2.0
BUDGETED = 0.3
EDGE = 1e-9


def devices(size: int, seed: int) -> Network:
    """The devices, without energy budgets, in a band of 1 Hz."""
    rng = np.random.default_rng(seed)
    distance_km = 1.5 * np.sqrt(rng.uniform(1e-3, 1.0, size))
    loss_db = 128.1 + 37.6 * np.log10(distance_km) - 15.0
    fastest = rng.uniform(0.5e9, 2e9, size)
    return Network(
        gain=ratio_from_db(-loss_db) * np.maximum(rng.exponential(1.0, size), 0.2),
        power_max_w=watt_from_dbm(rng.uniform(8.0, 22.0, size)),
        cpu_min_hz=fastest * rng.uniform(0.1, 0.8, size),
        cpu_max_hz=fastest,
        capacitance=1e-28,
        cycles=rng.uniform(0.24e9, 0.8e9, size),
        upload_bit=rng.uniform(0.5e5, 1.5e5, size),
        samples=rng.integers(100, 1000, size),
        band_hz=1.0,
    )


def needed_hz(network: Network) -> float:
    """Band that all devices need together [Hz]."""
    return float(Uplink(network, DEADLINE_S).least_hz.sum())


def cell(size: int, *, band: float, seed: int = 0) -> Network:
    """A cell whose band is `band` times what all need without budgets."""
    free = devices(size, seed)
    least_hz = needed_hz(free)
    free = free.replace(band_hz=1.5 * least_hz)
    spent_j = use(free, fl_opt.solve(fl_opt.MinEnergy(free, DEADLINE_S)).allocation).energy_j
    rng = np.random.default_rng((seed, 1))
    budgeted = rng.random(size) < BUDGETED
    budget = np.where(budgeted, spent_j * rng.uniform(0.95, 1.0, size), np.inf)
    least = Uplink(free.replace(energy_j=budget), DEADLINE_S).least_hz
    budget[~(least <= 20.0 * free.band_hz / size)] = np.inf
    return free.replace(energy_j=budget, band_hz=band * least_hz)


UTILITIES = ("log-normal", "samples", "equal", "need plus a constant")
"""Kinds of utility, from ordinary to hard: the last is nearly proportional to the weight."""


def utility(kind: str, network: Network, rng: np.random.Generator) -> Floats:
    """What it is worth that a device takes part (K,)."""
    if kind == "log-normal":
        return rng.lognormal(0.0, 0.5, network.size)
    if kind == "samples":
        return network.samples
    if kind == "equal":
        return np.ones(network.size)
    least: Floats = Uplink(network, DEADLINE_S).least_hz
    return np.asarray(least / least.mean() + 0.1)


def binding(network: Network, allocation: Allocation) -> dict[str, float]:
    """Share of the devices that take part for which each limit holds with equality."""
    on = allocation.selected
    spent: Floats = use(network, allocation).energy_j
    at = {
        "p_max": allocation.power_w >= network.power_max_w * (1.0 - EDGE),
        "f_min": allocation.cpu_hz <= network.cpu_min_hz * (1.0 + EDGE),
        "f_max": allocation.cpu_hz >= network.cpu_max_hz * (1.0 - EDGE),
        "E_k": spent >= network.energy_j * (1.0 - EDGE),
    }
    return {name: float(mask[on].mean()) for name, mask in at.items()}
