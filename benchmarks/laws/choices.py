"""Random rounds in which only some devices can take part."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from benchmarks.laws.contested import cell, joint, on_band
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


def _participation(size: int, rng: np.random.Generator) -> MaxParticipation:
    drawn = joint(seed_of(rng), size)
    return MaxParticipation(drawn.network, drawn.deadline_s, drawn.utility)


def _joint(size: int, rng: np.random.Generator) -> JointSchedule:
    return joint(seed_of(rng), size)


def _meta(size: int, rng: np.random.Generator) -> MetaSelection:
    return on_band(seed_of(rng), size)


def _fedcs(size: int, rng: np.random.Generator) -> FedCS:
    """Uploads in turn take up to three times as long as the round; some are short of energy."""
    network = cell(rng, size).replace(band_hz=4e6)
    able = network.replace(gain=np.maximum(network.gain, 1e-11))
    deadline = 1.0 + 0.05 * size * rng.uniform(0.2, 1.0)
    return FedCS(able, float(deadline), rng.uniform(0.0, 0.3, size))


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
    low, deadline = cell(rng, size), 10.0 ** rng.uniform(-0.3, 0.7, size)
    high = low.replace(gain=low.gain * 10.0 ** rng.uniform(-2.0, 1.0, size))
    bands = []
    for network in (low, high):
        least = Uplink(network, deadline).least_hz
        needed = float(least[np.isfinite(least)].sum()) or 1.0
        bands.append(network.replace(band_hz=needed * rng.uniform(0.1, 0.4)))
    return BandSelection(
        *bands,
        deadline,
        blockage_sub6=rng.uniform(0.0, 0.1, size),
        blockage_mmwave=rng.uniform(0.0, 0.6, size),
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
    """Eight rounds of fading; batteries pay for one to eight of them by themselves."""
    drawn = cell(rng, size)
    network = drawn.replace(energy_j=math.inf, upload_bit=np.maximum(drawn.upload_bit, 1e4))
    deadline = 10.0 ** rng.uniform(-0.3, 0.7, size)
    uplink = Uplink(network, deadline)
    able = np.isfinite(uplink.least_hz)
    needed = float(uplink.least_hz[able].sum()) or 1.0
    network = network.replace(band_hz=needed * rng.uniform(0.2, 1.0))
    spent = np.full(size, 1.0)
    if able.any():
        alone = Uplink(network[able], deadline[able])
        spent[able] = alone.at(2.0 * alone.floor.b)[1]
    fades = np.maximum(rng.exponential(1.0, (8, size)), 0.2)
    rounds = tuple(network.replace(gain=network.gain * fade) for fade in fades)
    return LongTermEnergy(rounds, deadline, spent * rng.uniform(1.0, 8.0, size))


def _wide_rounds(problem: LongTermEnergy) -> LongTermEnergy:
    horizon = tuple(network.replace(band_hz=ENDLESS) for network in problem.horizon)
    return dataclasses.replace(problem, horizon=horizon)


BAND = {"band": in_network("band_hz", ENDLESS)}
TOTAL = {"energy_total": limitless(energy_total_j=math.inf)}

LAWS = {
    "MaxParticipation": Law(
        _participation, (2, 100), (1_000, 10_000, 100_000), (100, 300, 1_000), without=BAND
    ),
    "JointSchedule": Law(_joint, (2, 12), (100, 1_000, 10_000), (10, 20, 40), without=BAND | TOTAL),
    "MetaSelection": Law(_meta, (2, 12), (100, 1_000, 10_000), (10, 20, 40), without=BAND | TOTAL),
    "FedCS": Law(
        _fedcs,
        (2, 30),
        (1_000, 10_000, 100_000),
        (10, 20, 40, 80),
        without={"deadline": limitless(deadline_s=ENDLESS), "energy": in_network("energy_j")},
    ),
    "BudgetedTraining": Law(_training, (2, 30), (100, 1_000, 10_000)),
    "CompressionLevels": Law(
        _levels, (2, 50), (1_000, 10_000, 100_000), (30, 100, 300), without=BAND
    ),
    "ResidenceScheduling": Law(_residence, (2, 20), (10, 100, 1_000)),
    "BandSelection": Law(
        _bands,
        (2, 8),
        (10, 100, 1_000),
        (5, 10, 20),
        without={f"band_{name}": _wider(name) for name in ("sub6", "mmwave")},
    ),
    "LongTermEnergy": Law(
        _horizon,
        (2, 6),
        (5, 20, 80),
        without={"energy_total": limitless(budget_j=ENDLESS), "band": _wide_rounds},
    ),
}
