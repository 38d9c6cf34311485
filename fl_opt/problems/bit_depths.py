"""What bit allocation decides: bits per coordinate of every update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.problems.in_turn import clock_hz
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class BitDepths:
    """What bit allocation decides: `bits` per coordinate and `coordinates`, (K,)."""

    bits: Floats
    coordinates: Floats

    def __init__(self, bits: ArrayLike, coordinates: ArrayLike) -> None:
        size = np.size(bits)
        object.__setattr__(self, "bits", vector("bits", bits, size))
        object.__setattr__(self, "coordinates", vector("coordinates", coordinates, size))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.bits.size)

    @property
    def upload_bit(self) -> Floats:
        """(K,) size of each upload [bit]."""
        return self.bits * self.coordinates

    def to_round(self, network: Network) -> Allocation:
        """A round of those with any bits: equal shares of the band, full power, fastest clocks."""
        if network.size != self.size:
            raise InvalidInput("network.size", network.size, f"{self.size}, as the decision")
        sized = network.replace(upload_bit=self.upload_bit)
        sends = self.bits > 0.0
        band = np.full(self.size, network.band_hz / max(int(sends.sum()), 1))
        clock, able = clock_hz(sized, band, math.inf)
        selected = sends & able
        return Allocation(
            selected=selected,
            bandwidth_hz=np.where(selected, band, 0.0),
            power_w=np.where(selected, network.power_max_w, 0.0),
            cpu_hz=np.where(selected, clock, 0.0),
            upload_bit=self.upload_bit,
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        columns = {"bits": self.bits, "upload_bit": self.upload_bit}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(self.size, name="device"))
