"""Who takes part and how fast, from a table: the search behind `ResidenceScheduling`.

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

_TRIED = 6
"""So many more or fewer devices than the price takes are tried."""

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

    def worth(self, row: Rows) -> float:
        """Value of a choice."""
        return total(self.at(self.value, row))

    def choices(self, price: float) -> list[Rows]:
        """The most valuable three of some choices near those of a price, each within the band.

        The devices that the price takes, and some more or fewer, share the band at a price of
        their own; then each of those that earn least for their band is left out in turn.
        """
        with np.errstate(invalid="ignore"):
            reduced = np.where(self.needed < np.inf, self.value - price * self.needed, -np.inf)
        best_reduced = reduced.max(axis=0)
        line = np.argsort(-best_reduced, kind="stable")
        count = int(np.count_nonzero(best_reduced > 0.0))
        nobody = np.zeros(line.size, dtype=bool)
        rows = [
            self.filled(self.shared(line[:size], price, quick), nobody)
            for size in range(max(count - _TRIED, 1), min(count + _TRIED, line.size) + 1)
            for quick in (True, False)
        ]
        best = max(rows, key=self.worth)
        taken = np.flatnonzero(best >= 0)
        with np.errstate(divide="ignore"):
            rate = self.at(self.value, best)[taken] / self.at(self.needed, best)[taken]
        for k in taken[np.argsort(rate, kind="stable")][: 2 * _TRIED]:
            banned = np.arange(best.size) == k
            rows.append(self.filled(np.where(banned, -1, best), banned))
        return sorted(rows, key=self.worth, reverse=True)[:3]

    def shared(self, members: NDArray[np.int_], price: float, quick: bool) -> Rows:
        """The choice of members at the least price at which they fit the band.

        Value less price x band may have two maxima along the rows: with `quick` the first is
        taken, else the larger. Where they do not fit even at their slowest, the last stay out.
        """
        members = members[np.cumsum(self.needed[-1, members]) <= self.band_hz]
        chosen = np.full(self.value.shape[1], -1)
        if not members.size:
            return chosen
        value, needed = self.value[:, members], self.needed[:, members]
        middle = math.log(max(price, np.finfo(float).tiny))
        low, high = middle - 40.0, middle + 40.0
        chosen[members] = last = len(value) - 1
        for _ in range(60):
            middle = 0.5 * (low + high)
            reduced = value - math.exp(middle) * needed
            if quick:
                with np.errstate(invalid="ignore"):
                    falls = np.diff(reduced, axis=0) <= 0.0
                row = np.where(falls.any(axis=0), falls.argmax(axis=0), last)
            else:
                row = reduced.argmax(axis=0)
            if total(needed[row, np.arange(row.size)]) > self.band_hz:
                low = middle
            else:
                high = middle
                chosen[members] = row
        return chosen

    def filled(self, row: Rows, banned: NDArray[np.bool_]) -> Rows:
        """A choice when the rest of the band goes, step by step, where it is worth most.

        A step makes a device one row quicker, or takes in one that is not `banned`.
        """
        left = self.band_hz - total(self.at(self.needed, row))
        for _ in range(4 * len(self.value) + row.size):
            ahead = np.where(row < 0, len(self.value) - 1, row - 1)
            gain = self.at(self.value, ahead) - self.at(self.value, row)
            more = self.at(self.needed, ahead) - self.at(self.needed, row)
            able = (ahead >= 0) & (more <= left) & (gain > 0.0) & ~banned
            with np.errstate(divide="ignore", invalid="ignore"):
                rate = np.where(able, gain / more, -1.0)
            best = int(np.argmax(rate))
            if not rate[best] > 0.0:
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
