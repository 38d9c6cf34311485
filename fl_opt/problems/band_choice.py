"""What `BandSelection` decides: who takes part in which of two bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.errors import InvalidInput

if TYPE_CHECKING:
    import pandas

BANDS = ("sub6", "mmwave")
"""Names of the two bands, in the order of all arrays (2, K)."""


@dataclass(frozen=True, eq=False)
class BandChoice:
    """What `BandSelection` decides: an allocation in each band, the same devices in both."""

    sub6: Allocation
    mmwave: Allocation

    def __post_init__(self) -> None:
        if self.sub6.size != self.mmwave.size:
            raise InvalidInput("mmwave.size", self.mmwave.size, f"{self.sub6.size}, as sub6")

    @property
    def selected(self) -> NDArray[np.bool_]:
        """(K,) who takes part, in either band."""
        return self.sub6.selected | self.mmwave.selected

    def to_frame(self) -> pandas.DataFrame:
        """A row per device: its band ("" for none), bandwidth, power, clock and airtime."""
        import pandas

        here, there = self.sub6.to_frame(), self.mmwave.to_frame()
        away = self.mmwave.selected
        band = np.where(self.sub6.selected, BANDS[0], np.where(away, BANDS[1], ""))
        columns = {
            name: np.where(away, there.get(name, np.nan), here.get(name, np.nan))
            for name in dict.fromkeys([*here, *there])
        }
        frame = pandas.DataFrame(columns, index=here.index)
        frame.insert(1, "band", band)
        return frame
