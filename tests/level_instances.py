"""Instances of blocks at levels: a published one, and random ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fl_opt.problems import BlockLevels, BlockNetwork

LEVEL_CASE = json.loads((Path(__file__).parent / "cases" / "e2ws_K5_RB5.json").read_text())


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
