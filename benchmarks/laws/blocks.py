"""Random rounds on resource blocks: worths of pairs, levels, least times, contributions."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from benchmarks.laws.law import Law, limitless, seed_of
from fl_opt import MetaBlockSelection
from fl_opt.problems import BlockLevels, BlockNetwork, MinBlockRoundTime, ResourceBlockAssignment
from fl_opt.problems.block_links import Counted

BITS = 39760 * 16
POWERS: tuple[Literal["max", "chosen"], ...] = ("max", "chosen")
COUNTED: tuple[Counted, ...] = ("neither", "energy", "both")


def random_problem(rng: np.random.Generator, size: int, blocks: int) -> ResourceBlockAssignment:
    """A draw in which delay, energy, and for some devices nothing, stands in the way."""
    network = BlockNetwork(
        gain=rng.uniform(20, 400, size)[:, None] ** -2 * rng.exponential(1.0, (size, blocks)),
        interference_w=rng.uniform(1e-8, 1.2e-7, blocks),
        power_max_w=rng.uniform(0.005, 0.05, size),
        upload_bit=BITS * rng.uniform(0.2, 2.0, size) * (rng.random(size) < 0.95),
        samples=rng.integers(0, 600, size),
        band_hz=1e6,
        downlink_bit=BITS * rng.integers(0, 2),
        downlink_interference_w=1.8e-7,
        waterfall=rng.uniform(0.1, 2.0),
        cycles=1e7,
        capacitance=1e-28,
    )
    limits = rng.uniform(0.05, 0.8, size), 10.0 ** rng.uniform(-3, -1.5, size)
    power = POWERS[rng.integers(2)]
    return ResourceBlockAssignment(network, *limits, power, COUNTED[rng.integers(3)])


def random_levels(
    rng: np.random.Generator, size: int, blocks: int, levels: tuple[int, int, int]
) -> BlockLevels:
    """A draw in which band, seats, delay, error, energy and joules stand in the way at times."""
    network = BlockNetwork(
        gain=rng.uniform(50, 500, size)[:, None] ** -2 * rng.exponential(1.0, (size, blocks)),
        interference_w=rng.uniform(1e-8, 1.2e-7, blocks),
        power_max_w=rng.choice([0.008, 0.02], size),
        upload_bit=6e5 * rng.uniform(0.2, 2.0, size) * (rng.random(size) < 0.95),
        samples=rng.integers(0, 6, size),
        band_hz=1e6,
        noise_w_hz=10.0 ** rng.uniform(-21, -15, size),
        downlink_bit=6e5 * rng.integers(0, 2),
        waterfall=rng.uniform(0.1, 2.0),
        cycles=rng.uniform(0.0, 2e8, size),
        capacitance=1e-28,
    )
    return BlockLevels(
        network,
        bandwidth_hz=np.sort(rng.uniform(0.3e6, 3e6, levels[0])),
        power_w=np.sort(rng.uniform(0.002, 0.015, levels[1])),
        cpu_hz=np.sort(rng.uniform(0.5e9, 2e9, levels[2])),
        band_total_hz=rng.uniform(0.5, 2.5) * 1e6 * min(size, blocks),
        delay_s=rng.uniform(0.3, 3.0, size),
        energy_j=rng.choice([0.1, np.inf]),
        error_max=rng.choice([0.5, 1.0]),
        utility=rng.normal(1.0, 1.0, size),
        utility_per_j=rng.choice([0.0, 5.0, 50.0]),
        participants_max=int(rng.integers(0, min(size, blocks) + 2)),
        training=COUNTED[rng.integers(3)],
    )


def random_round(rng: np.random.Generator, size: int, blocks: int) -> MinBlockRoundTime:
    """A draw that waits for some of its devices, within energies that exclude some pairs."""
    drawn = random_problem(rng, size, blocks)
    count = int(rng.integers(0, min(size, blocks) + 1))
    energy = drawn.energy_j * rng.choice([0.5, 3.0])
    return MinBlockRoundTime(drawn.network, count, energy, drawn.power, drawn.training)


def on_blocks(seed: int, size: int = 5, blocks: int = 4) -> MetaBlockSelection:
    rng = np.random.default_rng(seed)
    drawn = random_problem(rng, size, blocks)
    return MetaBlockSelection(
        drawn.network, rng.exponential(3.0, size), int(rng.integers(0, blocks + 1)),
        drawn.delay_s, drawn.energy_j, rng.uniform(0.0, 1.0), rng.uniform(0.0, 20.0),
        POWERS[rng.integers(2)], COUNTED[rng.integers(3)],
    )  # fmt: skip


def _blocks(size: int) -> int:
    return max(size // 2, 1)


def _assignment(size: int, rng: np.random.Generator) -> ResourceBlockAssignment:
    return random_problem(rng, size, _blocks(size))


def _levels(size: int, rng: np.random.Generator) -> BlockLevels:
    """Stricter limits than of `random_levels`; one of the powers is the largest of some devices."""
    drawn = random_levels(rng, size, _blocks(size), (3, 3, 3))
    return dataclasses.replace(
        drawn,
        power_w=np.array([0.003, 0.008, 0.015]),
        energy_j=10.0 ** rng.uniform(-2.5, -1.0, size),
        delay_s=0.25 * drawn.delay_s,
        error_max=rng.choice([0.05, 0.3]),
    )


def _least_time(size: int, rng: np.random.Generator) -> MinBlockRoundTime:
    return random_round(rng, size, _blocks(size))


def _contribution(size: int, rng: np.random.Generator) -> MetaBlockSelection:
    return on_blocks(seed_of(rng), size, _blocks(size))


DELAY = {"delay": limitless(delay_s=np.inf)}
ENERGY = {"energy": limitless(energy_j=np.inf)}

LAWS = {
    "ResourceBlockAssignment": Law(
        _assignment, (2, 30), (100, 300, 1_000), (10, 40, 100, 200), without=DELAY | ENERGY
    ),
    "BlockLevels": Law(
        _levels,
        (4, 10),
        (10, 30, 100),
        (4, 8, 12, 16),
        without=DELAY
        | ENERGY
        | {"packet_error": limitless(error_max=1.0), "band": limitless(band_total_hz=1e30)},
    ),
    "MinBlockRoundTime": Law(
        _least_time, (2, 30), (100, 300, 1_000), (10, 40, 100), without=ENERGY
    ),
    "MetaBlockSelection": Law(
        _contribution, (2, 12), (100, 300, 1_000), (6, 24, 60, 150), without=DELAY | ENERGY
    ),
}
