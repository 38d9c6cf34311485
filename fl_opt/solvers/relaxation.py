r"""The price of capacity in a knapsack, and what it proves.

Options j of classes i (one option of a class at most) have value v_j and weight w_j. At a price mu
of the capacity c, and a price lam of taking part when the number of taken options is limited to k,

    U(mu, lam) = lam k + mu c + sum_i max(0, max_j (v_j - lam - mu w_j))

is an upper bound of the optimal value for any mu >= 0, and for any lam of the sign of the limit:
lam >= 0 for "at most k", lam <= 0 for "at least k". An option that is not the best of its class at
these prices loses its `loss` >= 0, so

    value of a choice = U - sum of its losses - mu x unused capacity - lam x unused number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS
from fl_opt.structure import Items
from fl_opt.units import Floats

Index = NDArray[np.intp]
_SORTED_BELOW = 2048
_FARTHEST = 2.0**64
_TIED = 2.0**-42
"""Gains that are tied under the best price of taking part are found so far from each other."""
ROUNDING = 64.0 * EPS
"""Allowance for a sum of positive terms, relative to it; numpy adds in pairs of blocks."""
FIT = 8.0 * EPS
"""A choice fits when it exceeds the capacity by no more than its sum is rounded, relative to it."""


@dataclass(frozen=True, eq=False)
class Options:
    """Items that may be worth taking, scaled by powers of two: capacity in [1/2, 1), or 0.

    Arrays (n,) ordered by class and weight: `value`, `weight` (a lower bound of the exact one),
    `full` (the weight that is enough; 4 where that exceeds the capacity), `item` (index of the
    caller). `first` (m,) is where each class begins. `unit` is the value of 1.
    """

    value: Floats
    weight: Floats
    full: Floats
    item: Index
    first: Index
    capacity: float
    unit: float

    @property
    def single(self) -> bool:
        """Whether every class has one option."""
        return self.first.size == self.value.size

    @property
    def owner(self) -> Index:
        """(n,) class of each option."""
        if self.single:
            return self.first
        sizes = np.diff(self.first, append=self.value.size)
        return np.repeat(np.arange(self.first.size), sizes)


def options_of(items: Items) -> Options:
    """Options of `items`: positive value, and a weight that may fit."""
    capacity = items.capacity
    index = np.flatnonzero((items.value > 0.0) & (items.weight_low <= capacity))
    first = np.arange(index.size)
    if items.group is not None:
        group = items.group[index]
        order = np.lexsort((items.weight_low[index], group))
        index, group = _undominated(items, index[order], group[order])
        first = np.flatnonzero(np.diff(group, prepend=group[:1] - 1))
    whole = index.size == items.value.size and items.group is None
    value, low, full = (
        array if whole else array[index] for array in (items.value, items.weight_low, items.weight)
    )
    weight_exponent = math.frexp(capacity)[1]
    value_exponent = math.frexp(float(value.max(initial=0.0)))[1]
    return Options(
        np.ldexp(value, -value_exponent),
        np.ldexp(low, -weight_exponent),
        np.where(full <= capacity, np.ldexp(np.minimum(full, capacity), -weight_exponent), 4.0),
        index,
        first,
        math.ldexp(capacity, -weight_exponent),
        math.ldexp(1.0, value_exponent),
    )


def _undominated(items: Items, index: Index, group: Index) -> tuple[Index, Index]:
    """Without the items that are worth no more than a lighter one of their group."""
    while True:
        value, weight = items.value[index], items.weight[index]
        worse = (np.diff(group) == 0) & (np.diff(value) <= 0.0) & (weight[1:] >= weight[:-1])
        if not worse.any():
            return index, group
        keep = np.append(True, ~worse)[: index.size]
        index, group = index[keep], group[keep]


@dataclass(frozen=True, eq=False)
class Steps:
    """Upgrades along the concave hull of every class, the first from nothing.

    Within a class the value per weight (`slope`) decreases, so the best option at a price is the
    last step whose slope exceeds it. `option` (n,) is where a step leads, `value` and `weight` are
    what it adds.
    """

    option: Index
    value: Floats
    weight: Floats
    slope: Floats


def steps_of(options: Options, each: float) -> Steps:
    """The steps of all classes when taking part costs `each`."""
    value = options.value - each if each else options.value
    option = np.flatnonzero(value > 0.0) if each > 0.0 else np.arange(value.size)
    if options.single:
        weight = options.weight[option]
        with np.errstate(divide="ignore", over="ignore"):
            return Steps(option, value[option], weight, value[option] / weight)
    owner = options.owner
    while True:
        gain, weight = value[option], options.weight[option]
        follows = np.flatnonzero(np.diff(owner[option]) == 0) + 1
        gain[follows] -= value[option[follows - 1]]
        weight[follows] -= options.weight[option[follows - 1]]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            slope = np.where(gain > 0.0, gain / weight, -np.inf)
        # a point under the chord of its neighbours is under the hull, whoever else goes
        out = slope == -np.inf
        out[follows - 1] |= slope[follows] >= slope[follows - 1]
        if not out.any():
            return Steps(option, gain, weight, slope)
        option = option[~out]


def capacity_price(steps: Steps, capacity: float) -> float:
    """The least price at which the steps with a greater slope fit; linear time, no full sort."""
    slope, weight = steps.slope, steps.weight
    if float(weight.sum()) <= capacity:
        return 0.0
    while slope.size > _SORTED_BELOW:
        pivot = float(np.median(slope[:: slope.size // 501]))
        above = slope > pivot
        heavy = float(weight[above].sum())
        if heavy > capacity:
            slope, weight = slope[above], weight[above]
            continue
        same = slope == pivot
        capacity -= heavy + float(weight[same].sum())
        if capacity < 0.0:
            return pivot
        rest = ~(above | same)
        slope, weight = slope[rest], weight[rest]
    order = np.argsort(-slope, kind="stable")
    fit = int(np.searchsorted(np.cumsum(weight[order]), capacity, side="right"))
    return float(slope[order[min(fit, order.size - 1)]]) if order.size else 0.0


@dataclass(frozen=True)
class Tangent:
    """U at a price of taking part, minimised over the price of capacity, and its slope."""

    each: float
    value: float
    slope: float


def _tangent(options: Options, number: int, each: float) -> Tangent:
    steps = steps_of(options, each)
    price = capacity_price(steps, options.capacity)
    gain = float(np.maximum(steps.value - price * steps.weight, 0.0).sum())
    value = each * number + price * options.capacity + gain
    value += ROUNDING * (abs(each) * number + price * options.capacity + gain)
    above, same = steps.slope > price, steps.slope == price
    count = float(np.count_nonzero(above))
    tied = float(steps.weight[same].sum())
    if tied > 0.0:
        left = options.capacity - float(steps.weight[above].sum())
        count += np.count_nonzero(same) * min(max(left / tied, 0.0), 1.0)
    return Tangent(each, value, number - count)


def price_of_number(options: Options, number: int, at_most: bool, target: float) -> Tangent:
    """The best price of taking part under a limit on the number; options of one per class.

    Intersects tangents of the convex U and halves brackets in turn, until U is at most `target`,
    which refutes that side, or within rounding of its minimum.
    """
    low = _tangent(options, number, 0.0)
    best = low
    if not at_most and number > options.value.size:
        return Tangent(-math.inf, -math.inf, 0.0)
    reach = 1.0 if at_most else -1.0
    high = _tangent(options, number, reach)
    while high.slope * reach < 0.0 and high.value > target and abs(reach) < _FARTHEST:
        low, best, reach = high, min(best, high, key=_value), 2.0 * reach
        high = _tangent(options, number, reach)
    best = min(best, high, key=_value)
    for turn in range(80):
        bend = high.slope - low.slope
        if best.value <= target or low.slope * reach >= 0.0 or bend == 0.0:
            break
        meet = (low.value - high.value + high.slope * high.each - low.slope * low.each) / bend
        least = low.value + low.slope * (meet - low.each)
        if best.value - least <= 16.0 * EPS * abs(best.value):
            break
        middle = meet if turn % 2 else 0.5 * (low.each + high.each)
        if middle in (low.each, high.each):
            break
        found = _tangent(options, number, middle)
        best = min(best, found, key=_value)
        low, high = (low, found) if found.slope * reach >= 0.0 else (found, high)
    return best


def _value(tangent: Tangent) -> float:
    return tangent.value


@dataclass(frozen=True, eq=False)
class Relaxation:
    """A choice that is best at the prices, and what it leaves.

    The prices are `price` and `each`. `upper` bounds the optimal value, rounded outward. `base`
    (m,) is the option of each class, -1 for none; `value` is what it is worth. `slack` and
    `full_slack` are the capacity left by the weights of `base`, and by its full weights with
    ``FIT`` allowed. `gain` (n,) is v - lam - mu w, good to `error`. `edge` is the weight of the
    heaviest step taken on a tie, 0 for none.
    """

    options: Options
    price: float
    each: float
    upper: float
    base: Index
    value: float
    slack: float
    full_slack: float
    gain: Floats
    error: float
    edge: float


def relax(options: Options, each: float = 0.0, number: int | None = None) -> Relaxation:
    """Solve the relaxation at the best price of capacity, given a price of taking part."""
    steps = steps_of(options, each)
    price = capacity_price(steps, options.capacity)
    error = price * options.weight
    gain = options.value - error
    gain -= each
    # every gain is off by a few units in the last place of its terms
    error += options.value
    error += abs(each)
    error *= 4.0 * EPS
    if each:
        error += _TIED
    best = gain + error
    np.maximum(best, 0.0, out=best)
    if not options.single:
        best = np.maximum.reduceat(best, options.first) if best.size else best
    gained, priced, limit = float(best.sum()), price * options.capacity, number or 0
    upper = each * limit + priced + gained
    upper += ROUNDING * (abs(each) * limit + priced + gained)

    rise = steps.value - price * steps.weight
    doubt = error if steps.option.size == error.size else error[steps.option]
    sure = rise > doubt
    tied = np.flatnonzero(np.abs(rise) <= doubt)
    base = np.full(options.first.size, -1, dtype=np.intp)
    owner = options.owner
    taken = steps.option[sure]
    base[owner[taken]] = taken
    edge = 0.0
    if tied.size:
        # of two tied steps of a class only the first is a step from the base
        tied = tied[np.diff(owner[steps.option[tied]], prepend=-1) != 0]
        left = options.capacity - float(steps.weight[sure].sum())
        wanted = None if number is None else number - int(np.count_nonzero(base >= 0))
        tied = tied[_window(steps.weight[tied], left, wanted)]
        base[owner[steps.option[tied]]] = steps.option[tied]
        edge = float(steps.weight[tied].max(initial=0.0))
    used = base[base >= 0]
    return Relaxation(
        options,
        price,
        each,
        upper,
        base,
        float(options.value[used].sum()),
        options.capacity - float(options.weight[used].sum()),
        options.capacity * (1.0 + FIT) - float(options.full[used].sum()),
        gain,
        float(error.max(initial=0.0)),
        edge,
    )


def _window(weight: Floats, left: float, wanted: int | None) -> Index:
    """Indices of `wanted` weights (as many as fit where None) that fill `left` well.

    A window of the sorted weights, moved up as long as it fits.
    """
    order = np.argsort(weight, kind="stable")
    sums = np.append(0.0, np.cumsum(weight[order]))
    fit = int(np.searchsorted(sums, left, side="right")) - 1
    count = fit if wanted is None else min(max(wanted, 0), order.size)
    spans = sums[count:] - sums[: sums.size - count]
    begin = max(int(np.searchsorted(spans, left, side="right")) - 1, 0)
    return order[begin : begin + count]
