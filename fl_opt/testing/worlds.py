"""Small random worlds in which a policy is tried, ordinary and degenerate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.network import Network
from fl_opt.units import Floats

ROUNDS = 4


@dataclass(frozen=True, eq=False)
class World:
    """Some rounds, with signals."""

    name: str
    networks: tuple[Network, ...]
    signal: tuple[Floats, ...]

    def renumbered(self, order: NDArray[np.int_]) -> World:
        """The same devices under other numbers."""
        return World(
            self.name,
            tuple(network[order] for network in self.networks),
            tuple(signal[order] for signal in self.signal),
        )


def world(name: str, size: int, seed: int, **changes: Any) -> World:
    """Fading links and mixed devices; `changes` map fields of the network to functions of size."""
    rng = np.random.default_rng((seed, size, len(name)))
    speed = rng.uniform(5e8, 3e9, size)
    first = Network(
        gain=10.0 ** rng.uniform(-12.5, -9.0, size),
        power_max_w=rng.uniform(0.1, 0.3, size),
        cpu_min_hz=0.1 * speed,
        cpu_max_hz=speed,
        capacitance=1e-28,
        cycles=rng.uniform(5e7, 3e8, size),
        upload_bit=rng.uniform(2e5, 4e5, size),
        samples=rng.uniform(50.0, 900.0, size),
        band_hz=2e5 * size,
    ).replace(**{key: value(size) for key, value in changes.items()})
    fading = rng.exponential(1.0, (ROUNDS, size))
    networks = tuple(first.replace(gain=first.gain * fade) for fade in fading)
    return World(name, networks, tuple(rng.uniform(0.1, 9.0, (ROUNDS, size))))


def worlds(seed: int) -> Iterator[World]:
    """Ordinary and degenerate worlds."""

    def last_is(value: float, others: float) -> Any:
        return lambda size: np.where(np.arange(size) == size - 1, value, others)

    yield world("five devices", 5, seed)
    yield world("twenty devices", 20, seed)
    yield world("a single device", 1, seed)
    yield world("the last link is dead", 4, seed, gain=last_is(0.0, 1e-10))
    yield world("all links are dead", 3, seed, gain=np.zeros)
    yield world("the last battery is empty", 4, seed, energy_j=last_is(0.0, 10.0))
    yield world("all batteries are empty", 3, seed, energy_j=np.zeros)
    yield world(
        "batteries nearly empty", 8, seed, energy_j=lambda size: np.geomspace(1e-4, 1, size)
    )
    yield world("a single dead device", 1, seed, gain=np.zeros, energy_j=np.zeros)
    yield world("nothing to send", 3, seed, upload_bit=np.zeros)
    yield world("nothing to compute", 3, seed, cycles=np.zeros)
    yield world("a band of zero", 3, seed, band_hz=lambda size: 0.0)
