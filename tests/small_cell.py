"""A small cell for tests, and the gains of its first rounds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from fl_opt import Workload
from fl_opt.scenario import Scenario, names
from fl_opt.units import Floats

WORK = Workload(cycles=5e8, upload_bit=1e6, samples=500)
WALK = {"speed_min_m_s": 1.0, "speed_max_m_s": 2.0, "interval_s": 10.0}
SHIPPED = [name for name in names() if name != "melbourne"]
"""Shipped scenarios that need no data from elsewhere."""
TEXT = """
name = "small"
[radio]
carrier_hz = 2e9
band_hz = 1e6
[cell]
radius_m = 300.0
base_height_m = 25.0
[channel]
path_loss = "uma"
[devices]
count = 12
[[devices.class]]
name = "phone"
cpu_max_hz = 2e9
cpu_spread = 0.3
power_max_dbm = 23
[data]
sizes = "lognormal"
"""


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def small(**changes: Any) -> Scenario:
    return Scenario.from_text(TEXT).replace(**changes)


def gains(scenario: Scenario, rounds: int, seed: int = 5) -> Floats:
    """(rounds, K) gains of the first rounds."""
    return np.array([m.gain for m in itertools.islice(scenario.layouts(rng(seed)), rounds)])
