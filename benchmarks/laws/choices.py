"""Random rounds in which only some devices can take part."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.laws.contested import cell, joint
from benchmarks.laws.law import Law, in_network, limitless, seed_of
from fl_opt import (
    BandSelection,
    BudgetedTraining,
    CompressionLevels,
    FedCS,
    JointSchedule,
    LongTermEnergy,
    MaxParticipation,
    MetaSelection,
    Network,
    ResidenceScheduling,
    RoundsModel,
)
from fl_opt import compression_laws as laws
from fl_opt.problems.uplink import Uplink

ENDLESS = 1e30
"""A limit that nothing reaches, where infinity is no valid input."""
COORDINATES = 10_000
MENUS = (
    [laws.qsgd(COORDINATES, s) for s in (1, 3, 7, 31)],
    [*(laws.top_k(COORDINATES, k) for k in (10, 100, 1000)), laws.full(COORDINATES)],
)


def _pressed(network: Network, deadline: ArrayLike, rng: np.random.Generator) -> Network:
    """A fifth of the devices each: slow, quick at least, weak, short of energy, and as drawn."""
    size = network.size
    kind = rng.integers(5, size=size)
    needed = network.cycles / (np.asarray(deadline) * rng.uniform(0.3, 0.9, size))
    fastest = np.maximum(needed, 1.01 * network.cpu_min_hz)
    network = network.replace(
        cpu_max_hz=np.where(kind == 0, fastest, network.cpu_max_hz),
        cpu_min_hz=np.where(kind == 1, 0.8 * network.cpu_max_hz, network.cpu_min_hz),
        power_max_w=np.where(kind == 2, 0.1, 1.0) * network.power_max_w,
    )
    uplink = Uplink(network, deadline)
    short = (kind == 3) & np.isfinite(uplink.least_hz) & (network.upload_bit > 0.0)
    energy = network.energy_j.copy()
    if short.any():
        alone = Uplink(network[short], np.broadcast_to(deadline, size)[short])
        energy[short] = alone.at(2.0 * alone.floor.b)[1] * rng.uniform(1.0, 1.2, int(short.sum()))
    return network.replace(energy_j=energy)


def _participation(size: int, rng: np.random.Generator) -> MaxParticipation:
    drawn = joint(seed_of(rng), size)
    return MaxParticipation(drawn.network, drawn.deadline_s, drawn.utility)


def _joint(size: int, rng: np.random.Generator) -> JointSchedule:
    """One round in three has a budget of energy for all."""
    drawn = joint(seed_of(rng), size)
    network = _pressed(drawn.network, drawn.deadline_s, rng)
    budget = drawn.energy_total_j if rng.random() < 0.35 else math.inf
    return dataclasses.replace(drawn, network=network, energy_total_j=budget)


def _meta(size: int, rng: np.random.Generator) -> MetaSelection:
    """All limits of the round, and doubt and seats besides."""
    drawn, doubt = _joint(size, rng), rng.uniform(0.0, [0.2, 4.0])
    return MetaSelection(
        drawn.network,
        rng.exponential(3.0, size),
        int(rng.integers(size // 2, size + 2)),
        drawn.deadline_s,
        *doubt.tolist(),
        drawn.energy_total_j,
    )


def _fedcs(size: int, rng: np.random.Generator) -> FedCS:
    """Uploads in turn take up to three times as long as the round; some are short of energy."""
    drawn = cell(rng, size)
    network = drawn.replace(
        band_hz=5e5, gain=np.maximum(drawn.gain, 1e-11), energy_j=0.1 * drawn.energy_j
    )
    deadline = 0.5 + 0.05 * size * rng.uniform(0.2, 1.0)
    return FedCS(network, float(deadline), rng.uniform(0.0, 0.3, size))


def _training(size: int, rng: np.random.Generator) -> BudgetedTraining:
    """Rounds fall with utility to the power 0.5, 1 or 2, from hardly to nearly all the way."""
    drawn = joint(seed_of(rng), size)
    worth = drawn.network.samples if drawn.utility is None else np.asarray(drawn.utility)
    power = float(rng.choice([0.5, 1.0, 2.0]))
    shared = 20.0 * float((worth.sum() * rng.uniform(0.1, 3.0)) ** power)
    return BudgetedTraining(drawn.network, RoundsModel(20.0, shared, power), drawn.utility)


def _residence(size: int, rng: np.random.Generator) -> ResidenceScheduling:
    """Devices stay for 0.2 to 10 deadlines in the mean."""
    drawn = joint(seed_of(rng), size)
    stay = np.asarray(drawn.deadline_s) * 10.0 ** rng.uniform(-0.7, 1.0, size)
    return ResidenceScheduling(drawn.network, drawn.deadline_s, stay, drawn.utility)


def _bands(size: int, rng: np.random.Generator) -> BandSelection:
    """Each band holds a tenth to four tenths of what all would use; chains cost some energy."""
    deadline = 10.0 ** rng.uniform(-0.3, 0.7, size)
    low = _pressed(cell(rng, size), deadline, rng)
    high = low.replace(gain=low.gain * 10.0 ** rng.uniform(-1.0, 1.0, size))
    bands = []
    for network in (low, high):
        least = Uplink(network, deadline).least_hz
        needed = float(least[np.isfinite(least)].sum()) or 1.0
        bands.append(network.replace(band_hz=needed * rng.uniform(0.1, 0.4)))
    return BandSelection(
        *bands,
        deadline,
        blockage_sub6=rng.uniform(0.0, 0.1, size),
        blockage_mmwave=rng.uniform(0.0, 0.3, size),
        chain_mmwave_j=rng.uniform(0.0, 0.02, size),
    )


def _wider(name: str) -> Any:
    def free(problem: BandSelection) -> BandSelection:
        network: Network = getattr(problem, name)
        return dataclasses.replace(problem, **{name: network.replace(band_hz=ENDLESS)})

    return free


def _levels(size: int, rng: np.random.Generator) -> CompressionLevels:
    """A band of a hundredth to half of what full updates would need."""
    drawn = cell(rng, size).replace(upload_bit=32.0 * COORDINATES)
    deadline = 10.0 ** rng.uniform(-0.3, 0.7, size)
    least = Uplink(drawn, deadline).least_hz
    usual = float(np.median(least[np.isfinite(least)])) if np.isfinite(least).any() else 1e6
    share = 10.0 ** rng.uniform(-2.0, -0.3)
    network = drawn.replace(band_hz=share * float(np.minimum(least, 5.0 * usual).sum()))
    menu = MENUS[int(rng.integers(2))]
    norm = rng.exponential(1.0, size)
    return CompressionLevels.from_levels(network, deadline, menu, norm, silence=True)


def _horizon(size: int, rng: np.random.Generator) -> LongTermEnergy:
    """Four rounds of fading; batteries pay for one to four of them, half have little power."""
    deadline = 10.0 ** rng.uniform(-0.3, 0.7, size)
    drawn = _pressed(cell(rng, size), deadline, rng)
    network = drawn.replace(
        energy_j=math.inf,
        upload_bit=np.maximum(drawn.upload_bit, 1e4),
        power_max_w=np.where(rng.random(size) < 0.5, 0.01, 1.0) * drawn.power_max_w,
    )
    uplink = Uplink(network, deadline)
    able = np.isfinite(uplink.least_hz)
    needed = float(uplink.least_hz[able].sum()) or 1.0
    network = network.replace(band_hz=needed * rng.uniform(0.2, 1.0))
    spent = np.full(size, 1.0)
    if able.any():
        alone = Uplink(network[able], deadline[able])
        spent[able] = alone.at(2.0 * alone.floor.b)[1]
    fades = np.maximum(rng.exponential(1.0, (4, size)), 0.2)
    rounds = tuple(network.replace(gain=network.gain * fade) for fade in fades)
    return LongTermEnergy(rounds, deadline, spent * rng.uniform(1.0, 4.0, size))


def _wide_rounds(problem: LongTermEnergy) -> LongTermEnergy:
    horizon = tuple(network.replace(band_hz=ENDLESS) for network in problem.horizon)
    return dataclasses.replace(problem, horizon=horizon)


BAND = {"band": in_network("band_hz", ENDLESS)}
TOTAL = {"energy_total": limitless(energy_total_j=math.inf)}

LAWS = {
    "MaxParticipation": Law(
        _participation, (2, 100), (1_000, 10_000, 100_000), (100, 1_000, 10_000), without=BAND
    ),
    "JointSchedule": Law(
        _joint, (3, 12), (100, 1_000, 10_000), (10, 40, 100, 200), without=BAND | TOTAL
    ),
    "MetaSelection": Law(
        _meta, (5, 12), (100, 1_000, 10_000), (10, 40, 100, 200), without=BAND | TOTAL
    ),
    "FedCS": Law(
        _fedcs,
        (2, 30),
        (100, 1_000, 10_000),
        (20, 80, 300, 1_000),
        without={"deadline": limitless(deadline_s=ENDLESS), "energy": in_network("energy_j")},
        idle={"cpu_min": "uploads in turn leave no reason to compute slowly"},
    ),
    "BudgetedTraining": Law(_training, (2, 30), (100, 1_000, 10_000), (4, 7, 10)),
    "CompressionLevels": Law(
        _levels, (2, 50), (1_000, 10_000, 100_000), (30, 300, 3_000), without=BAND
    ),
    "ResidenceScheduling": Law(
        _residence,
        (2, 20),
        (10, 100, 1_000),
        (4, 8, 16),
        open="what a grid of finish times leaves",
    ),
    "BandSelection": Law(
        _bands,
        (5, 12),
        (10, 100, 1_000),
        (5, 10, 20, 40, 80),
        without={f"band_{name}": _wider(name) for name in ("sub6", "mmwave")},
    ),
    "LongTermEnergy": Law(
        _horizon,
        (2, 6),
        (4, 12, 36),
        without={"energy_total": limitless(budget_j=ENDLESS), "band": _wide_rounds},
    ),
}
