"""What devices can do, in pieces, and the price that bounds it: the tree of `ResidenceScheduling`.

A device stays out, option 0, or finishes within one of some pieces of its time, options 1, 2, ...
For every price some point of a piece has at least the value less price x bandwidth of whatever the
device can do there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS
from fl_opt.problems.uplink import total
from fl_opt.structure import Relaxed
from fl_opt.units import Floats

_TURNS = 80
_FLAT = 1e-13
_DEAREST = 1e30


class At(NamedTuple):
    """The best at a price: the bound but for its rounding, its slope, points (n,), gains (n,)."""

    price: float
    upper: float
    slope: float
    point: NDArray[np.int_]
    gain: Floats


@dataclass(frozen=True, eq=False)
class Pieces:
    """Points of n devices, piece after piece: `value` and `needed` (m, n), the band being 1.

    `first` (p,) says where the points of a piece begin, `option` (m,) which it is, from 1.
    """

    value: Floats
    needed: Floats
    first: NDArray[np.int_]
    option: NDArray[np.int_]

    @classmethod
    def of(cls, value: Floats, needed: Floats, band_hz: float, option: NDArray[np.int_]) -> Pieces:
        """Points (m, n) in Hz, in any order."""
        order = np.argsort(option, kind="stable")
        first = np.flatnonzero(np.diff(option[order], prepend=0))
        return cls(value[order], needed[order] / (band_hz or 1.0), first, option[order])

    def options(self) -> NDArray[np.bool_]:
        """(n, p + 1) all of them: every device finishes in any piece, were it alone."""
        return np.ones((self.value.shape[1], self.first.size + 1), dtype=bool)

    def relax(
        self, allowed: NDArray[np.bool_], enough: float, start: Relaxed | None, small: float
    ) -> Relaxed:
        """The least bound where some options are allowed, and who is between two of them.

        Nobody is where the bound is within a relative `small` of `enough`.
        """
        value = np.where(allowed[:, self.option].T, self.value, -np.inf)
        must = ~allowed[:, 0]
        least = np.where(value > -np.inf, self.needed, np.inf).min(axis=0)
        if total(np.where(must, least, 0.0)) > 1.0 + 32.0 * EPS:
            return Relaxed(math.inf, allowed.argmax(axis=1), -1, np.zeros(1))

        def at(price: float) -> At:
            reduced = value - price * self.needed
            point = reduced.argmax(axis=0)
            gain = np.take_along_axis(reduced, point[None], axis=0)[0]
            joins = must | (gain > 0.0)
            asked = np.take_along_axis(self.needed, point[None], axis=0)[0]
            gain = np.where(joins, gain, 0.0)
            slope = 1.0 - total(np.where(joins, asked, 0.0))
            return At(price, price + total(gain), slope, np.where(joins, point, -1), gain)

        worth = total(self.value.max(axis=0))
        low, high = _clearing(at, worth or 1.0, None if start is None else float(start.prices[0]))
        best = min(low, high, key=lambda each: each.upper)
        size = best.price + total(np.abs(best.gain))
        bound = -(best.upper + EPS * (32.0 + must.size) * (size + worth))
        choice, other = (self._chosen(each.point) for each in (high, low))
        moved = np.abs(self._asked(low.point) - self._asked(high.point))
        moved = np.where(choice != other, moved, 0.0)
        doubt = int(np.argmax(moved))
        close = math.isfinite(enough) and bound >= enough - small * abs(enough)
        if close or not moved[doubt] > 0.0:
            doubt = -1
        reduced = np.maximum.reduceat(value - best.price * self.needed, self.first, axis=0)
        rise = best.gain[:, None] - np.vstack([np.zeros(must.size), reduced]).T
        return Relaxed(bound, choice, doubt, np.array([best.price]), np.maximum(rise, 0.0))

    def _chosen(self, point: NDArray[np.int_]) -> NDArray[np.int_]:
        return np.where(point >= 0, self.option[point], 0)

    def _asked(self, point: NDArray[np.int_]) -> Floats:
        return np.where(point >= 0, self.needed[point, np.arange(point.size)], 0.0)


def _clearing(at: Callable[[float], At], scale: float, guess: float | None) -> tuple[At, At]:
    """Both sides of the price at which the bound is least; it is convex, in parts linear.

    Crosses tangents and halves the bracket in turn, until the tangents leave nothing to gain.
    """
    low = at(0.0)
    if low.slope >= 0.0:
        return low, low
    high, step = at(guess or scale), 2.0
    while high.slope < 0.0 and high.price < _DEAREST * scale:
        low, high, step = high, at(high.price * step), step * step
    if high.slope < 0.0:
        return low, high
    for turn in range(_TURNS):
        meet = (low.upper - high.upper + high.slope * high.price - low.slope * low.price) / (
            high.slope - low.slope
        )
        least = low.upper + low.slope * (meet - low.price)
        upper = min(low.upper, high.upper)
        middle = meet if turn % 2 == 0 else _between(low.price, high.price)
        if upper - least <= _FLAT * upper or not low.price < middle < high.price:
            break
        found = at(middle)
        low, high = (found, high) if found.slope < 0.0 else (low, found)
    return low, high


def _between(low: float, high: float) -> float:
    """Halfway in the logarithm, where there is one."""
    return math.sqrt(low) * math.sqrt(high) if low > 0.0 else 1e-3 * high
