"""The energy that a further hertz saves, against finite differences where power is the limit."""

from __future__ import annotations

import numpy as np
import pytest

import fl_opt
from fl_opt.problems.uplink import Uplink


@pytest.mark.parametrize("seed", range(5))
def test_tangents_of_the_energy_stay_below_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 50
    network = fl_opt.Network(
        gain=10.0 ** rng.uniform(-13, -9, size),
        power_max_w=10.0 ** rng.uniform(-3, 0, size),
        cpu_min_hz=0.0,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=10.0 ** rng.uniform(7, 9, size),
        upload_bit=3e5,
        samples=1.0,
        band_hz=1e7,
    )
    uplink = Uplink(network, 1.0)
    able = np.isfinite(uplink.floor.b)
    least = np.where(able, uplink.floor.b, 1e9)
    near, far = (least * (1.0 + 10.0 ** rng.uniform(-3, 1, size)) for _ in range(2))
    _, energy, slope = uplink.at(near)
    _, there, _ = uplink.at(far)
    below = energy + slope * (far - near) <= there * (1.0 + 1e-9)
    assert below[able].all()
