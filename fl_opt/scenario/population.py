"""The devices of a scenario: what does not change from run to run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.errors import InvalidInput
from fl_opt.scenario.owners import Data, Devices
from fl_opt.scenario.real import phone_speeds
from fl_opt.scenario.streams import Streams
from fl_opt.units import Floats, watt_from_dbm

GOLDEN = 0.6180339887498949
"""Fractional part of the golden ratio: its multiples fill [0, 1) evenly from the first on."""


@dataclass(frozen=True, eq=False)
class Population:
    """Means of the devices, read-only arrays (K,) as in ``Network``; `kind` indexes the class."""

    kind: NDArray[np.intp]
    cpu_min_hz: Floats
    cpu_max_hz: Floats
    capacitance: Floats
    power_max_w: Floats
    battery_j: Floats
    round_energy_j: Floats
    samples: Floats

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            getattr(self, item.name).flags.writeable = False


def populate(devices: Devices, data: Data, size: int, streams: Streams) -> Population:
    """Devices of their classes.

    The shares are met within a few devices however many take part, and device k belongs to the
    same class in a small cell as in a large one.
    """
    classes = devices.classes
    shares = np.cumsum([kind.share for kind in classes])
    rank = ((np.arange(size) + 0.5) * GOLDEN) % 1.0
    kind = np.searchsorted(shares[:-1] / shares[-1], rank, side="right")

    def each(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)[kind]

    spread = each([item.cpu_spread for item in classes])
    ratio = 1.0 + spread * (2.0 * streams.uniform("clock", 0, size) - 1.0)
    if devices.benchmark is not None:
        speeds = phone_speeds()
        drawn = speeds[(streams.uniform("phone", 0, size) * speeds.size).astype(np.intp)]
        ratio *= np.clip(drawn, devices.benchmark.least_ratio, devices.benchmark.most_ratio)
    cpu_max_hz = each([item.cpu_max_hz for item in classes]) * ratio
    cpu_min_hz = np.minimum(each([item.cpu_min_hz for item in classes]), cpu_max_hz)
    return Population(
        kind=kind,
        cpu_min_hz=cpu_min_hz,
        cpu_max_hz=cpu_max_hz,
        capacitance=each([item.capacitance_j_s2_cycle3 for item in classes]),
        power_max_w=each([float(watt_from_dbm(item.power_max_dbm)) for item in classes]),
        battery_j=each([item.battery_j or np.inf for item in classes]),
        round_energy_j=each([item.round_energy_j or np.inf for item in classes]),
        samples=_samples(data, size, streams),
    )


def _samples(data: Data, size: int, streams: Streams) -> Floats:
    if data.samples is not None:
        if len(data.samples) < size:
            raise InvalidInput(
                "data.samples", f"{len(data.samples)} numbers", f"one for each of {size} devices"
            )
        return np.array(data.samples[:size], dtype=np.float64)
    if data.sizes == "equal":
        return np.full(size, float(data.mean_samples))
    # The mean of exp(s z) is exp(s^2/2): divided out, the mean size does not depend on the spread.
    factor = np.exp(data.spread * streams.normal("samples", 0, size) - data.spread**2 / 2.0)
    return np.maximum(np.round(data.mean_samples * factor), 1.0)
