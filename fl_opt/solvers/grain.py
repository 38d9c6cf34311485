"""The number of which all values of a choice are multiples: its bound can be rounded to one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fl_opt.kernels import EPS
from fl_opt.units import Floats


@dataclass(frozen=True)
class Grain:
    """All sums are multiples of `size`, up to a relative `error`; 0 where no such number is known.

    The greatest common divisor of whole numbers, or the least value where all are multiples of it.
    """

    size: float
    error: float

    @classmethod
    def of(cls, value: Floats) -> Grain:
        """The grain of values (n,) > 0."""
        if not value.size:
            return cls(0.0, 0.0)
        if (value == np.rint(value)).all() and float(value.max()) < 2.0**53:
            return cls(float(np.gcd.reduce(value.astype(np.int64))), 0.0)
        least = float(value.min())
        ratio = value / least
        near = np.abs(ratio - np.rint(ratio)) <= 2.0 * EPS * ratio
        if float(ratio.max()) < 2.0**40 and near.all():
            return cls(least, 4.0 * EPS)
        return cls(0.0, 0.0)

    def floor(self, upper: float) -> float:
        """The greatest multiple that is at most `upper`, rounded outward; `upper` itself if none.

        The sum of many multiples is off by rounding too: hence the error on both sides.
        """
        if self.size == 0.0 or not math.isfinite(upper):
            return upper
        slack = 1.0 + self.error
        return min(upper, self.size * math.floor(upper * slack / self.size) * slack)
