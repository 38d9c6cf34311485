"""A world that stands still: the same network in every round, for tests of the simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_opt import Allocation, Network, Round, Workload
from fl_opt.units import Floats
from fl_opt.validation.simulation import Places


def network(size: int = 4, **changes: Any) -> Network:
    """A plain network; training takes 0.1 s at full clock and 0.0001 J at 1e-28."""
    fields: dict[str, Any] = {
        "gain": np.full(size, 1e-10),
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 100.0,
        "band_hz": 4e6,
    }
    return Network(**(fields | changes))


@dataclass(frozen=True, eq=False)
class StillWorld:
    """Nature without chance."""

    network: Network
    battery_j: Floats | None = None
    length: int = 10**6
    broadcast_s: float = 0.01

    @property
    def size(self) -> int:
        return self.network.size

    @property
    def data_sizes(self) -> Floats:
        return self.network.samples

    @property
    def positions_m(self) -> Floats:
        return np.zeros((self.size, 2))

    def layout(self, rng: np.random.Generator) -> Places:
        return self

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        for _ in range(self.length):
            yield self.network.replace(
                cycles=workload.cycles, upload_bit=workload.upload_bit, samples=workload.samples
            )

    def downlink_s(self, model_bit: float, network: Network) -> float:
        return self.broadcast_s


@dataclass(frozen=True)
class Equal:
    """Everybody, or some, with equal bandwidth, full power and full clock."""

    deadline_s: float = float("inf")
    only: tuple[int, ...] | None = None

    def start(self, size: int, rng: np.random.Generator) -> None:
        pass

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        net = round.network
        selected = np.isin(np.arange(net.size), range(net.size) if self.only is None else self.only)
        allocation = Allocation(
            selected=selected,
            bandwidth_hz=net.band_hz / max(1, selected.sum()),
            power_w=net.power_max_w,
            cpu_hz=net.cpu_max_hz,
            deadline_s=self.deadline_s,
        )
        return allocation, None
