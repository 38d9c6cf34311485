r"""Share whole units among devices, each with a table of costs, at the least total cost.

    minimise  sum_k g_k(j_k)   subject to  sum_k j_k = n,   0 <= j_k <= m_k,   j_k whole

Where every next unit costs a device no less than the one before, the n cheapest units are best
(`cheapest_units`); any price nu proves it, by sum_k min_j [g_k(j) - nu j] + nu n. For any tables
least(k, t) = min_j least(k - 1, t - j) + g_k(j) is exact (`cheapest_totals`), in O(n sum m_k).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof
from fl_opt.kernels import EPS
from fl_opt.units import Floats

Whole = NDArray[np.int_]

_CLOSE = 1e-12
"""Steps of a table that fall by less than this part of its values count as rounding."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Units (K,), a proven lower bound of the least cost, and the kind of its proof."""

    units: Whole
    bound: float
    proof: Proof


def share(table: Floats, units: int) -> Shares:
    """The best shares, by marginal costs where those rise, else by dynamic programming.

    Parameters
    ----------
    table
        (K, m + 1) cost g_k(j); infinite from m_k + 1 on, finite before.
    units
        Units n to be shared, at most sum m_k.
    """
    size = np.abs(table).max(axis=1, where=np.isfinite(table), initial=0.0)
    with np.errstate(invalid="ignore"):
        bend = np.diff(table, n=2, axis=1)
    # past the end of a table the bend is infinite or nothing
    if np.all((bend >= -_CLOSE * size[:, None]) | np.isnan(bend)):
        return cheapest_units(table, units)
    return cheapest_totals(table, units)


def cheapest_units(table: Floats, units: int) -> Shares:
    """The n cheapest units of convex tables, and the price bound, which is true for any tables."""
    with np.errstate(invalid="ignore"):
        step = np.diff(table, axis=1)
    step = np.where(np.isfinite(step), step, np.inf)
    # rounding may bend a straight table: no unit before the one below it
    step = np.maximum.accumulate(step, axis=1)
    if not np.isfinite(step).any():
        return Shares(np.zeros(len(table), dtype=int), price_bound(table, units, 0.0), "dual")
    last = max(units - 1, 0)  # for no units at all, the price of the first
    price = float(np.partition(step, last, axis=None)[last])
    taken = np.count_nonzero(step < price, axis=1)
    more = np.count_nonzero(step == price, axis=1)
    before = np.cumsum(more) - more
    taken = taken + np.clip(units - int(taken.sum()) - before, 0, more)
    return Shares(taken, price_bound(table, units, price), "dual")


def price_bound(table: Floats, units: int, price: float) -> float:
    """Proven lower bound of the cost of sharing n units, from any price of a unit."""
    place = np.arange(table.shape[1])
    least = np.argmin(table - price * place, axis=1)
    cost, charge = table[np.arange(len(table)), least], price * least
    terms = [*cost.tolist(), *(-charge).tolist(), price * units]
    spread = float(np.abs(cost).sum() + np.abs(charge).sum()) + abs(price) * units
    return math.fsum(terms) - 8.0 * EPS * spread


def cheapest_totals(table: Floats, units: int) -> Shares:
    """Dynamic programming, device after device, over how many units are shared so far."""
    size = len(table)
    most = np.isfinite(table).sum(axis=1) - 1
    reach = np.minimum(np.cumsum(most), units)
    later = np.concatenate([np.cumsum(most[::-1])[::-1][1:], [0]])
    least = np.zeros(1)
    low = 0
    choice: list[tuple[int, Whole]] = []
    for k in range(size):
        # only totals that the devices before can have reached and those after can complete
        first = max(0, units - int(later[k]))
        total = np.arange(first, int(reach[k]) + 1)
        best, taken = np.full(total.size, np.inf), np.zeros(total.size, dtype=int)
        for j in range(int(most[k]) + 1):
            begin = max(first, low + j)
            end = min(int(reach[k]), low + least.size - 1 + j)
            if begin > end:
                continue
            here = slice(begin - first, end - first + 1)
            cost = least[begin - j - low : end - j - low + 1] + table[k, j]
            better = cost < best[here]
            best[here] = np.where(better, cost, best[here])
            taken[here] = np.where(better, j, taken[here])
        choice.append((first, taken))
        least, low = best, first
    answer = np.zeros(size, dtype=int)
    left = units
    for k in range(size - 1, -1, -1):
        first, taken = choice[k]
        answer[k] = taken[left - first]
        left -= int(answer[k])
    cost = float(least[units - low])
    spread = float(np.abs(table[np.arange(size), answer]).sum()) + abs(cost)
    return Shares(answer, cost - 2.0 * (size + 1) * EPS * spread, "combinatorial")
