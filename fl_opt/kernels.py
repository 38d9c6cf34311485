r"""Elementwise numerics of the rate law, good to the last digits over the whole range of doubles.

Everything follows from v = ln(1 + SNR in the used band), the nats per symbol:

    growth(v)   = ln(expm1(v) / v)           increasing, convex, v/2 near 0, v - ln v far out
    marginal(v) = (v - 1) exp(v) + 1         increasing, v^2/2 near 0

The first gives the bandwidth that carries a payload in a given time at a given power, the second
the bandwidth that is best at a price. Both inverses are a few Newton or Halley steps from a start
that is good to a tenth. ``scipy.special.lambertw`` loses half its digits near the branch point,
which is where weak devices live, so it is not used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fl_opt.units import Floats

EPS = float(np.finfo(float).eps)
CHUNK = 16384
"""Devices per pass: the temporaries of an elementwise formula then stay in the cache."""

_GROWTH_SMALL, _MARGINAL_SMALL = 0.25, 0.3
# ln(expm1(v)/v) = v/2 + sum B_2n v^2n / (2n (2n)!), in powers of v^2 from the sixth down
_GROWTH_SERIES = (1 / 479001600, -1 / 9676800, 1 / 181440, -1 / 2880, 1 / 24)
# (v - 1) exp(v) + 1 = sum (n - 1) v^n / n!, n = 14 down to 2
_MARGINAL_SERIES = tuple((n - 1) / float(np.prod(np.arange(1.0, n + 1))) for n in range(14, 1, -1))


def chunks(size: int) -> list[slice]:
    """Slices of at most ``CHUNK`` that cover ``range(size)``."""
    return [slice(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]


def clip(x: Floats | float, low: Floats | float, high: Floats | float) -> Floats:
    """``np.clip`` without the checks, which take longer than a short array."""
    within: Floats = np.minimum(np.maximum(x, low), high)
    return within


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
    if np.count_nonzero(large):
        result[large] = v[large] - np.log(v[large])
    small = v < _GROWTH_SMALL
    if np.count_nonzero(small):
        w = v[small]
        result[small] = 0.5 * w + w * w * _horner(_GROWTH_SERIES, w * w)
    return result


def growth_slope(v: Floats) -> Floats:
    """Derivative of `growth`, 1/(1 - exp(-v)) - 1/v, between 1/2 and 1."""
    small = v < 1e-2
    safe = np.where(small, 1.0, v)
    return np.where(small, 0.5 + v / 12.0 - v**3 / 720.0, -1.0 / np.expm1(-safe) - 1.0 / safe)


def growth_start(level: Floats) -> Floats:
    """The v of `growth_inverse` to 4 %."""
    rough: Floats = level + np.log1p(level)
    return rough


def growth_inverse(level: Floats) -> Floats:
    """The v >= 0 with ``growth(v) == level``, level >= 0; inf for inf.

    Two Halley steps from `growth_start`, which is good to 4 %: 0.04^9 is below rounding.
    """
    with np.errstate(all="ignore"):
        v = growth_start(level)
        for _ in range(2):
            grown, inverse = np.expm1(v), 1.0 / v
            tail = 1.0 / grown
            rise = 1.0 + tail
            slope = rise - inverse
            curve = inverse * inverse - rise * tail
            step = (np.log(grown * inverse) - level) / slope
            v -= step / (1.0 - 0.5 * step * curve / slope)
    small = level < 0.5 * _GROWTH_SMALL
    if np.count_nonzero(small):
        target = level[small]
        w = np.where(target < 1e-3, 2.0 * target, v[small])
        for _ in range(2):
            value = 0.5 * w + w * w * _horner(_GROWTH_SERIES, w * w)
            w -= (value - target) / (0.5 + w / 12.0)
        v[small] = w
    large = level > 600.0
    if np.count_nonzero(large):
        w = v[large] = level[large] + np.log1p(level[large])
        for _ in range(8):
            w = level[large] + np.log(w)
        v[large] = w
    return v


def marginal(v: Floats, grown: Floats | None = None) -> Floats:
    """(v - 1) exp(v) + 1 for v >= 0, to a few units in the last place; inf where it overflows.

    `grown` is expm1(v), if that is at hand.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.expm1(v) if grown is None else grown
        result = v * grown - (grown - v)
    small = v < _MARGINAL_SMALL
    if np.count_nonzero(small):
        w = v[small]
        result[small] = w * w * _horner(_MARGINAL_SERIES, w)
    large = v > 700.0
    if np.count_nonzero(large):
        result[large] = np.inf
    return result


def marginal_start(level: Floats) -> Floats:
    """The v of `marginal_inverse` to a tenth.

    The square root at the branch point for small levels, the start of Iacono and Boyd (Adv.
    Comput. Math. 2017) for W0 for large ones.
    """
    root = np.sqrt(2.0 * level)
    with np.errstate(all="ignore"):
        log = np.log1p(level)
        return np.where(level < 2.0, root / (1.0 + root / 3.0), log - np.log1p(log) + 1.0)


def marginal_inverse(level: Floats, start: Floats | None = None) -> Floats:
    """The v >= 0 with ``marginal(v) == level``, level >= 0; equals 1 + W0((level - 1)/e).

    Newton on ln marginal against ln v, from `start` or from `marginal_start`.
    """
    v = marginal_start(level) if start is None else start.copy()
    with np.errstate(all="ignore"):
        for _ in range(40):
            grown = np.expm1(v)
            value = marginal(v, grown)
            step = np.log(level / value) * value / (v * v * (grown + 1.0))
            v *= np.minimum(np.maximum(1.0 + step, 0.2), 5.0)
            if not np.count_nonzero(np.abs(step) > 1e-8):  # the next one would be its square
                break
    return np.where((level > 0.0) & (level < np.inf), v, level)


def increasing_root(
    function: Callable[[Floats, NDArray[np.int_]], tuple[Floats, Floats]],
    low: Floats,
    high: Floats,
    start: Floats,
    tolerance: float = 1e-13,
) -> Floats:
    """Roots of many increasing functions at once, by Newton inside a shrinking bracket.

    Invariant: the root lies in [low, high]; an end that has the wrong sign is itself the answer.
    ``function(x, index)`` gives values and derivatives at x (n,) of the functions `index` (n,);
    infinite values only tell the side. The values are logarithms of ratios, which may run off to
    infinity at an end; there Newton creeps, so that every third step is taken on the ratio itself.
    Steps that leave the bracket try its end, and become bisections once that end is known. Where
    step and value are within a tenth of the root of `tolerance`, the step is the last one: what it
    leaves is of the order of their squares.
    """
    x = clip(start, low, high)
    active, at, left, right = np.arange(x.size), x.copy(), low.copy(), high.copy()
    known_left, known_right = np.zeros(x.size, dtype=bool), np.zeros(x.size, dtype=bool)
    last = 0.1 * tolerance**0.5
    with np.errstate(all="ignore"):
        for turn in range(300):
            value, slope = function(at, active)
            size = np.abs(value)
            step = -value / slope
            if turn % 3 == 2:
                step *= np.expm1(size) / size
            below, above = value <= 0.0, value >= 0.0
            known_left |= below
            known_right |= above
            np.copyto(left, at, where=below)
            np.copyto(right, at, where=above)
            new = at + step
            scale = 1.0 + np.abs(new)
            moving = (np.abs(step) > last * scale) & (size > 64.0 * EPS) | (size > last)
            if np.count_nonzero((left <= new) & (new <= right)) < new.size:
                middle = 0.5 * (left + right)
                new = np.where(np.isnan(new), middle, new)
                new = np.where(new < left, np.where(known_left, middle, left), new)
                new = np.where(new > right, np.where(known_right, middle, right), new)
                moving |= (np.abs(new - at) > last * scale) & (size > 64.0 * EPS)
                moving &= right - left > tolerance * (1.0 + np.abs(new))
            x[active] = new
            count = np.count_nonzero(moving)
            if count == 0:
                break
            at = new
            if count < active.size:
                active, at, left, right = active[moving], at[moving], left[moving], right[moving]
                known_left, known_right = known_left[moving], known_right[moving]
    return x
