"""What devices bring to an edge by the length of its round: bounds that are tight for every set.

For a band price mu and lengths T from `low` to `high`, the least energy + mu b of a device that
ends within T is convex in T, so above a tangent; with the worth of T and less what the band is
worth, the cost of an edge lies above a sum over its devices that is linear in T. Unlike a cut of
one association, it charges the length once for the edge, and not to the devices that happened to
set it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.kernels import EPS
from fl_opt.problems._edge_rounds import alone_s, worth
from fl_opt.problems.uplink import Uplink
from fl_opt.structure import LevelCut
from fl_opt.units import Floats

if TYPE_CHECKING:
    from fl_opt.problems.edge_association import EdgeAssociation

INTERVALS = 12
_NEAR = 0.8
"""A tangent from within counts if it keeps this part of the cost at the end of its interval."""
_FREE = 1e-6
"""Where nobody is, the whole band is worth this part of the cost."""


def lengths(problem: EdgeAssociation, most: float) -> list[Floats]:
    """By edge: ends of intervals that hold the length of its round at a cost of up to `most`."""
    network, longest = problem.network, problem.longest_s(most)
    found = []
    for e in range(network.edges):
        k = np.flatnonzero(problem.able[:, e])
        if not k.size:
            found.append(np.zeros(0))
            continue
        first = float(alone_s(network.at(e, k)).min())
        last = max(longest, first * (1.0 + 1e-9))
        inner = np.geomspace(max(first, 1e-3 * last), last, INTERVALS + 1)
        found.append(np.unique(np.append(first, inner[1:])))
    return found


def level_cut(
    problem: EdgeAssociation,
    edge: int,
    span: tuple[float, float],
    most: float,
    price: float | None,
    share: Floats | None,
) -> LevelCut | None:
    """The bound at a price of the band, moved to where shares (K,) of the devices fill it.

    None where no device can be at the edge in a round of `span`.
    """
    network, (low, high) = problem.network, span
    band = float(network.edge_band_hz[edge])
    k = np.flatnonzero(problem.able[:, edge])
    end = high * (1.0 + 64.0 * EPS)
    if not k.size:
        return None
    everyone = network.at(edge, k)
    on = np.isfinite(Uplink(everyone, end).least_hz)
    if not on.any():
        return None
    k, devices = k[on], everyone if on.all() else everyone[on]
    middle = math.sqrt(max(low, 0.25 * high) * high)
    late = np.isfinite(Uplink(devices, middle).least_hz)
    unit = most / band if band > 0.0 else 0.0
    price = _FREE * unit if price is None else price
    asked = np.zeros(k.size, dtype=bool) if share is None else share[k] > 1e-9
    if share is not None and devices.upload_bit[asked].any():
        at = middle if late[asked].all() else end
        price = _clearing(Uplink(devices[asked], at), share[k[asked]], band, price, unit)
    last = worth(devices, price, end, end)
    value, slope, at_s, paid = last.value, last.slope.copy(), np.full(k.size, end), last.price
    if late.any():
        here = worth(devices if late.all() else devices[late], price, middle, end)
        near = here.value - here.slope * (end - middle) >= _NEAR * value[late]
        which = np.flatnonzero(late)[near]
        value[which], slope[which], at_s[which] = here.value[near], here.slope[near], middle
        paid = max(paid, here.price)
    full = np.full((network.size, 2), math.inf)
    for column, length in enumerate(span):
        rounding = EPS * (64.0 * np.abs(value) + 256.0 * slope * end)
        full[k, column] = value - slope * (length - at_s) - rounding
    fixed = problem.joule_per_s * np.array(span) - paid * band
    fixed -= 64.0 * EPS * (problem.joule_per_s * high + paid * band)
    return LevelCut(fixed, full, price)


def _clearing(uplink: Uplink, share: Floats, band_hz: float, price: float, unit: float) -> float:
    """About the price at which shares of the devices fill the band, by secants in logarithms."""
    weight = share[uplink.sending]
    elastic, last = 0.5, (0.0, 0.0)
    price = max(price, 1e-3 * unit)
    for turn in range(12):
        load = float(weight @ uplink.respond(price).point.b) / band_hz
        over = math.log(load) if load > 0.0 else -40.0
        if abs(over) < 1e-3:
            break
        moved = math.log(price) - last[0]
        if turn and moved:
            elastic = min(max((last[1] - over) / moved, 0.1), 2.0)
        last = math.log(price), over
        price *= math.exp(min(max(over / elastic, -6.0), 6.0))
        price = min(max(price, _FREE * unit), unit)
    return price
