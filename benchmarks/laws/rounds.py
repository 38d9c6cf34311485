"""Random rounds in which every device takes part, once or until a model has learnt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fl_opt
from benchmarks import _cells
from benchmarks.instances import Instance, draw
from benchmarks.laws.law import Law, seed_of
from fl_opt import (
    FEDL,
    LocalAccuracy,
    LocalAccuracyTime,
    MinEnergy,
    MinRoundTime,
    Network,
    TimeEnergyTradeoff,
)
from fl_opt.units import Floats

PUBLISHED = 1000
"""Devices up to which the law of `benchmarks.instances` is stated; beyond it that of `_cells`."""


def random_fields(rng: np.random.Generator, size: int) -> dict[str, Any]:
    """Fields of FEDL over decades; in some draws no slowest clock, no least power, no heat."""

    def decades(low: float, high: float) -> Floats:
        return np.asarray(10.0 ** rng.uniform(low, high, size))

    slowest, quietest = decades(7, 9), decades(-3, -0.5)
    return {
        "noise_over_gain": decades(-3, 2),
        "cycles_per_bit": rng.uniform(5, 50, size),
        "data_bit": decades(6, 9) * (rng.random(size) < 0.9) + 1e5,
        "cpu_min_hz": slowest * (rng.random() < 0.8),
        "cpu_max_hz": slowest * decades(0, 2),
        "power_min_w": quietest * (rng.random() < 0.8),
        "power_max_w": quietest * decades(0, 3) if rng.random() < 0.8 else math.inf,
        "upload_nat": decades(3, 5),
        "band_hz": 10.0 ** rng.uniform(5, 7),
        "alpha": decades(-29, -26) * (rng.random(size) < 0.9),
        "kappa": 10.0 ** rng.uniform(-4, 4),
    }


def _round(size: int, rng: np.random.Generator) -> Instance:
    seed = seed_of(rng)
    if size <= PUBLISHED:
        return draw(seed, size)
    return Instance(_cells.cell(size, band=1.4, seed=seed), _cells.DEADLINE_S)


def _energy(size: int, rng: np.random.Generator) -> MinEnergy:
    return MinEnergy(_cells.cell(size, band=1.4, seed=seed_of(rng)), _cells.DEADLINE_S)


def _shortest(size: int, rng: np.random.Generator) -> MinRoundTime:
    return MinRoundTime(_round(size, rng).network)


def _tradeoff(size: int, rng: np.random.Generator) -> TimeEnergyTradeoff:
    """A second is worth a thousandth to a hundred times the power of all clocks."""
    drawn = _round(size, rng)
    network = drawn.network
    spent = float((network.capacitance * network.cycles * network.cpu_max_hz**2).sum())
    return TimeEnergyTradeoff(network, spent / drawn.deadline_s * 10.0 ** rng.uniform(-3.0, 2.0))


def _fedl(size: int, rng: np.random.Generator) -> FEDL:
    return FEDL(**random_fields(rng, size))


def _iterated(size: int, rng: np.random.Generator) -> tuple[Network, float, float]:
    """A round, how many of them exact local answers would take, and the work cut into steps.

    Of ten devices three are slow, and three never far below their fastest clock.
    """
    rounds, steps = 10.0 ** rng.uniform(0.0, 3.0), 10.0 ** rng.uniform(-1.0, 2.0)
    network, kind = _round(size, rng).network, rng.random(size)
    fastest = np.where(kind < 0.3, 0.2, 1.0) * network.cpu_max_hz
    network = network.replace(
        cycles=network.cycles / steps,
        cpu_max_hz=fastest,
        cpu_min_hz=np.where(kind > 0.7, 0.9 * fastest, np.minimum(network.cpu_min_hz, fastest)),
    )
    return network, float(rounds), float(steps)


def _accuracy_time(size: int, rng: np.random.Generator) -> LocalAccuracyTime:
    return LocalAccuracyTime(*_iterated(size, rng))


def _accuracy(size: int, rng: np.random.Generator) -> LocalAccuracy:
    """Once to three times the time that training takes at least."""
    network, rounds, steps = _iterated(size, rng)
    least = fl_opt.solve(LocalAccuracyTime(network, rounds, steps)).certificate.cost
    return LocalAccuracy(network, rounds, steps, least * 10.0 ** rng.uniform(0.001, 0.5))


LAWS = {
    "MinEnergy": Law(_energy, (5, 100), (10_000, 100_000, 1_000_000), (30, 300, 3_000)),
    "MinRoundTime": Law(_shortest, (1, 100), (10_000, 100_000, 1_000_000), (30, 300, 3_000)),
    "TimeEnergyTradeoff": Law(_tradeoff, (1, 50), (1_000, 10_000, 100_000), (30, 300, 1_000)),
    "FEDL": Law(_fedl, (1, 100), (1_000, 10_000, 100_000), (3, 10, 30)),
    "LocalAccuracyTime": Law(_accuracy_time, (1, 20), (10, 100, 1_000), (10, 30, 100)),
    "LocalAccuracy": Law(_accuracy, (1, 10), (10, 100, 1_000), (10, 30, 100)),
}
