"""Match at a price of the budget, then search the few offers that the price leaves open.

At a price x of the budget, each pair takes the level of largest value - x weight, and what is left
is a matching (dense shortest augmenting paths, scipy). Its worth plus x times the budget bounds
what any choice is worth, and is a convex, piecewise linear function of x, whose least value is
found where two tangents meet, in as many steps as there are pieces in the way. The price of the
columns (see `assignment`) makes the bound a sum that needs no faith in the matching.

Where a matching at that price uses the whole budget, it is optimal. If not, the best choice lies
between two matchings: their levels are moved until they fit, which gives an answer, and an offer
whose reduced value exceeds the distance of bound and answer is in no better choice. The others are
searched by a 0/1 program (HiGHS).

Where all weights are whole, such as bands in hertz, the budget is rounded down to a multiple of
what divides them; otherwise its rest would be priced, though nobody can use it.

That at most `most` pairs are matched is put into the matching: rows of a value that nobody exceeds
take the columns that have to stay free.

Invariants: the answer is feasible, the bound is proven.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import FEASIBLE, Proof, Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.solvers import binary
from fl_opt.solvers.assignment import prices, upper_bound
from fl_opt.solvers.grain import Grain
from fl_opt.structure import BudgetedMatching, Offers
from fl_opt.units import Floats

D = TypeVar("D")
Whole = NDArray[np.int_]

_STEPS = 200


@dataclass(frozen=True)
class Budgeted:
    """Solver of a `BudgetedMatching`. Proof: "dual", or "dual + tree" where a search closed it.

    Parameters
    ----------
    gap
        The search ends when (bound - value)/bound is at most this [-].
    core
        Most offers that are searched; 0 leaves it at the two matchings.
    nodes
        Most nodes of the search tree.

    Nothing is infeasible: the empty matching always is possible. An earlier solution does not help.
    """

    gap: float = 1e-9
    core: int = 3000
    nodes: int = 10_000

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)
        number("core", self.core)
        number("nodes", self.nodes, low=1.0)

    def __call__(
        self,
        problem: BudgetedMatching[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Match; at the time limit, the best answer found with the bound proven so far."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        offers = problem.offers()
        _check(offers)
        # a level that is beyond the budget alone is in no choice
        fits = offers.weight <= offers.budget * (1.0 + FEASIBLE)
        offers = replace(offers, value=np.where(fits, offers.value, -np.inf))
        search = _Search(offers)
        proof: Proof = "dual"
        if (offers.value > 0.0).any() and offers.most:
            search.price()
            if search.upper - search.worth > self.gap * search.upper and self.core:
                proof = search.close(self, until_s)
        decision = problem.arrange(search.column, search.level)
        # only these may be worth something
        able = offers.value > -offers.error
        pairs = min(offers.most, *(int(able.any(axis=(axis, 2)).sum()) for axis in (0, 1)))
        bound = 0.0 - search.upper - pairs * offers.error
        certificate = verify(problem, decision, bound=bound, proof=proof)
        seconds = time.perf_counter() - began
        return Solution(decision, certificate, unpriced(problem, decision), "budgeted", seconds)


def _check(offers: Offers) -> None:
    if offers.value.ndim != 3 or offers.weight.shape != offers.value.shape[2:]:
        raise InvalidInput(
            "offers.value.shape", offers.value.shape, f"(n, m, {offers.weight.size})"
        )
    if np.isnan(offers.value).any() or np.isposinf(offers.value).any():
        raise InvalidInput("offers.value", "NaN or inf", "numbers < inf")
    if not np.all(np.isfinite(offers.weight) & (offers.weight >= 0.0)):
        raise InvalidInput("offers.weight", "negative or not finite", "finite numbers >= 0")
    number("offers.budget", offers.budget, finite=False)
    number("offers.most", offers.most)


def _usable(offers: Offers) -> float:
    """What a choice can use of the budget at most: whole weights add up to multiples only."""
    most = float(offers.weight.max(initial=0.0)) * min(offers.value.shape[:2])
    # what `verify` accepts may be used, and is bounded
    budget: float = min(offers.budget, most) * (1.0 + FEASIBLE)
    weight = offers.weight[offers.weight > 0.0]
    whole = np.rint(weight)
    if not np.all(np.abs(weight - whole) <= 4.0 * EPS * whole):
        return budget
    grain = Grain.of(whole)
    return min(budget, grain.floor(budget * (1.0 + 16.0 * EPS)) * (1.0 + 16.0 * EPS))


@dataclass(frozen=True, eq=False)
class _Point:
    """A matching at a price: what it uses and is worth, and the pairs' worths at that price."""

    price: float
    column: Whole
    level: Whole
    used: float
    worth: float
    at_price: Floats
    matched: Whole
    dual: float


class _Search:
    """The best choice so far, `worth` = its value, and the bound `upper` on all others."""

    def __init__(self, offers: Offers) -> None:
        n, m, _ = offers.value.shape
        self.offers = offers
        self.budget = _usable(offers)
        self.idle = max(m - offers.most, 0) if offers.most < min(n, m) else 0
        # more than any pair is worth, so that no pair takes the place of a free column
        self.largest = 2.0 * max(float(offers.value.max(initial=0.0)), 0.0)
        self.column, self.level = np.full(n, -1), np.full(n, -1)
        self.worth, self.upper = 0.0, 0.0
        self.best_price, self.columns = 0.0, np.zeros(m)

    @cached_property
    def rows(self) -> Whole:
        """Rows of pairs, and of columns that stay free."""
        return np.arange(self.offers.value.shape[0] + self.idle)

    def at(self, price: float) -> _Point:
        """The best matching at a price."""
        from scipy.optimize import linear_sum_assignment

        offers = self.offers
        net = offers.value - price * offers.weight
        level = net.argmax(axis=2)
        worths = np.maximum(np.take_along_axis(net, level[:, :, None], axis=2)[:, :, 0], 0.0)
        n, m = worths.shape
        if self.idle:
            worths = np.vstack([worths, np.full((self.idle, m), self.largest)])
        i, j = linear_sum_assignment(worths, maximize=True)
        matched = np.full(worths.shape[0], -1)
        matched[i] = j
        matched[:n] = np.where(worths[np.arange(n), matched[:n]] > 0.0, matched[:n], -1)
        column = matched[:n]
        taken = np.flatnonzero(column >= 0)
        chosen = np.full(n, -1)
        chosen[taken] = level[taken, column[taken]]
        used, worth = self._totals(column, chosen)
        dual = price * self.budget + float(worths[taken, column[taken]].sum())
        return _Point(price, column, chosen, used, worth, worths, matched, dual)

    def _totals(self, column: Whole, level: Whole) -> tuple[float, float]:
        taken = np.flatnonzero(column >= 0)
        weights = self.offers.weight[level[taken]]
        values = self.offers.value[taken, column[taken], level[taken]]
        return math.fsum(weights.tolist()), math.fsum(values.tolist())

    def _offer(self, column: Whole, level: Whole) -> None:
        used, worth = self._totals(column, level)
        if used <= self.budget and worth > self.worth:
            self.column, self.level, self.worth = column, level, worth

    def price(self) -> None:
        """Lower the bound over the price; keep the best choice that was met on the way."""
        low = self.at(0.0)
        if low.used <= self.budget:
            self._settle(low)
            return
        weighs = self.offers.weight > 0.0
        most = (self.offers.value[:, :, weighs] / self.offers.weight[weighs]).max()
        high = self.at(float(most) * (1.0 + 4.0 * EPS))
        best = low if low.dual < high.dual else high
        for _ in range(_STEPS):
            # `low` uses too much and `high` fits: their tangents meet in between
            price = (low.worth - high.worth) / (low.used - high.used)
            if not low.price < price < high.price:
                break
            point = self.at(price)
            best = point if point.dual < best.dual else best
            line = high.worth + price * (self.budget - high.used)
            if point.used > self.budget:
                low = point
            else:
                high = point
            if point.dual <= line * (1.0 + 1e-14):
                break
        self._settle(best, low, high)

    def _settle(self, best: _Point, *near: _Point) -> None:
        """The proven bound at the best price, and answers from the matchings beside it."""
        for point in (best, *near):
            self._offer(point.column, point.level)
            self._offer(*self._moved(point.column, point.level))
        self.best_price = best.price
        self.columns = prices(best.at_price, best.matched)
        fixed = best.price * self.budget - self.idle * self.largest
        size = best.price * self.budget + self.idle * self.largest
        bound = upper_bound(best.at_price, self.columns)
        # a worth carries the rounding of value - price x weight
        rough = 4.0 * EPS * (self.largest + best.price * float(self.offers.weight.max()))
        upper = bound + fixed + rough * len(self.rows) + 8.0 * EPS * (size + bound)
        self.upper = max(upper, self.worth)

    def _moved(self, column: Whole, level: Whole) -> tuple[Whole, Whole]:
        """Levels moved down until they fit, then up while they do, cheapest and best first."""
        offers = self.offers
        column, level = column.copy(), level.copy()
        row = np.flatnonzero(column >= 0)
        value, weight = offers.value[row, column[row]], offers.weight
        # the last choice is to leave the pair
        worth = np.hstack([value, np.zeros((row.size, 1))])
        takes = np.append(weight, 0.0)
        now = level[row]
        for _ in range(worth.size):
            used = float(takes[now].sum())
            gain = worth - worth[np.arange(row.size), now][:, None]
            more = takes[None, :] - takes[now][:, None]
            if used > self.budget:
                with np.errstate(divide="ignore", invalid="ignore"):
                    rank = np.where((more < 0.0) & np.isfinite(gain), gain / -more, -np.inf)
            else:
                fits = (more <= self.budget - used) & (gain > 0.0)
                rank = np.where(fits, gain, -np.inf)
            if rank.size == 0 or rank.max() == -np.inf:
                break
            k, choice = np.unravel_index(int(np.argmax(rank)), rank.shape)
            now[k] = choice
        left = now == weight.size
        level[row], column[row[left]] = np.where(left, -1, now), -1
        return column, level

    def close(self, options: Budgeted, until_s: float) -> Proof:
        """Search the offers that may be in a better choice; the kind of the bound then."""
        offers = self.offers
        n, m, _ = offers.value.shape
        net = offers.value - self.best_price * offers.weight
        slack = net.max(axis=2) - self.columns
        own = np.maximum(slack.max(axis=1), 0.0)
        reduced = own[:, None, None] + self.columns[:, None] - net
        far = self.upper - self.worth
        i, j, k = np.nonzero((offers.value > 0.0) & (reduced <= far + 1e-12 * self.upper))
        if not 0 < i.size <= options.core:
            return "dual"
        rows = np.zeros((n + m + 2, i.size))
        rows[i, np.arange(i.size)] = rows[n + j, np.arange(i.size)] = rows[n + m] = 1.0
        rows[n + m + 1] = offers.weight[k]
        limits = np.concatenate([np.ones(n + m), [offers.most, self.budget]])
        held = rows.any(axis=1)
        rows, limits = rows[held], limits[held]
        value = offers.value[i, j, k]
        while True:
            left_s = until_s - time.perf_counter()
            if left_s <= 0.0:
                return "dual"
            found = binary.maximise(
                value,
                rows,
                limits,
                eased=np.zeros(limits.size, dtype=bool),
                charge=0.0,
                most=0.0,
                target=self.worth,
                gap=0.0,
                nodes=options.nodes,
                time_limit_s=left_s,
            )
            if found.chosen is not None:
                picked = np.flatnonzero(found.chosen)
                column, level = np.full(n, -1), np.full(n, -1)
                column[i[picked]], level[i[picked]] = j[picked], k[picked]
                if self._totals(column, level)[0] > self.budget:
                    # within the tolerance of HiGHS, and no choice: exclude it, and all that hold it
                    rows = np.vstack([rows, found.chosen])
                    limits = np.append(limits, picked.size - 1.0)
                    continue
                self._offer(column, level)
            self.upper = min(self.upper, max(found.upper, self.worth))
            return "dual + tree"
