"""Two prices for two resources, by one search: of the rate at which one is exchanged for the other.

At a rate m (units of the second resource per unit of the first) let phi_k be the least of
``second + m x first`` that candidate k takes. Then every choice within both limits satisfies

    sum phi_k x_k <= budget + m supply

and the linear relaxation of that knapsack, whose price `worth` is had by sorting, bounds the value.
With prices mu = m worth of the first resource and nu = worth - charge of the second this is the
Lagrangian dual; the least over m of the bound is the least over both prices. It is quasi-convex in
m, and falls where the relaxation asks for more of the first resource than there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS
from fl_opt.structure import Choice, PricedChoice, Weighing
from fl_opt.units import Floats

STEPS = 80


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Linear relaxation of the row of one `weighing`.

    `upper` is a proven upper bound of the value of any choice, `gain` (n,) of what taking a
    candidate adds to it: no choice that takes a candidate of negative gain, or leaves one of
    positive gain, is worth more than ``upper - |gain|``. `order` (n,) sorts the candidates by
    value per weight; the first `count` of them are taken entirely. `demand` is how much of the
    first resource is asked for.
    """

    weighing: Weighing
    worth: float
    upper: float
    gain: Floats
    order: NDArray[np.int_]
    count: int
    demand: float


def capacity(choice: Choice, weighing: Weighing) -> float:
    """Right-hand side of the row of a weighing."""
    if weighing.price == math.inf:
        return choice.supply
    return choice.budget + weighing.price * choice.supply


def bound(choice: Choice, weighing: Weighing, worth: float) -> tuple[float, Floats]:
    """Upper bound of the value at two prices, true in floating point for any, and the gains.

    `worth` is at least the charge, unless the weighing is at an infinite price.
    """
    weight = weighing.weight
    gain = choice.value - worth * weight
    gain += 2.0 * EPS * (choice.value + worth * weight)
    terms = [float(np.maximum(gain, 0.0).sum())]
    if weighing.price == math.inf:
        terms.append(worth * choice.supply)
    else:
        terms.append(worth * weighing.price * choice.supply)
        if worth > choice.charge:
            terms.append((worth - choice.charge) * choice.budget)
            terms.append(4.0 * EPS * worth * choice.budget)
    upper = math.fsum(terms)
    # numpy adds in blocks: its error grows with the logarithm of the size
    return upper * (1.0 + (32.0 + 2.0 * math.log2(gain.size + 1.0)) * EPS), gain


def relax(choice: Choice, weighing: Weighing) -> Relaxation:
    """Solve the linear relaxation of one row."""
    room = capacity(choice, weighing)
    least_worth = 0.0 if weighing.price == math.inf else choice.charge
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.minimum(choice.value / weighing.weight, 1e300)
    order = np.argsort(-ratio, kind="stable")
    heap = np.cumsum(weighing.weight[order])
    count = int(np.searchsorted(heap, room, side="right"))
    first = weighing.first[order]
    worth, part = least_worth, 0.0
    if count < order.size and ratio[order[count]] > least_worth:
        worth = float(ratio[order[count]])
        before = float(heap[count - 1]) if count else 0.0
        part = (room - before) / float(heap[count] - before) * float(first[count])
    else:
        count = int(np.count_nonzero(ratio[order[:count]] > least_worth))
    upper, gain = bound(choice, weighing, worth)
    return Relaxation(weighing, worth, upper, gain, order, count, float(first[:count].sum()) + part)


def cheapest(problem: PricedChoice[Any], tolerance: float) -> tuple[Relaxation, Relaxation]:
    """The relaxation of least bound, and that of the first resource alone.

    Regula falsi on the logarithm of demand over supply, in a bracket of ln m, until what the
    bracket can still save is `tolerance` of the bound.
    """
    choice = problem.choice
    ample = relax(choice, problem.weigh(math.inf))
    if choice.charge == 0.0 and _second(ample) <= choice.budget:
        return ample, ample
    low = high = math.nan
    low_miss = high_miss = 0.0
    rate = _guess(choice)
    best, weighing = ample, None
    for _ in range(STEPS):
        weighing = problem.weigh(rate, weighing)
        found = relax(choice, weighing)
        best = min(best, found, key=_upper)
        miss = math.log(found.demand / choice.supply) if found.demand > 0.0 else -math.inf
        if miss > 0.0:
            low, low_miss, high_miss = math.log(rate), miss, 0.5 * high_miss
        else:
            high, high_miss, low_miss = math.log(rate), miss, 0.5 * low_miss
        width = high - low
        saving = found.worth * rate * abs(choice.supply - found.demand)
        reach = 1.0 if math.isnan(width) else min(width, 1.0)
        if saving * reach <= tolerance * best.upper and (miss <= 0.0 or not math.isnan(high)):
            break
        if width <= 1e-14 or rate < 1e-280:
            break
        rate = math.exp(_next(low, high, low_miss, high_miss))
    return best, ample


def _upper(relaxation: Relaxation) -> float:
    return relaxation.upper


def _second(relaxation: Relaxation) -> float:
    """Second resource that a relaxation asks for."""
    second = relaxation.weighing.second[relaxation.order[: relaxation.count + 1]]
    return float(second.sum())


def _guess(choice: Choice) -> float:
    """A rate at which both resources are worth about as much."""
    if choice.supply == 0.0:
        return 1.0
    if choice.budget < math.inf:
        return max(choice.budget, 1e-200) / choice.supply
    return float(choice.value.sum()) / choice.charge / choice.supply


def _next(low: float, high: float, low_miss: float, high_miss: float) -> float:
    if math.isnan(high):
        return low + min(max(2.0 * low_miss, 0.1), 8.0)
    if math.isnan(low):
        return high + max(min(2.0 * high_miss, -0.1), -8.0)
    share = low_miss / (low_miss - high_miss) if low_miss > high_miss else 0.5
    return low + (high - low) * min(max(share, 0.02), 0.98)
