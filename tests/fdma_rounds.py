"""Small random FDMA rounds for tests, with the corners that the published law leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.instances import draw
from fl_opt import Infeasible, MinEnergy, Network
from fl_opt.units import Floats


def cell(**changes: Any) -> Network:
    """Three devices in a round of tame numbers, some fields changed."""
    values: dict[str, Any] = {
        "gain": [1e-10, 4e-11, 9e-12],
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 1,
        "band_hz": 2e6,
    }
    return Network(**values | changes)


def mixed(seed: int, size: int) -> tuple[Network, Floats]:
    """A round of the published law and deadlines (K,), some of its devices at a corner.

    A device may have no payload, no work, no slowest clock, no power limit beside an energy limit,
    no energy limit, or a deadline of its own.
    """
    instance, rng = draw(seed, size), np.random.default_rng((seed, 3))
    network = instance.network

    def some(share: float = 0.2) -> Floats:
        return np.asarray(rng.random(size) < share)

    energy = np.where(some(), math.inf, network.energy_j)
    power = np.where(np.isfinite(energy) & some(), math.inf, network.power_max_w)
    network = network.replace(
        energy_j=energy,
        power_max_w=power,
        upload_bit=np.where(some(0.1), 0.0, network.upload_bit),
        cycles=np.where(some(0.1), 0.0, network.cycles),
        cpu_min_hz=np.where(some(), 0.0, network.cpu_min_hz),
    )
    deadline = instance.deadline_s * np.where(some(), rng.uniform(1.0, 2.0, size), 1.0)
    return network, deadline


def feasible(seed: int, size: int) -> MinEnergy:
    """A feasible `MinEnergy` of `mixed`: the first from `seed` on, in steps that are far apart."""
    return _first(lambda at: MinEnergy(*mixed(at, size)), seed)


def published(seed: int, size: int) -> MinEnergy:
    """A feasible `MinEnergy` of the published law, found likewise."""

    def problem(at: int) -> MinEnergy:
        instance = draw(at, size)
        return MinEnergy(instance.network, instance.deadline_s)

    return _first(problem, seed)


def _first(problem: Callable[[int], MinEnergy], seed: int) -> MinEnergy:
    while True:
        found = problem(seed)
        try:
            _ = found.uplink
        except Infeasible:
            seed += 1_000_003
        else:
            return found
