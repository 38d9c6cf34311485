"""Choose by two prices, then search the few candidates that the prices leave open.

1. Two prices, of the first and of the second resource, give a bound that no choice exceeds, and a
   ranking of the candidates (see `exchange`).
2. The longest prefix of the ranking that is possible is the first answer.
3. A candidate whose reduced value exceeds the distance of bound and answer is decided. The core,
   those of smallest reduced value, is searched by a 0/1 program with one row per rate at which the
   resources were exchanged so far. Its choice is tried on the convex rest: if it is possible, it
   is the best of the core; if not, its own rate gives a row that excludes it.

Invariants: `upper` is proven, every row holds for every possible choice, the answer is possible.
Once the core holds all candidates that are not decided, what its search leaves is the bound.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import FEASIBLE, Proof, Solution, verify
from fl_opt.checks import number
from fl_opt.kernels import EPS
from fl_opt.solvers import binary
from fl_opt.solvers.exchange import Relaxation, capacity, cheapest
from fl_opt.solvers.grain import Grain
from fl_opt.solvers.price import Price
from fl_opt.structure import Choice, PricedChoice, Weighing
from fl_opt.units import Floats

Mask = NDArray[np.bool_]
SHARES = 5
"""A single tree may use this part of the nodes, so that a larger core has its turn."""
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
        if search.choice.value.size:
            search.run(None if start is None else problem.recall(start.allocation))
        decision = problem.join(search.answer, search.rest)
        bound = -search.upper if search.choice.value.size else 0.0
        certificate = verify(problem, decision, bound=bound, proof=search.proof)
        prices: dict[str, float | Floats | None] = dict.fromkeys(problem.excess(decision))
        return Solution(decision, certificate, prices, "prices", time.perf_counter() - began)


@dataclass(frozen=True)
class _Trial:
    """Whether a choice is possible, and the rate at which its resources are exchanged."""

    possible: bool
    rate: float


class _Search:
    """The best answer so far, the bound, and the rows that every possible choice obeys."""

    def __init__(self, problem: PricedChoice[Any], options: TwoPrices, until_s: float) -> None:
        self.problem, self.options, self.until_s = problem, options, until_s
        self.choice: Choice = problem.choice
        size = self.choice.value.size
        self.answer: Mask = np.zeros(size, dtype=bool)
        self.rest: Any = None
        self.value, self.upper = 0.0, math.inf
        self.proof: Proof = "dual"
        self.rows: list[Weighing] = []
        self.last: Solution[Any] | None = None
        self.nodes = int(options.nodes)
        # whose least amount floating point does not tell: searched always, and never proven absent
        self.vague = self.choice.least - self.choice.least_low > VAGUE * self.choice.supply
        self.grain = Grain(0.0, 0.0) if self.choice.charge > 0.0 else Grain.of(self.choice.value)

    @property
    def closed(self) -> bool:
        """Whether the gap is small enough."""
        return self.upper - self.value <= self.options.gap * self.upper

    @property
    def spent(self) -> bool:
        """Whether the nodes or the time are used up."""
        return self.nodes <= 0 or time.perf_counter() > self.until_s

    def tighten(self, upper: float, proof: Proof) -> None:
        """Take a proven bound, rounded to the grain of the values."""
        upper = max(self.grain.floor(upper), self.value * (1.0 + 2.0 * EPS))
        if upper < self.upper:
            self.upper, self.proof = upper, proof

    def refuted(self, taken: Mask) -> bool:
        """Whether a row excludes a choice beyond rounding."""
        rounding = 1.0 + (32.0 + 2.0 * math.log2(taken.size + 1.0)) * EPS
        return any(
            float(row.weight[taken].sum()) > capacity(self.choice, row) * rounding
            for row in self.rows
        )

    def attempt(self, taken: Mask) -> _Trial | None:
        """Try a choice, keep it if it is the best so far; None where it need not be solved."""
        choice = self.choice
        gained = math.fsum(choice.value[taken].tolist())
        least = math.fsum(choice.least[taken].tolist())
        if not taken.any():
            return _Trial(True, 0.0)
        if least > choice.supply * (1.0 + FEASIBLE) or self.refuted(taken):
            return None
        rest = self.problem.rest(taken)
        found = self.last = Price()(rest, start=self.last)
        need, rate = found.certificate.cost, found.prices[rest.shared]
        possible = found.certificate.feasible and need <= choice.budget * (1.0 + 0.5 * FEASIBLE)
        value = gained - choice.charge * need if choice.charge > 0.0 else gained
        if possible and value > self.value:
            self.answer, self.rest, self.value = taken, found.allocation, value
        if not isinstance(rate, float) or math.isinf(rate):
            # all at their least: the rate from which on they stay there
            cut = self.problem.tangents(taken, self.problem.first(found.allocation))
            rate = max(-float(cut.slope.min()), 0.0)
        return _Trial(possible, rate)

    def run(self, start: Mask | None) -> None:
        """Price, round, search."""
        best, ample = cheapest(self.problem, 0.1 * self.options.gap)
        self.rows = [ample.weighing] if best is ample else [ample.weighing, best.weighing]
        self.tighten(best.upper, "dual")
        if start is not None:
            self.attempt(start)
        self.round_down(best)
        self.tighten(best.upper, "dual")
        rank = np.empty(best.order.size)
        rank[best.order] = np.arange(best.order.size)
        near = np.lexsort((np.abs(rank - best.count + 0.5), np.abs(best.gain), ~self.vague))
        vague = int(np.count_nonzero(self.vague))
        if_vague = best.upper + min(float(best.gain[near[:vague]].max(initial=-math.inf)), 0.0)
        size = vague + 24
        while not (self.closed or self.spent) and self.options.core:
            size = min(size, vague + int(self.options.core), near.size)
            core = near[:size]
            fixed = rank < best.count
            fixed[core] = False
            inside = self.explore(core, fixed)
            outside = -math.inf
            if size < near.size:
                outside = best.upper - abs(float(best.gain[near[size]]))
            self.tighten(max(inside, outside, if_vague), "dual + tree")
            if size == near.size or size - vague >= self.options.core or outside <= self.value:
                return
            undecided = int(np.count_nonzero(best.upper - np.abs(best.gain) > self.value))
            size = min(2 * size, max(undecided, size + 1))

    def round_down(self, best: Relaxation) -> None:
        """Find the longest prefix of the ranking that is possible."""
        low, high, step = 0, best.count + 1, 1
        size = best.count
        while high - low > 1 and not self.spent:
            taken = np.zeros(best.order.size, dtype=bool)
            taken[best.order[:size]] = True
            trial = self.attempt(taken & ~self.vague)
            if trial is not None and trial.possible:
                low = size
            else:
                high, step = size, 2 * step
            size = max(high - step, 1) if low == 0 else (low + high) // 2

    def explore(self, core: NDArray[np.int_], fixed: Mask) -> float:
        """Search the choices that differ from `fixed` in the core only; an upper bound of them."""
        choice, charge = self.choice, self.choice.charge
        gained = math.fsum(choice.value[fixed].tolist())
        excluded: list[tuple[Floats, float]] = []
        seen: set[bytes] = set()
        upper, doubt = math.inf, -math.inf
        while not self.spent:
            found = self._program(core, fixed, gained, excluded)
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
            if trial is not None and trial.rate > 0.0:
                self.rows.append(self.problem.weigh(trial.rate, self.rows[-1]))
            key = found.chosen.tobytes()
            refuted = self.refuted(taken)
            if key in seen or (not refuted and not possible):
                # within tolerances the rows admit it for ever; with it go all that contain it,
                # unless it is possible and merely worth less than the rows believe
                sign = np.where(found.chosen, 1.0, -1.0 if possible else 0.0)
                excluded.append((sign, float(found.chosen.sum()) - 1.0))
                doubt = doubt if refuted else max(doubt, upper)
            seen.add(key)
        return max(upper, doubt)

    def _program(
        self,
        core: NDArray[np.int_],
        fixed: Mask,
        gained: float,
        excluded: list[tuple[Floats, float]],
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
            nodes=min(self.nodes, int(self.options.nodes) // SHARES + 1),
            time_limit_s=max(self.until_s - time.perf_counter(), 0.01),
        )
