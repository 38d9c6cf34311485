"""Instances of blocks at levels: a published one, and random ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fl_opt.problems import BlockLevels, BlockNetwork
from fl_opt.problems.block_links import Counted

LEVEL_CASE = json.loads((Path(__file__).parent / "cases" / "e2ws_K5_RB5.json").read_text())
COUNTED: tuple[Counted, ...] = ("neither", "energy", "both")


def published_levels(distance_m: Any = None, metric: Any = None, **changes: Any) -> BlockLevels:
    """The instance of the file, see its `source`, or others of its kind, in SI.

    The published program counts rates in Mbit/s and the payload in units of 2^20 byte, by which
    a payload of 39,760 x 4 byte takes as long as 151,672 bit; the same number, without a unit,
    stands for the cycles of training. Noise of 1e-20 per MHz is 1e-26 W/Hz.
    """
    distance = LEVEL_CASE["distance_m"] if distance_m is None else distance_m
    metrics = np.asarray(LEVEL_CASE["metric"] if metric is None else metric)
    blocks = changes.pop("blocks", LEVEL_CASE["rb"])
    size = LEVEL_CASE["model_params"] * 4 / 2**20
    network = BlockNetwork.from_distance(
        distance, interference_w=(0.01 + 0.01 * np.arange(blocks)) * 1e-6,
        power_max_w=LEVEL_CASE["power_W"][-1], upload_bit=1e6 * size, samples=1, noise_w_hz=1e-26,
        band_hz=1e6, waterfall=1.08, cycles=40 * size, capacitance=1e-27,
    )  # fmt: skip
    fields = {
        "bandwidth_hz": 1e6 * np.array(LEVEL_CASE["bw_MHz"]),
        "power_w": LEVEL_CASE["power_W"],
        "cpu_hz": LEVEL_CASE["cpu_Hz"],
        "band_total_hz": 1e6 * blocks,
        "delay_s": 0.3,
        "error_max": 0.3,
        "utility": 140.0 * (1.0 - metrics) + 210.0,
        "utility_per_j": 600.0,
        "training": "energy",
    }
    return BlockLevels(network, **(fields | changes))


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
