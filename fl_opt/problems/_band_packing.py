"""Devices put into two bands by rank, then exchanged: the decisions of `BandSelection`.

A choice is a band per device (K,), 0 or 1, and -1 for none. `share` is the part of a band that a
device needs, infinite where it cannot use it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.problems.uplink import total
from fl_opt.units import Floats

Bands = NDArray[np.int_]

_EXCHANGED = 64
"""So many devices of least reduced worth, in absolute value, are exchanged."""


@dataclass(frozen=True, eq=False)
class Packing:
    """`worth` and `share` (2, K) of devices in each band, both bands of width 1.

    `must` (K,) are devices that should be in, first of all.
    """

    worth: Floats
    share: Floats
    must: NDArray[np.bool_]

    def near(self, wanted: Bands, price: Floats) -> Bands:
        """A choice within both bands, near one that prices (2,) want."""
        with np.errstate(invalid="ignore"):
            reduced = np.where(
                self.share < np.inf, self.worth - price[:, None] * self.share, -np.inf
            )
        best = reduced.max(axis=0)
        size = np.min(self.share, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_size = np.where(size > 0.0, best / size, np.inf)
        found = []
        for rank in (best, by_size):
            order = np.argsort(-rank, kind="stable")
            order = order[best[order] > -np.inf]
            turn = np.where(self.must, 0, np.where(wanted >= 0, 1, 2))
            order = order[np.argsort(turn[order], kind="stable")]
            found.append(self._exchanged(self._packed(order, wanted, reduced), best))
        return max(found, key=self.gained)

    def gained(self, band: Bands) -> float:
        """What a choice is worth."""
        return total(np.where(band >= 0, self.worth[band, np.arange(band.size)], 0.0))

    def _left(self, band: Bands) -> list[float]:
        return [1.0 - total(np.where(band == i, self.share[i], 0.0)) for i in range(2)]

    def _packed(self, order: NDArray[np.int_], wanted: Bands, reduced: Floats) -> Bands:
        """Each device in line in the band that is wanted for it, else where it earns more."""
        left, band = [1.0, 1.0], np.full(wanted.size, -1)
        better = np.where(wanted >= 0, wanted, reduced.argmax(axis=0)).tolist()
        share = self.share.tolist()
        for k in order.tolist():
            for i in (better[k], 1 - better[k]):
                if share[i][k] <= left[i]:
                    band[k], left[i] = i, left[i] - share[i][k]
                    break
        return band

    def _exchanged(self, band: Bands, best: Floats) -> Bands:
        """One of the undecided moves in, at the expense of one other, while that earns more."""
        near = np.argsort(np.abs(best), kind="stable")[:_EXCHANGED]
        while self._improved(band, near):
            pass
        return band

    def _improved(self, band: Bands, near: NDArray[np.int_]) -> bool:
        """Make the first exchange that earns more; whether there was one."""
        worth, left = self.worth, self._left(band)
        for k, i in itertools.product(near, range(2)):
            if band[k] == i or not (self.share[i, k] < np.inf and worth[i, k] > 0.0):
                continue
            earned = worth[i, k] - (worth[band[k], k] if band[k] >= 0 else 0.0)
            inside = near[band[near] == i]
            lost = np.concatenate(([0.0], worth[i, inside]))
            room = left[i] + np.concatenate(([0.0], self.share[i, inside]))
            able = (self.share[i, k] <= room) & (lost < earned * (1.0 - 1e-9))
            if able.any():
                least = int(np.argmin(np.where(able, lost, np.inf)))
                if least:
                    band[inside[least - 1]] = -1
                band[k] = i
                return True
        return False
