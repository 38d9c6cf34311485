"""Two prices that raise a concave, piecewise smooth bound the most, by centres of gravity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fl_opt.structure import Relaxed
from fl_opt.units import Floats

_STEPS = 150
_FLAT = 2e-11
_DEAREST = 1e15
"""Price, in parts of the scale, beyond which nobody looks: the limits fit to the last digit."""
_FAINT = 1e-13
"""Least first price, as part of the scale: at zero, who shares a band would want all of it."""


def climb(
    weigh: Callable[[Floats], tuple[float, Floats, Relaxed]],
    scale: float,
    enough: float,
    start: Floats | None,
) -> Relaxed:
    """The relaxation of greatest bound over prices (2,) >= 0.

    ``weigh(prices)`` gives the dual value, its slope, and the relaxation. Each lays a plane above
    the dual function, so the maximum lies on one side of a line. Invariant: the polygon holds every
    price in the box that is better than the best so far. It is cut through its centre of gravity,
    which leaves at most 63 % of it. Ends where the planes leave nothing to gain, where the bound is
    `enough`, or where options are left to branch on and it is sure to stay well below that.
    """
    edge = 4.0 * max(scale, 0.0 if start is None else float(start.max()))
    known: list[tuple[Floats, float, Floats]] = []
    prices = np.full(2, 0.5 * scale) if start is None else start
    peak, _, best = weigh(np.maximum(prices, [_FAINT * scale, 0.0]))
    while True:
        low = _FAINT * scale
        polygon = np.array([[low, 0.0], [edge, 0.0], [edge, edge], [low, edge]])
        for at, value, slope in known:
            polygon = _cut(polygon, slope, peak - value + float(slope @ at))
        upper = np.inf
        for _ in range(_STEPS):
            prices = np.maximum(prices, [low, 0.0])
            value, slope, relaxed = weigh(prices)
            known.append((prices, value, slope))
            if relaxed.bound > best.bound:
                best = relaxed
            peak = max(peak, value)
            polygon = _cut(polygon, slope, peak - value + float(slope @ prices))
            if polygon.shape[0] < 3:
                upper = peak
            else:
                upper = min(upper, value + float((polygon - prices).dot(slope).max()))
            left = upper - peak
            inside = polygon.shape[0] == 0 or float(polygon.max()) < edge
            open_ = inside and best.doubt >= 0 and np.isfinite(enough)
            hopeless = open_ and left <= 0.1 * (enough - upper)
            if best.bound >= enough or hopeless or left <= _FLAT * abs(peak):
                break
            prices = _centre(polygon)
        if inside or best.bound >= enough or best.bound == np.inf or edge > _DEAREST * scale:
            return best
        edge *= 16.0


def _cut(polygon: Floats, normal: Floats, least: float) -> Floats:
    """The part of a convex polygon (m, 2) where ``normal y >= least``."""
    if polygon.shape[0] == 0:
        return polygon
    over = polygon @ normal - least
    following, next_over = np.roll(polygon, -1, axis=0), np.roll(over, -1)
    crosses = (over >= 0.0) != (next_over >= 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = polygon + (over / (over - next_over))[:, None] * (following - polygon)
    parts = np.stack([polygon, at], axis=1).reshape(-1, 2)
    keep: Floats = parts[np.stack([over >= 0.0, crosses], axis=1).ravel()]
    return keep


def _centre(polygon: Floats) -> Floats:
    """Centre of gravity of a convex polygon."""
    origin = polygon.mean(axis=0)
    one = polygon - origin
    two = np.roll(one, -1, axis=0)
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    whole = float(area.sum())
    if abs(whole) <= 1e-300:
        return np.asarray(origin)
    return np.asarray(origin + (area[:, None] * (one + two)).sum(axis=0) / (3.0 * whole))
