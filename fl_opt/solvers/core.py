"""Pack a knapsack: price the capacity, fix what the price decides, search the core that is left.

The price gives a bound and a choice near it. An item whose reduced value exceeds the distance of
bound and best choice is decided; the others are the core. It is searched from the smallest reduced
value on, by lists of states in double precision, until the distance closes to `gap`. Where a
branch on the number of items shows that at most k, or at least k + 1, can be taken in anything
better, a second price, of taking part, sharpens the bound, and the two halves of a core are joined
for a choice near it; that settles utilities which are nearly equal or weight + constant. Where all
values are multiples of one number, so is the bound.

A mixed-integer solver on the core was tried and left: it took 10 to 100 times as long, and its
feasibility tolerance of 1e-6 of the capacity is wider than the gaps to be proven.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.solvers.grain import Grain
from fl_opt.solvers.lists import Changes, Effort, changes_of, meet, search
from fl_opt.solvers.relaxation import (
    ROUNDING,
    Index,
    Options,
    Relaxation,
    Tangent,
    options_of,
    price_of_number,
    relax,
)
from fl_opt.structure import Items, Knapsack

D = TypeVar("D")

_FILLS = 16
_WORTH_ANOTHER = 0.7
_VAGUE = 1e-9
"""Relative uncertainty of a weight from which on it may hide a choice that is sure to fit."""


@dataclass(frozen=True)
class Core:
    """Solver of a `Knapsack`, with or without groups. Proof: "dual + tree".

    Parameters
    ----------
    gap
        The search ends when the gap of the certificate is at most this [-].
    width, states
        States that the search keeps at once, and makes in all. They limit memory and time on hard
        instances, where the gap that was certified then exceeds `gap`.

    Identical items and zero or unbounded weights are ordinary input. Nothing is infeasible: the
    empty choice always fits. An earlier solution does not help and is not used.
    """

    gap: float = 1e-9
    width: int = 100_000
    states: int = 5_000_000

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)
        number("width", self.width, low=1.0)
        number("states", self.states)

    def __call__(
        self,
        problem: Knapsack[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Pack; at the time limit, the best choice found with the bound proven so far."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        items = problem.items()
        _check(items)
        effort = Effort(self.width, self.states, until_s)
        packing = _Packing(options_of(items), self.gap, items.base)
        packing.run(effort)
        mask = packing.mask(items.value.size)
        if not packing.closed and (items.weight > items.weight_low * (1.0 + _VAGUE)).any():
            # states are compared by the weights of the bound: one that takes an item which only
            # may fit hides another that surely fits
            certain = dataclasses.replace(items, weight_low=items.weight)
            sure = _Packing(options_of(certain), self.gap, items.base)
            sure.run(effort)
            if sure.worth > packing.worth:
                mask = sure.mask(items.value.size)
        decision = problem.pack(mask)
        bound = items.base - packing.bound - 8.0 * EPS * abs(items.base)
        bound = max(bound, items.floor)
        certificate = verify(problem, decision, bound=bound, proof="dual + tree")
        prices = unpriced(problem, decision)
        return Solution(decision, certificate, prices, "core", time.perf_counter() - began)


def _check(items: Items) -> None:
    size = items.value.shape
    for name in ("value", "weight", "weight_low", "group"):
        array = getattr(items, name)
        if array is not None and array.shape != size:
            raise InvalidInput(f"items.{name}.shape", array.shape, f"{size}, as items.value")
    number("items.capacity", items.capacity)
    number("items.base", items.base, low=-math.inf)
    if not np.isfinite(items.value).all():
        k = int(np.flatnonzero(~np.isfinite(items.value))[0])
        raise InvalidInput(f"items.value[{k}]", items.value[k], "a finite number")
    ordered = (items.weight_low >= 0.0) & (items.weight_low <= items.weight)
    if not ordered.all():
        k = int(np.flatnonzero(~ordered)[0])
        raise InvalidInput(
            f"items.weight_low[{k}]", items.weight_low[k], f"within 0 and {items.weight[k]:g}"
        )


class _Packing:
    """The best choice so far and the bound on all others, in units of the options."""

    def __init__(self, options: Options, gap: float, base: float) -> None:
        self.options, self.gap, self.base = options, gap, base / options.unit
        self.value, self.chosen = 0.0, np.zeros(0, dtype=np.intp)
        self.upper = math.inf
        self.grain = Grain.of(options.value * options.unit)

    @property
    def worth(self) -> float:
        """Value of the best choice, in the units of the items."""
        return self.value * self.options.unit

    @property
    def bound(self) -> float:
        """Upper bound of the value, in the units of the items."""
        return self.upper * self.options.unit

    def mask(self, size: int) -> NDArray[np.bool_]:
        """(size,) the chosen items."""
        mask = np.zeros(size, dtype=bool)
        mask[self.options.item[self.chosen]] = True
        return mask

    @property
    def step(self) -> float:
        """An improvement by less than this does not count."""
        grain = self.grain.size / self.options.unit * (1.0 - 1e-9)
        return max(self.gap * abs(self.base - self.value), grain)

    @property
    def closed(self) -> bool:
        """Whether the gap is small enough."""
        size = max(abs(self.base - self.value), abs(self.base - self.upper))
        return self.upper - self.value <= self.gap * size

    def tighten(self, upper: float) -> None:
        """Take a proven bound, rounded to the grain of the values."""
        upper = self.grain.floor(upper * self.options.unit) / self.options.unit
        exact = self.grain.size > 0.0 and self.grain.error == 0.0
        attained = self.value * (1.0 if exact else 1.0 + ROUNDING)
        self.upper = max(min(self.upper, upper), attained)

    def offer(self, chosen: Index) -> None:
        """Keep a choice if it is the best so far."""
        value = float(self.options.value[chosen].sum())
        if value > self.value:
            self.value, self.chosen = value, chosen

    def run(self, effort: Effort) -> None:
        """Price, search, and where that is not enough, price the number too and search again."""
        first = relax(self.options)
        # a narrow search gets further, a wide one misses less
        for width in (effort.width // 2 + 1, effort.width):
            self.explore(first, dataclasses.replace(effort, width=width), -math.inf)
            if self.closed or time.perf_counter() > effort.until_s:
                return
        if not self.options.single:
            return
        number = int(np.count_nonzero(first.base >= 0))
        target = self.value + self.step
        fewer = price_of_number(self.options, number, True, target)
        more = price_of_number(self.options, number + 1, False, target)
        self.tighten(max(fewer.value, more.value, self.value))
        if self.closed or min(fewer.value, more.value) > target:
            return
        side, limit = (fewer, number) if more.value <= target else (more, number + 1)
        other: Tangent = more if side is fewer else fewer
        self.explore(relax(self.options, side.each, limit), effort, other.value)

    def explore(self, relaxation: Relaxation, effort: Effort, elsewhere: float) -> None:
        """Search near a relaxation; nothing outside of it is worth more than `elsewhere`."""
        if relaxation.full_slack >= 0.0:
            base = _filled(relaxation)
            self.offer(base[base >= 0])
        self.tighten(max(relaxation.upper, elsewhere))
        states, regret = effort.states, math.inf
        # a search that was cut short, but improved the choice, is worth another with a smaller core
        while not self.closed and relaxation.upper - self.value < _WORTH_ANOTHER * regret:
            changes = changes_of(relaxation, relaxation.upper - self.value - self.step)
            if relaxation.each:
                self.join(relaxation, changes, effort.width)
            regret = relaxation.upper - self.value
            allowed = self.gap / (1.0 + self.gap) * abs(self.base - self.upper)
            stop = relaxation.upper - self.upper + allowed
            left = dataclasses.replace(effort, states=states)
            found = search(relaxation, changes, regret, stop, self.step, left)
            if found.picked is not None:
                self.offer(_applied(relaxation, changes, found.picked))
            closest = min(found.open, changes.beyond)
            self.tighten(max(relaxation.upper - closest, self.value, elsewhere))
            states -= found.made

    def join(self, relaxation: Relaxation, changes: Changes, width: int) -> None:
        """Offer the best choices of two halves of the core, by loss and of like weights.

        Exchanges among like weights move little, so that many of them nearly fill the capacity;
        where few of them do, unlike ones may.
        """
        near = np.argsort(np.abs(np.abs(changes.weight) - relaxation.edge), kind="stable")
        for order in (np.arange(near.size), near):
            picked = meet(relaxation, changes, order, width)
            self.offer(_applied(relaxation, changes, picked))


def _filled(relaxation: Relaxation) -> Index:
    """The base and, in the capacity that it leaves, what adds most value, step by step."""
    options, base, slack = relaxation.options, relaxation.base.copy(), relaxation.full_slack
    owner = options.owner
    # a single option that is taken cannot be upgraded
    rest = np.flatnonzero(base < 0) if options.single else np.arange(owner.size)
    for _ in range(_FILLS):
        held = base[owner[rest]]
        value = options.value[rest] - np.where(held >= 0, options.value[held], 0.0)
        weight = options.full[rest] - np.where(held >= 0, options.full[held], 0.0)
        fits = np.flatnonzero((weight <= slack) & (value > 0.0))
        if not fits.size:
            break
        best = fits[np.argmax(value[fits])]
        base[owner[rest[best]]] = rest[best]
        slack -= float(weight[best])
        rest = rest[fits]
    return base


def _applied(relaxation: Relaxation, changes: Changes, picked: list[int]) -> Index:
    base = relaxation.base.copy()
    base[changes.owner[picked]] = changes.option[picked]
    return base[base >= 0]
