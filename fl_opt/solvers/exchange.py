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

Sides = NDArray[np.int8]
"""(n,) 1 for candidates that a branch takes, -1 for those that it leaves, 0 for the free."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Linear relaxation of the row of one `weighing`, for the choices of one branch.

    `upper` is a proven upper bound of their values, `gain` (n,) of what taking a candidate adds to
    it: none of them that takes a free candidate of negative gain, or leaves one of positive gain,
    is worth more than ``upper - |gain|``. `order` (n,) sorts the candidates, those that the branch
    takes first, then the free ones by value per weight; the first `count` of it are taken
    entirely. `split` is the candidate taken in part, if any. `first` and `second` are what is
    asked for of the resources.
    """

    weighing: Weighing
    sides: Sides
    worth: float
    upper: float
    gain: Floats
    order: NDArray[np.int_]
    count: int
    split: int | None
    first: float
    second: float


def capacity(choice: Choice, weighing: Weighing) -> float:
    """Right-hand side of the row of a weighing."""
    if weighing.price == math.inf:
        return choice.supply
    return choice.budget + weighing.price * choice.supply


def bound(
    choice: Choice, weighing: Weighing, worth: float, sides: Sides | None = None
) -> tuple[float, Floats]:
    """Upper bound of the value at two prices, true in floating point for any, and the gains.

    `worth` is at least the charge, unless the weighing is at an infinite price.
    """
    weight = weighing.weight
    gain = choice.value - worth * weight
    size = choice.value + worth * weight
    gain += 2.0 * EPS * size
    part = np.maximum(gain, 0.0)
    if sides is not None:
        part = np.where(sides > 0, gain, np.where(sides < 0, 0.0, part))
    priced = 0.0
    if weighing.price == math.inf:
        priced += worth * choice.supply
    else:
        priced += worth * weighing.price * choice.supply
        if worth > choice.charge:
            priced += (worth - choice.charge) * choice.budget + 4.0 * EPS * worth * choice.budget
    rounding = _rounding(gain.size) * (priced + float(np.abs(part).sum()))
    return priced + float(part.sum()) + rounding, gain


def _rounding(size: int) -> float:
    """Relative error of a sum: numpy adds in blocks, so that it grows with the logarithm."""
    return (32.0 + 2.0 * math.log2(size + 1.0)) * EPS


def refuted(choice: Choice, weighing: Weighing, taken: NDArray[np.bool_]) -> bool:
    """Whether a row excludes a choice beyond rounding."""
    needed = float(weighing.weight[taken].sum())
    return needed > capacity(choice, weighing) * (1.0 + _rounding(taken.size))


def relax(choice: Choice, weighing: Weighing, sides: Sides) -> Relaxation:
    """Solve the linear relaxation of one row."""
    room = capacity(choice, weighing)
    least_worth = 0.0 if weighing.price == math.inf else choice.charge
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.minimum(choice.value / weighing.weight, 1e300)
    ratio[sides > 0], ratio[sides < 0] = math.inf, -math.inf
    order = np.argsort(-ratio, kind="stable")
    heap = np.cumsum(weighing.weight[order])
    taken, left = int(np.count_nonzero(sides > 0)), int(np.count_nonzero(sides >= 0))
    count = min(max(int(np.searchsorted(heap, room, side="right")), taken), left)
    worth, split, part = least_worth, None, 0.0
    if count < left and ratio[order[count]] > least_worth:
        split = int(order[count])
        worth = float(ratio[split])
        before = float(heap[count - 1]) if count else 0.0
        weight = float(weighing.weight[split])
        part = min(max(room - before, 0.0) / weight, 1.0) if weight > 0.0 else 1.0
    else:
        count = max(int(np.count_nonzero(ratio[order[:count]] > least_worth)), taken)
    upper, gain = bound(choice, weighing, worth, sides)
    if refuted(choice, weighing, sides > 0):
        upper = -math.inf
    first, second = (
        float(amount[order[:count]].sum())
        + (part * float(amount[split]) if split is not None else 0)
        for amount in (weighing.first, weighing.second)
    )
    return Relaxation(weighing, sides, worth, upper, gain, order, count, split, first, second)


def cheapest(
    problem: PricedChoice[Any], ample: Weighing, sides: Sides, tolerance: float, near: Weighing
) -> Relaxation:
    """The relaxation of least bound for a branch.

    `ample` is the weighing at an infinite price, `near` one from which to start the search.
    Regula falsi on the logarithm of demand over supply, in a bracket of ln m, until what the
    bracket can still save is `tolerance` of the bound.
    """
    choice = problem.choice
    best = relax(choice, ample, sides)
    if choice.charge == 0.0 and best.second <= choice.budget:
        return best
    low = high = math.nan
    low_miss = high_miss = 0.0
    rate = _guess(choice) if near.price == math.inf else near.price
    weighing = near
    for _ in range(STEPS):
        weighing = problem.weigh(rate, weighing)
        found = relax(choice, weighing, sides)
        best = min(best, found, key=_upper)
        miss = math.log(found.first / choice.supply) if found.first > 0.0 else -math.inf
        if miss > 0.0:
            low, low_miss, high_miss = math.log(rate), miss, 0.5 * high_miss
        else:
            high, high_miss, low_miss = math.log(rate), miss, 0.5 * low_miss
        width = high - low
        saving = found.worth * rate * abs(choice.supply - found.first)
        reach = 1.0 if math.isnan(width) else min(width, 1.0)
        if saving * reach <= tolerance * abs(best.upper) and (miss <= 0.0 or not math.isnan(high)):
            break
        if width <= 1e-14 or rate < 1e-280:
            break
        rate = math.exp(_next(low, high, low_miss, high_miss))
    return best


def _upper(relaxation: Relaxation) -> float:
    return relaxation.upper


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
