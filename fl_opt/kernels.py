r"""Elementwise numerics of the rate law, good to the last digits over the whole range of doubles.

Everything follows from v = ln(1 + SNR in the used band), the nats per symbol:

    growth(v)   = ln(expm1(v) / v)           increasing, convex, v/2 near 0, v - ln v far out
    marginal(v) = (v - 1) exp(v) + 1         increasing, v^2/2 near 0

The first gives the bandwidth that carries a payload in a given time at a given power, the second
the bandwidth that is best at a price. Both inverses are Newton iterations from a start that is
good to a tenth. ``scipy.special.lambertw`` loses half its digits near the branch point, which is
where weak devices live, so it is not used.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fl_opt.units import Floats

EPS = float(np.finfo(float).eps)
CHUNK = 16384
"""Devices per pass: the temporaries of an elementwise formula then stay in the cache."""

_GROWTH_SMALL, _MARGINAL_SMALL = 0.25, 0.3
# ln(expm1(v)/v) = v/2 + sum B_2n v^2n / (2n (2n)!), in powers of v^2 from the sixth down
_GROWTH_SERIES = (1 / 479001600, -1 / 9676800, 1 / 181440, -1 / 2880, 1 / 24)
# (v - 1) exp(v) + 1 = sum (n - 1) v^n / n!, n = 14 down to 2
_MARGINAL_SERIES = tuple((n - 1) / float(np.prod(np.arange(1.0, n + 1))) for n in range(14, 1, -1))


def chunks(size: int) -> Iterator[slice]:
    """Slices of at most ``CHUNK`` that cover ``range(size)``."""
    for start in range(0, size, CHUNK):
        yield slice(start, min(start + CHUNK, size))


def _horner(coefficients: tuple[float, ...], v: Floats) -> Floats:
    total = np.full_like(v, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= v
        total += coefficient
    return total


def growth(v: Floats) -> Floats:
    """ln(expm1(v)/v) for v >= 0, to a few units in the last place."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        result = np.log(np.expm1(v) / v)
    large = v > 700.0
    if large.any():
        result[large] = v[large] - np.log(v[large])
    small = v < _GROWTH_SMALL
    if small.any():
        w = v[small]
        result[small] = 0.5 * w + w * w * _horner(_GROWTH_SERIES, w * w)
    return result


def growth_slope(v: Floats) -> Floats:
    """Derivative of `growth`, 1/(1 - exp(-v)) - 1/v, between 1/2 and 1."""
    small = v < 1e-2
    safe = np.where(small, 1.0, v)
    return np.where(small, 0.5 + v / 12.0, -1.0 / np.expm1(-safe) - 1.0 / safe)


def growth_inverse(level: Floats) -> Floats:
    """The v >= 0 with ``growth(v) == level``, level >= 0; inf for inf.

    Newton on a convex increasing function; from its first step on it comes down from the right.
    """
    v = np.where(level < 1.0, 2.0 * level, level + np.log1p(level))
    finite = np.isfinite(level) & (level > 0.0)
    if not finite.all():
        v[finite] = growth_inverse(level[finite])
        return v
    for _ in range(8):
        step = (growth(v) - level) / growth_slope(v)
        v = np.maximum(v - step, 1e-3 * v)
        if np.all(np.abs(step) <= 4.0 * EPS * v + 1e-300):
            break
    return v


def marginal(v: Floats) -> Floats:
    """(v - 1) exp(v) + 1 for v >= 0, to a few units in the last place; inf where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.expm1(v)
        result = v * grown - (grown - v)
    small = v < _MARGINAL_SMALL
    if small.any():
        w = v[small]
        result[small] = w * w * _horner(_MARGINAL_SERIES, w)
    large = v > 700.0
    if large.any():
        result[large] = np.inf
    return result


def marginal_inverse(level: Floats) -> Floats:
    """The v >= 0 with ``marginal(v) == level``, level >= 0; equals 1 + W0((level - 1)/e).

    Newton on ln marginal, in which the start of Iacono and Boyd (2017) for W0 and the square root
    at the branch point are both good to a few hundredths.
    """
    root = np.sqrt(2.0 * level)
    log = np.log1p(level / np.e)
    v = np.where(level < 0.5, root / (1.0 + root / 3.0), 1.0 + (log - 0.3) * 0.9)
    large = level > 20.0
    if large.any():
        w = np.log(level[large]) - 1.0
        v[large] = 1.0 + w * (1.0 - np.log1p(w) / (2.0 + w))
    positive = (level > 0.0) & np.isfinite(level)
    if not positive.all():
        v[positive] = marginal_inverse(level[positive])
        v[~positive] = np.where(level[~positive] > 0.0, np.inf, 0.0)
        return v
    for _ in range(12):
        value = marginal(v)
        # d ln marginal / d ln v = v^2 exp(v) / marginal
        step = np.log(level / value) * value / (v * v * np.exp(v))
        v = v * np.clip(1.0 + step, 0.2, 5.0)
        if np.all(np.abs(step) <= 8.0 * EPS):
            break
    return v
