"""Small cells that split a network with a server."""

from __future__ import annotations

import numpy as np

from fl_opt import Network, SplitProfile


def profile(rng: np.random.Generator, layers: int) -> SplitProfile:
    """A chain whose activations tend to shrink."""
    cycles = rng.uniform(0.2, 1.0, layers) * 2e8
    sizes = np.sort(rng.uniform(0.02, 1.0, layers))[::-1] * 1e6 * rng.uniform(0.5, 1.5, layers)
    return SplitProfile.from_layers(cycles, sizes)


def cell(rng: np.random.Generator, size: int, load: float) -> Network:
    """Devices near and far, quick and slow; `load` times half a megahertz each."""
    return Network(
        gain=10.0 ** rng.uniform(-11.5, -9.0, size),
        power_max_w=rng.choice([0.1, 0.2], size),
        cpu_min_hz=1e8,
        cpu_max_hz=rng.uniform(0.5e9, 2e9, size),
        capacitance=rng.uniform(0.5, 3.0, size) * 1e-27,
        cycles=1.0,
        upload_bit=1.0,
        samples=1.0,
        band_hz=5e5 * size * load,
    )
