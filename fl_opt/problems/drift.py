"""How far steps on one device's data lead away from steps on all data."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.units import Floats

_SMALL = 0.5
_TERMS = 24


def drift(steps: ArrayLike, rate: float, beta: float, delta: float) -> Floats:
    """Bound ``(delta/beta) ((1 + rate beta)^steps - 1) - rate delta steps`` on the distance.

    For losses of smoothness beta whose gradients differ by delta from the mean gradient; infinite
    beyond what doubles hold. Source: Wang et al., IEEE JSAC 2019, arXiv 1804.05271.
    """
    tau = np.asarray(steps, dtype=float)
    x = rate * beta
    if x == 0.0 or delta == 0.0:
        return np.zeros(tau.shape)
    near = tau * x < _SMALL
    # the sum over x: its first term is tau, however small x may be
    series, term = np.zeros(tau.shape), np.where(near, tau, 0.0)
    for j in range(2, _TERMS):
        term = term * np.maximum(tau - (j - 1), 0.0) * x / j
        series = series + term
    with np.errstate(over="ignore"):
        far = (np.expm1(tau * math.log1p(x)) - tau * x) / x
        # one step is the same on both; the difference above would leave its rounding
        far = np.where(tau <= 1.0, 0.0, far)
        return np.asarray(delta * rate * np.where(near, series, far))
