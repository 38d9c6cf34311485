"""Random channels that all devices use at once: sums over the air, and rates within capacity."""

from __future__ import annotations

import numpy as np

from benchmarks.laws.law import Law, limitless
from fl_opt import (
    Antennas,
    MultipleAccess,
    OverTheAirFading,
    OverTheAirPower,
    OverTheAirSelection,
    PolymatroidBits,
    PolymatroidRates,
    PrivatePower,
    TruncatedInversion,
)


def _power(size: int, rng: np.random.Generator) -> OverTheAirPower:
    """From drowning in noise to hardly any; a tenth of the links is dead."""
    gain = rng.exponential(1.0, size) * 10.0 ** rng.uniform(-13, -8, size)
    gain[rng.random(size) < 0.1] = 0.0
    return OverTheAirPower(gain, rng.uniform(0.01, 1.0, size), 10.0 ** rng.uniform(-20, -6))


def _fading(size: int, rng: np.random.Generator) -> OverTheAirFading:
    """Sixteen Rayleigh states around gains that differ by decades; links are dead at times."""
    gain = rng.exponential(1.0, (16, size)) * 10.0 ** rng.uniform(-12, -9, size)
    gain[rng.random((16, size)) < 0.1] = 0.0
    return OverTheAirFading(gain, rng.uniform(0.01, 1.0, size), 10.0 ** rng.uniform(-15, -8))


def _selection(size: int, rng: np.random.Generator) -> OverTheAirSelection:
    """Rayleigh channels to four antennas, an error that about half of the devices meet."""
    channels = Antennas.rayleigh(1e-10 * rng.exponential(1.0, size), 4, rng)
    return OverTheAirSelection(channels, 0.1, 1e-12, 10.0 ** rng.uniform(-1.5, 0.0))


def _inversion(size: int, rng: np.random.Generator) -> TruncatedInversion:
    """From hardly heard to loud; half must have no bias, three in four a least participation."""
    return TruncatedInversion(
        devices=size,
        power_w=10.0 ** rng.uniform(-3, 0),
        noise_w=10.0 ** rng.uniform(-16, -10),
        gain=10.0 ** rng.uniform(-13, -9),
        symbols=int(10.0 ** rng.uniform(0, 3)),
        participation_min=float(rng.choice([0.0, 0.5, 0.8, 0.99])),
        unbiased=bool(rng.random() < 0.5),
    )


def _private(size: int, rng: np.random.Generator) -> PrivatePower:
    """Eight fading rounds, from privacy that rules all of them to privacy that is free."""
    return PrivatePower(
        rng.exponential(1.0, (8, size)) * 10.0 ** rng.uniform(-12, -9),
        rng.uniform(0.01, 0.5, size),
        10.0 ** rng.uniform(-14, -9),
        10.0 ** rng.uniform(-1, 4),
        10.0 ** rng.uniform(-9, -2),
        rng.uniform(0.1, 10.0),
        int(rng.integers(1, 10_000)),
        rng.uniform(0.2, 5.0, 8),
    )


def _channel(size: int, rng: np.random.Generator) -> MultipleAccess:
    """SNRs from far below to far above one, some devices dead."""
    gain = 10.0 ** rng.uniform(-13.0, -8.0, size) * (rng.random(size) > 0.1)
    return MultipleAccess(rng.uniform(0.05, 1.0, size), gain, 1e-11)


def _rates(size: int, rng: np.random.Generator) -> PolymatroidRates:
    return PolymatroidRates(_channel(size, rng), rng.exponential(1.0, size))


def _bits(size: int, rng: np.random.Generator) -> PolymatroidBits:
    return PolymatroidBits(
        _channel(size, rng),
        rng.exponential(1.0, size),
        rng.exponential(1.0, size),
        rng.uniform(0.5, 4.0, size),
        10.0 ** rng.uniform(-1.0, 1.0),
    )


LAWS = {
    "OverTheAirPower": Law(_power, (1, 100), (1_000, 10_000, 100_000), (30, 300, 3_000, 30_000)),
    "OverTheAirFading": Law(_fading, (1, 10), (10, 30, 100), (3, 10, 30, 100)),
    "OverTheAirSelection": Law(
        _selection,
        (2, 10),
        (10, 20, 40),
        (4, 6, 8, 10),
        without={"error": limitless(error_max=1e6)},
        open="a set may have a matrix, and no beam be known",
    ),
    "TruncatedInversion": Law(_inversion, (1, 10_000), (10, 1_000, 100_000), (10, 10_000)),
    "PrivatePower": Law(_private, (1, 50), (1_000, 10_000, 100_000), (10, 100, 1_000, 10_000)),
    "PolymatroidRates": Law(_rates, (1, 50), (1_000, 10_000, 100_000), (4, 6, 8)),
    "PolymatroidBits": Law(_bits, (1, 50), (100, 1_000, 10_000), (4, 6, 8)),
}
