"""Choose by two prices, then search the few candidates that the prices leave open.

1. Two prices, of the first and of the second resource, give a bound that no choice exceeds, and a
   ranking of the candidates (see `exchange`).
2. The longest prefix of the ranking that is possible is the first answer.
3. A candidate whose reduced value exceeds the distance of bound and answer is decided. The core,
   those of smallest reduced value, is searched by a 0/1 program with one row per rate at which the
   resources were exchanged so far. Its choice is tried on the convex rest: if it is possible, it
   is the best of the core; if not, its own rate gives a row that excludes it.
4. Where more than a usual value is missing even so, one candidate is too large for its price: the
   one that is taken in part. Both branches, with and without it, are priced and searched anew.

Invariants: every branch has a proven bound, every row holds for every possible choice, the answer
is possible. The bound is the largest of all branches that are not closed.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof, Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.kernels import EPS
from fl_opt.solvers import binary
from fl_opt.solvers.choosing import Incumbent, Mask, Trial
from fl_opt.solvers.exchange import Relaxation, Sides, capacity, cheapest, refuted
from fl_opt.solvers.grain import Grain
from fl_opt.structure import PricedChoice, Weighing
from fl_opt.units import Floats

SHARES = 5
"""A tree may use this part of the nodes that are left, so that a larger core has its turn."""
BRANCH = 200
"""Nodes that a branch counts for."""
VAGUE = 1e-12
"""Uncertainty of a least amount, relative to the supply, from which on it counts."""


@dataclass(frozen=True)
class TwoPrices:
    """Solver of a `PricedChoice`. Proof: "dual", or "dual + tree" where a search closed the rest.

    Parameters
    ----------
    gap
        The search ends when (bound - value)/bound is at most this [-].
    core
        Most candidates that are searched at once; 0 leaves it at the first answer.
    nodes
        Most nodes of all search trees together. Unlike a clock it lets runs repeat exactly.

    Nothing is infeasible: the empty choice always is possible. Of an earlier solution the choice
    serves as an answer to begin with.
    """

    gap: float = 1e-9
    core: int = 120
    nodes: int = 10_000

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)
        number("core", self.core)
        number("nodes", self.nodes, low=1.0)

    def __call__(
        self,
        problem: PricedChoice[Any],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[Any]:
        """Choose; at the time limit, the best answer found with the bound proven so far."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        search = _Search(problem, self, until_s)
        if problem.choice.value.size:
            search.run(None if start is None else problem.recall(start.allocation))
        decision = problem.join(search.best.answer, search.best.rest)
        certificate = verify(problem, decision, bound=-search.upper, proof=search.proof)
        prices = unpriced(problem, decision)
        return Solution(decision, certificate, prices, "prices", time.perf_counter() - began)


class _Search:
    """Branches with their bounds, and the rows that every possible choice obeys."""

    def __init__(self, problem: PricedChoice[Any], options: TwoPrices, until_s: float) -> None:
        self.problem, self.options, self.until_s = problem, options, until_s
        self.best = Incumbent(problem)
        choice = self.choice = self.best.choice
        self.upper = 0.0
        self.proof: Proof = "dual"
        self.rows: list[Weighing] = []
        self.nodes = int(options.nodes)
        # whose least amount floating point does not tell: searched always, and never proven absent
        self.vague = choice.least - choice.least_low > VAGUE * choice.supply
        self.usual = float(np.median(choice.value)) if choice.value.size else 0.0
        self.grain = Grain(0.0, 0.0) if choice.charge > 0.0 else Grain.of(choice.value)

    @property
    def value(self) -> float:
        """Value of the best answer so far."""
        return self.best.value

    @property
    def spent(self) -> bool:
        """Whether the nodes or the time are used up."""
        return self.nodes <= 0 or time.perf_counter() > self.until_s

    def rounded(self, upper: float) -> float:
        """A bound, rounded to the grain of the values and not below the best answer."""
        exact = self.grain.size > 0.0 and self.grain.error == 0.0
        return max(self.grain.floor(upper), self.value * (1.0 if exact else 1.0 + 2.0 * EPS))

    def closes(self, upper: float) -> bool:
        """Whether a bound is near enough to the best answer."""
        return upper - self.value <= self.options.gap * upper

    def attempt(self, taken: Mask) -> Trial | None:
        """Try a choice that no row refutes; None where it need not be solved."""
        if any(refuted(self.choice, row, taken) for row in self.rows):
            return None
        return self.best.attempt(taken)

    def run(self, start: Mask | None) -> None:
        """Branch on what the prices leave, the branch of the largest bound first."""
        ample = self.problem.weigh(math.inf)
        self.rows.append(ample)
        if start is not None:
            self.attempt(start)
        free: Sides = np.zeros(self.choice.value.size, dtype=np.int8)
        root = self.priced(free, ample)
        number_of = itertools.count()
        branches = [(-root.upper, next(number_of), root)]
        settled = -math.inf
        while branches and not self.closes(self.rounded(-branches[0][0])):
            if self.spent:
                break
            negative, _, relaxation = heapq.heappop(branches)
            upper = min(self.search(relaxation), -negative)
            if self.closes(self.rounded(upper)) or not self.branches(relaxation, upper):
                settled = max(settled, upper)
                continue
            self.nodes -= BRANCH
            self.proof = "dual + tree"
            for side in (-1, 1):
                sides = relaxation.sides.copy()
                sides[relaxation.split] = side
                child = self.priced(sides, relaxation.weighing)
                heapq.heappush(branches, (-min(child.upper, upper), next(number_of), child))
        left = max((-negative for negative, _, _ in branches), default=-math.inf)
        self.upper = self.rounded(max(settled, left))

    def priced(self, sides: Sides, near: Weighing) -> Relaxation:
        """The best prices of a branch, their row, and the answer that rounding gives."""
        found = cheapest(self.problem, self.rows[0], sides, 0.1 * self.options.gap, near)
        if all(row.price != found.weighing.price for row in self.rows):
            self.rows.append(found.weighing)
        self.round_down(found)
        return found

    def branches(self, relaxation: Relaxation, upper: float) -> bool:
        """Whether two branches promise more than a larger core."""
        split = relaxation.split
        if split is None or self.vague[split] or self.spent or self.options.core == 0:
            return False
        return upper - self.value > self.usual and upper > self.with_vague(relaxation)

    def with_vague(self, relaxation: Relaxation) -> float:
        """Upper bound of the choices of a branch that take a vague candidate."""
        gain = float(relaxation.gain[self.vague].max(initial=-math.inf))
        return relaxation.upper + min(gain, 0.0)

    def round_down(self, relaxation: Relaxation) -> None:
        """Find the longest prefix of the ranking that is possible."""
        low, high, step = 0, relaxation.count + 1, 1
        size = relaxation.count
        while high - low > 1 and not self.spent:
            taken = np.zeros(relaxation.order.size, dtype=bool)
            taken[relaxation.order[:size]] = True
            trial = self.attempt(taken & ~self.vague)
            if trial is not None and trial.possible:
                low = size
            else:
                high, step = size, 2 * step
            size = max(high - step, 1) if low == 0 else (low + high) // 2

    def search(self, relaxation: Relaxation) -> float:
        """Search ever larger cores of a branch; an upper bound of its choices."""
        upper = relaxation.upper
        count, order, vague = relaxation.count, relaxation.order, self.vague
        open_ones = np.flatnonzero((relaxation.sides == 0) | vague)
        rank = np.empty(order.size)
        rank[order] = np.arange(order.size)
        loss = np.abs(relaxation.gain)
        near = np.lexsort((np.abs(rank - count + 0.5), loss, ~vague))
        near = near[np.isin(near, open_ones)]
        always = int(np.count_nonzero(vague))
        size, most = always + 24, always + int(self.options.core)
        while near.size and not (self.closes(self.rounded(upper)) or self.spent) and most > always:
            size = min(size, most, near.size)
            core = near[:size]
            fixed = rank < count
            fixed[core] = False
            outside = -math.inf
            if size < near.size:
                outside = relaxation.upper - float(loss[near[size]])
            last = size in (most, near.size) or outside <= self.value
            inside = self.explore(core, fixed, self.nodes if last else self.nodes // SHARES + 1)
            better = max(inside, outside, self.with_vague(relaxation))
            if better < upper:
                upper, self.proof = better, "dual + tree"
            if last or self.branches(relaxation, upper):
                break
            undecided = int(np.count_nonzero(relaxation.upper - loss[near] > self.value))
            size = min(2 * size, max(undecided, size + 1))
        return upper

    def explore(self, core: NDArray[np.int_], fixed: Mask, nodes: int) -> float:
        """Search the choices that differ from `fixed` in the core only; an upper bound of them.

        No tree gets more than `nodes`.
        """
        choice, charge = self.choice, self.choice.charge
        gained = math.fsum(choice.value[fixed].tolist())
        excluded: list[tuple[Floats, float]] = []
        seen: set[bytes] = set()
        upper, doubt = math.inf, -math.inf
        while not self.spent:
            found = self._program(core, fixed, gained, excluded, min(nodes, self.nodes))
            self.nodes -= found.nodes + 1
            upper = min(upper, gained + found.upper)
            if found.chosen is None or upper <= self.value * (1.0 + self.options.gap):
                break
            taken = fixed.copy()
            taken[core[found.chosen]] = True
            trial = self.attempt(taken)
            possible = trial is not None and trial.possible
            if (possible and charge == 0.0) or not found.whole:
                break
            if trial is not None:
                self.cut(trial)
            key = found.chosen.tobytes()
            proven = any(refuted(choice, row, taken) for row in self.rows)
            if key in seen or not (proven or possible):
                # within tolerances the rows admit it for ever; with it go all that contain it,
                # unless it is possible and merely worth less than the rows believe
                sign = np.where(found.chosen, 1.0, -1.0 if possible else 0.0)
                excluded.append((sign, float(found.chosen.sum()) - 1.0))
                if not (possible or proven):
                    doubt = max(doubt, upper)
            seen.add(key)
        return max(upper, doubt)

    def cut(self, trial: Trial) -> None:
        """Add the row of the rate at which a choice exchanges its resources."""
        rate = trial.price
        if rate == math.inf:
            # all at their least: the rate from which on they stay there
            tangents = self.best.cut(trial)
            rate = 0.0 if tangents is None else -float(tangents.slope.min())
        if rate > 0.0:
            self.rows.append(self.problem.weigh(rate, self.rows[-1]))

    def _program(
        self,
        core: NDArray[np.int_],
        fixed: Mask,
        gained: float,
        excluded: list[tuple[Floats, float]],
        nodes: int,
    ) -> binary.Found:
        choice, charge = self.choice, self.choice.charge
        eased = [charge > 0.0 and row.price < math.inf for row in self.rows]
        weights = [choice.least if row.price == math.inf else row.weight for row in self.rows]
        limits = [
            (row.price * choice.supply if free else capacity(choice, row))
            - math.fsum(weight[fixed].tolist())
            for row, weight, free in zip(self.rows, weights, eased, strict=True)
        ]
        step = max(0.5 * self.options.gap * self.value, self.grain.size * (1.0 - 1e-6))
        return binary.maximise(
            choice.value[core],
            np.array([row[core] for row in weights] + [sign for sign, _ in excluded]),
            np.array(limits + [limit for _, limit in excluded]),
            eased=np.array(eased + [False] * len(excluded)),
            charge=charge,
            most=choice.budget,
            target=self.value + step - gained,
            gap=0.5 * self.options.gap * self.value,
            nodes=nodes,
            time_limit_s=max(self.until_s - time.perf_counter(), 0.01),
        )
