"""One round of devices that may upload to one of several edge servers, each with its own band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import THERMAL_NOISE_W_HZ, Floats

if TYPE_CHECKING:
    import pandas

_OWN = (
    "power_max_w",
    "cpu_min_hz",
    "cpu_max_hz",
    "capacitance",
    "cycles",
    "upload_bit",
    "samples",
    "energy_j",
    "noise_w_hz",
)
"""What a device has at any edge."""


@dataclass(frozen=True, eq=False, init=False)
class EdgeNetwork:
    """Frozen arrays of one round of K devices and E edge servers, SI units.

    Parameters
    ----------
    gain
        Channel power gain (K, E) from each device to each edge; 0 is out of reach [-].
    edge_band_hz
        Band of each edge (E,), shared by its devices [Hz].
    power_max_w, cpu_min_hz, cpu_max_hz, capacitance, cycles, upload_bit, samples
        As in `Network`, (K,).
    energy_j
        Energy that a device may spend in the round (K,), default infinite [J].
    noise_w_hz
        Noise density (K,), default -174 dBm/Hz [W/Hz].

    Scalars broadcast. Raises ``InvalidInput`` for NaN, a wrong shape or sign, or infinity where a
    finite value is meant.

    >>> import fl_opt
    >>> fl_opt.EdgeNetwork(
    ...     gain=[[1e-10, 3e-11], [2e-12, 4e-11]], edge_band_hz=1e6, power_max_w=0.2,
    ...     cpu_min_hz=1e8, cpu_max_hz=2e9, capacitance=1e-28, cycles=2e8, upload_bit=3e5)
    EdgeNetwork(size=2, edges=2)
    """

    gain: Floats
    edge_band_hz: Floats
    power_max_w: Floats
    cpu_min_hz: Floats
    cpu_max_hz: Floats
    capacitance: Floats
    cycles: Floats
    upload_bit: Floats
    samples: Floats
    energy_j: Floats
    noise_w_hz: Floats

    def __init__(
        self,
        *,
        gain: ArrayLike,
        edge_band_hz: ArrayLike,
        power_max_w: ArrayLike,
        cpu_min_hz: ArrayLike,
        cpu_max_hz: ArrayLike,
        capacitance: ArrayLike,
        cycles: ArrayLike,
        upload_bit: ArrayLike,
        samples: ArrayLike = 1.0,
        energy_j: ArrayLike = math.inf,
        noise_w_hz: ArrayLike = THERMAL_NOISE_W_HZ,
    ) -> None:
        put = object.__setattr__
        put(self, "gain", _table(gain))
        size, edges = self.gain.shape
        put(self, "edge_band_hz", vector("edge_band_hz", edge_band_hz, edges))
        devices = Network(
            gain=self.gain.max(axis=1),
            power_max_w=vector("power_max_w", power_max_w, size, finite=False),
            cpu_min_hz=cpu_min_hz,
            cpu_max_hz=cpu_max_hz,
            capacitance=capacitance,
            cycles=cycles,
            upload_bit=upload_bit,
            samples=samples,
            energy_j=energy_j,
            noise_w_hz=noise_w_hz,
            band_hz=float(self.edge_band_hz.sum()),
        )
        for name in _OWN:
            put(self, name, getattr(devices, name))

    @cached_property
    def devices(self) -> Network:
        """The devices with their best gains and all bands together."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _OWN}
        gain, band = self.gain.max(axis=1), float(self.edge_band_hz.sum())
        return Network(gain=gain, band_hz=band, **fields)

    @classmethod
    def from_network(
        cls, network: Network, gain: ArrayLike, edge_band_hz: ArrayLike | None = None
    ) -> EdgeNetwork:
        """The devices of a round with other gains (K, E); its band is shared equally if none."""
        table = _table(gain)
        if edge_band_hz is None:
            edge_band_hz = network.band_hz / table.shape[1]
        fields: dict[str, Any] = {name: getattr(network, name) for name in _OWN}
        return cls(gain=table, edge_band_hz=edge_band_hz, **fields)

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.gain.shape[0])

    @property
    def edges(self) -> int:
        """Number of edges E."""
        return int(self.gain.shape[1])

    def __repr__(self) -> str:
        return f"EdgeNetwork(size={self.size}, edges={self.edges})"

    def at(self, edge: int, members: NDArray[np.int_] | NDArray[np.bool_]) -> Network:
        """The round of some devices, at least one, at one edge."""
        return self.devices[members].replace(
            gain=self.gain[members, edge], band_hz=float(self.edge_band_hz[edge])
        )

    def under(self, edge: NDArray[np.int_]) -> Network:
        """All devices with the gains to the edges (K,) that they are with, and all bands."""
        return self.devices.replace(gain=self.gain[np.arange(self.size), edge])


@dataclass(frozen=True, eq=False)
class EdgeAllocation:
    """What is decided: which `edge` (K,) each device is with, and its `allocation` there."""

    edge: NDArray[np.int_]
    allocation: Allocation

    @property
    def selected(self) -> NDArray[np.bool_]:
        """(K,) who takes part."""
        return self.allocation.selected

    def to_round(self, network: Network) -> Allocation:
        """The allocation; for a network with the gains to the edges and all their bands."""
        if network.size != self.edge.size:
            raise InvalidInput("network.size", network.size, f"{self.edge.size}, as the decision")
        return self.allocation

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        frame: pandas.DataFrame = self.allocation.to_frame()
        frame.insert(0, "edge", self.edge)
        return frame


def _table(gain: ArrayLike) -> Floats:
    try:
        array = np.array(gain, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("gain", repr(gain)[:80], "numbers") from None
    if array.ndim != 2 or not array.size:
        raise InvalidInput("gain.shape", np.shape(gain), "(K, E), devices by edges")
    bad = np.argwhere(~(np.isfinite(array) & (array >= 0.0)))
    if bad.size:
        k, e = bad[0]
        raise InvalidInput(f"gain[{k}, {e}]", array[k, e], "a number >= 0, finite")
    array.flags.writeable = False
    return array
