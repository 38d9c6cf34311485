"""Outer approximation: a linear master chooses, the convex rest answers with tangents.

The master has x in {0,1}^n, the amounts b and e of both resources, and

    maximise  sum value x - charge e     with  sum b <= supply,  sum e <= budget,
              least x <= b <= supply x,  e_k >= v x_k + s (b_k - a x_k)  for every tangent (a, v, s)

The tangents are perspectives: they vanish with x_k. The rest of each choice is solved, and cut at
its minimiser; where it breaks the budget, these cuts exclude it, because they hold together its
least. So no choice returns and the search is finite (Duran, Grossmann, Mathematical Programming
36, 1986; Fletcher, Leyffer, Mathematical Programming 66, 1994). The master's tolerances would let
some return all the same: those are excluded by name, with all that contain them if they are
impossible.

Invariants: every possible choice satisfies all rows, so that the master's bound is one of the
problem, on the word of HiGHS; the answer was solved and judged by the physics.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof, Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.solvers.choosing import Incumbent
from fl_opt.solvers.master import RELAXATIONS, Master
from fl_opt.structure import Choice, CrossedChoice, MixedConvex


@dataclass(frozen=True)
class OuterApproximation:
    """Solver of a `MixedConvex` problem. Proof: "tree".

    Parameters
    ----------
    gap
        The search ends when (bound - value)/bound is at most this [-].

    With the solver ``prices`` it shares the convex rest, nothing else: neither bound, nor rows,
    nor search. Nothing is infeasible: the empty choice always is possible. The choice of an
    earlier solution serves as an answer to begin with.
    """

    gap: float = 1e-9

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)

    def __call__(
        self,
        problem: MixedConvex[Any],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[Any]:
        """Choose; at the time limit, the best answer found with the bound proven so far."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        search = _Search(problem)
        if search.choice.value.size:
            earlier = None if start is None else problem.recall(start.allocation)
            if earlier is not None:
                search.best.attempt(earlier)
            search.run(self.gap, until_s)
        decision = problem.join(search.best.answer, search.best.rest)
        proof: Proof = "tree" if search.upper < math.inf else "none"
        certificate = verify(problem, decision, bound=-search.upper, proof=proof)
        prices = unpriced(problem, decision)
        return Solution(decision, certificate, prices, "outer", time.perf_counter() - began)


class _Search:
    """The best answer so far and the bound of the master."""

    def __init__(self, problem: MixedConvex[Any]) -> None:
        self.best = Incumbent(problem)
        self.choice = self.best.choice
        self.upper = math.inf if self.choice.value.size else 0.0

    def run(self, gap: float, until_s: float) -> None:
        """Choose, solve the rest, cut, until bound and answer meet."""
        master = Master(_crossed(self.choice), self.choice.charge)
        self.prepare(master, until_s)
        seen: set[bytes] = set()
        while not self.upper - self.best.value <= gap * self.upper < math.inf:
            left_s = until_s - time.perf_counter()
            if left_s <= 0.0:
                break
            upper, taken = master.solve(left_s)
            self.upper = max(min(self.upper, upper), self.best.value)
            if taken is None:
                break
            trial = self.best.attempt(taken)
            possible = trial is not None and trial.possible
            if possible and self.choice.charge == 0.0 and self.best.value >= upper * (1.0 - gap):
                break
            cut = None if trial is None else self.best.cut(trial)
            if cut is not None:
                master.add(cut)
            if taken.tobytes() in seen or cut is None:
                master.exclude(taken, exactly=possible)
            seen.add(taken.tobytes())
            if not possible:
                self.repair(taken, until_s)

    def prepare(self, master: Master, until_s: float) -> None:
        """Cut near the least, at equal shares, at all there is, and where the master's LP says."""
        choice = self.choice
        everyone = np.ones(choice.value.size, dtype=bool)
        # at the least itself some tangents are too steep for a solver
        for part in (0.0, 1.0 / everyone.size, 1.0):
            at = np.maximum(1.5 * choice.least, part * choice.supply)
            master.add(self.best.problem.tangents(everyone, at))
        before = math.inf
        for _ in range(RELAXATIONS):
            left_s = until_s - time.perf_counter()
            if not master.limited or left_s <= 0.0:
                return
            upper, share, first = master.relax(left_s)
            if upper >= before * (1.0 - 1e-6):
                return
            some, before = share > 1e-6, upper
            master.add(self.best.problem.tangents(some, first[some] / share[some]))

    def repair(self, taken: NDArray[np.bool_], until_s: float) -> None:
        """Leave out the least valuable of a choice until the rest is possible: an answer early."""
        members = np.flatnonzero(taken)
        members = members[np.argsort(-self.choice.value[members], kind="stable")]
        low, high = 0, members.size
        while high - low > 1 and time.perf_counter() < until_s:
            middle = (low + high) // 2
            some = np.zeros_like(taken)
            some[members[:middle]] = True
            if math.fsum(self.choice.value[some].tolist()) <= self.best.value:
                low = middle
                continue
            trial = self.best.attempt(some)
            fits = trial is not None and trial.possible
            low, high = (middle, high) if fits else (low, middle)


def _crossed(choice: Choice) -> CrossedChoice:
    """The same choice, written as one of many supplies and budgets of which there is one each."""
    only = np.zeros(choice.value.size, dtype=np.int_)
    supply, budget = np.array([choice.supply]), np.array([choice.budget])
    return CrossedChoice(choice.value, choice.least, choice.least_low, supply, only, budget, only)
