"""Who takes part and how fast, from a table: the decisions of `ResidenceScheduling`.

Row r of a table (grid, n) is what a device does at its r-th finish time, the quickest first. A
choice is a row per device, -1 for none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.problems.uplink import total
from fl_opt.units import Floats

Rows = NDArray[np.int_]
"""(n,) a row of the table for each device, -1 for who takes no part."""


@dataclass(frozen=True, eq=False)
class Table:
    """`value` and `needed` [Hz] (grid, n) of what devices can do, within `band_hz` together."""

    value: Floats
    needed: Floats
    band_hz: float

    def at(self, table: Floats, row: Rows) -> Floats:
        """(n,) entries of a table (grid, n) at a choice; 0 for who takes no part."""
        return np.where(row >= 0, table[np.maximum(row, 0), np.arange(row.size)], 0.0)

    def shared(self, members: NDArray[np.int_], price: float) -> Rows:
        """The choice of members at the least price at which they fit the band.

        Where they do not fit even at their least bandwidth, the last stay out.
        """
        members = members[np.cumsum(self.needed[:, members].min(axis=0)) <= self.band_hz]
        chosen = np.full(self.value.shape[1], -1)
        if not members.size:
            return chosen
        value, needed = self.value[:, members], self.needed[:, members]
        value = np.where(needed < np.inf, value, -np.inf)
        needed = np.where(needed < np.inf, needed, 0.0)
        middle = math.log(max(price, np.finfo(float).tiny))
        low, high = middle - 40.0, middle + 40.0
        chosen[members] = self.needed[:, members].argmin(axis=0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            row = (value - math.exp(middle) * needed).argmax(axis=0)
            if total(needed[row, np.arange(row.size)]) > self.band_hz:
                low = middle
            else:
                high = middle
                chosen[members] = row
        return chosen

    def filled(self, row: Rows) -> Rows:
        """A choice when the rest of the band goes, step by step, where it is worth most.

        A step makes a device one row quicker, or takes in another. Ends before a step of which only
        a part fits: see `next_step`.
        """
        left = self.band_hz - total(self.at(self.needed, row))
        for _ in range(4 * len(self.value) + row.size):
            ahead = np.where(row < 0, len(self.value) - 1, row - 1)
            gain = self.at(self.value, ahead) - self.at(self.value, row)
            more = self.at(self.needed, ahead) - self.at(self.needed, row)
            able = (ahead >= 0) & ((more <= left) | (row >= 0)) & (gain > 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = np.where(able, gain / more, -1.0)
            best = int(np.argmax(rate))
            if not rate[best] > 0.0 or more[best] > left:
                break
            row = np.where(np.arange(row.size) == best, ahead, row)
            left -= float(more[best])
        return row

    def next_step(self, row: Rows) -> int | None:
        """The device for which being quicker is worth most per hertz; None where none can."""
        ahead = np.maximum(row - 1, 0)
        gain = self.at(self.value, ahead) - self.at(self.value, row)
        more = self.at(self.needed, ahead) - self.at(self.needed, row)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where((row > 0) & (gain > 0.0), gain / more, -1.0)
        best = int(np.argmax(rate))
        return best if rate[best] > 0.0 else None
