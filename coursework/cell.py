"""Draw the cell of an exercise: devices spread over a disc, path loss, fading, what they train.

Makes the `network.csv` of every exercise again, bit for bit, from the seed in its
`cell.toml`::

    python coursework/cell.py
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

import fl_opt
from fl_opt.units import ratio_from_db

HERE = Path(__file__).resolve().parent
BIT_PER_PARAMETER = 32


def draw(
    seed: int,
    devices: int,
    radius_m: float,
    parameters: int,
    cycles_per_sample: float,
    band_hz: float,
    energy_j: float,
) -> fl_opt.Network:
    """A network drawn from a seed.

    Places are even over a disc from 20 m to `radius_m`; path loss 128.1 + 37.6 log10 d[km] dB,
    Rayleigh fading; 50 to 400 samples a device, of which each costs `cycles_per_sample`; clocks
    from 0.2 GHz up to between 1 and 2.5 GHz; the update has `parameters` of 32 bit. `energy_j` is
    what each device may spend in the round.
    """
    rng = np.random.default_rng(seed)
    distance_m = np.sqrt(rng.uniform(20.0**2, radius_m**2, devices))
    gain = ratio_from_db(-128.1 - 37.6 * np.log10(distance_m / 1e3)) * rng.exponential(1.0, devices)
    samples = rng.integers(50, 401, devices)
    return fl_opt.Network(
        gain=np.array([float(f"{value:.4g}") for value in gain]),
        power_max_w=0.2,
        cpu_min_hz=0.2e9,
        cpu_max_hz=np.round(rng.uniform(1.0e9, 2.5e9, devices), -7),
        capacitance=1e-28,
        cycles=cycles_per_sample * samples,
        upload_bit=float(BIT_PER_PARAMETER * parameters),
        energy_j=energy_j,
        samples=samples.astype(float),
        band_hz=band_hz,
    )


def main() -> None:
    """Write the network of every exercise."""
    for path in sorted(HERE.glob("*/cell.toml")):
        cell = tomllib.loads(path.read_text(encoding="utf-8"))
        draw(**cell).to_csv(path.parent / "network.csv")
        print(path.parent / "network.csv")


if __name__ == "__main__":
    main()
