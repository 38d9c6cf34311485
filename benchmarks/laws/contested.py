"""Random rounds in which band, deadline and both budgets of energy keep some devices out."""

from __future__ import annotations

import numpy as np

from fl_opt import JointSchedule, MetaSelection, Network
from fl_opt.problems.uplink import Uplink


def cell(rng: np.random.Generator, size: int) -> Network:
    """Devices over decades of gain, work and payload; some have a budget, no payload or no work."""
    return Network(
        gain=10.0 ** rng.uniform(-13.0, -8.0, size),
        power_max_w=rng.uniform(0.05, 0.5, size),
        cpu_min_hz=10.0 ** rng.uniform(7.5, 8.5, size),
        cpu_max_hz=10.0 ** rng.uniform(8.9, 9.5, size),
        capacitance=10.0 ** rng.uniform(-28.5, -27.5, size),
        cycles=np.where(rng.random(size) < 0.05, 0.0, 10.0 ** rng.uniform(7.5, 8.7, size)),
        upload_bit=np.where(rng.random(size) < 0.05, 0.0, 10.0 ** rng.uniform(4.5, 6.0, size)),
        energy_j=np.where(rng.random(size) < 0.7, np.inf, 10.0 ** rng.uniform(-2.0, 1.0, size)),
        samples=rng.integers(50, 1000, size),
        band_hz=1.0,
    )


def joint(seed: int, size: int, utility_per_j: bool = False) -> JointSchedule:
    """A round with 0.2 to 1.1 of the band and 0.1 to 0.7 of the energy that all would use.

    Utilities are uniform, the samples held, equal or by need, in turn.
    """
    rng = np.random.default_rng((seed, size))
    network, deadline_s = cell(rng, size), 10.0 ** rng.uniform(-0.3, 0.7, size)
    least_hz = Uplink(network, deadline_s).least_hz
    able = np.isfinite(least_hz)
    some = Uplink(network[able], deadline_s[able]) if able.any() else None
    needed_hz = 0.0 if some is None else float(some.least_hz.sum())
    spent_j = 1.0 if some is None else float(some.at(2.0 * some.floor.b)[1].sum())
    budget_j = rng.uniform(0.1, 0.7) * (spent_j or 1.0)
    need = np.where(able, least_hz, 0.0) / max(needed_hz, 1.0) * size + 0.5
    utility = [rng.uniform(1.0, 2.0, size), None, np.ones(size), need][seed % 4]
    network = network.replace(band_hz=rng.uniform(0.2, 1.1) * max(needed_hz, 1.0))
    price = 0.0
    if utility_per_j:
        mean = float(np.mean(network.samples if utility is None else utility))
        price = 10.0 ** rng.uniform(-1.5, 0.5) * mean * size / spent_j
        budget_j = budget_j if rng.random() < 0.5 else np.inf
    return JointSchedule(network, deadline_s, budget_j, utility, price)


def on_band(seed: int, size: int = 8) -> MetaSelection:
    """A round in which doubt, seats, band and energy keep some devices out."""
    drawn, rng = joint(seed, size), np.random.default_rng(seed)
    return MetaSelection(
        drawn.network, rng.exponential(3.0, size), int(rng.integers(0, size + 2)),
        drawn.deadline_s, rng.uniform(0.0, 1.0), rng.uniform(0.0, 20.0), drawn.energy_total_j,
        rng.choice([0.0, 1.0]),
    )  # fmt: skip
