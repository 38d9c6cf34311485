"""Outer approximation of a choice with many supplies and many budgets.

The linear master of `master` chooses, `sharing` decides whether the choice is possible and answers
with tangents, whose perspectives the master then keeps. A refuted choice is excluded with all that
contain it. One that is neither decided nor refuted, which is a matter of the last digits, is
excluded by itself, and the bound stays at least at its value.

Invariants: every possible choice of more value than the best known satisfies all rows, so that the
master's bound is one of the problem, on the word of HiGHS; refutations need nobody's word, and the
answer was judged by the physics. Finite, since no choice returns.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Solution, unpriced, verify
from fl_opt.checks import number, whole
from fl_opt.kernels import EPS
from fl_opt.solvers.grain import Grain
from fl_opt.solvers.master import RELAXATIONS, Master
from fl_opt.solvers.sharing import Sharing, Verdict
from fl_opt.structure import Crossed

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CrossedOuter:
    """Solver of a `Crossed` problem. Proof: "tree".

    Parameters
    ----------
    gap
        The search ends when (bound - value)/bound is at most this [-].
    nodes
        The search ends as well when the trees of all masters have opened so many nodes.

    Nothing is infeasible: the empty choice always is possible. The choice of an earlier solution
    serves as an answer to begin with.
    """

    gap: float = 1e-9
    nodes: int = 2000

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)
        whole("nodes", self.nodes, 1)

    def __call__(
        self,
        problem: Crossed[Any],
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
                search.attempt(earlier)
            search.run(self, until_s)
        certificate = verify(problem, search.decision, bound=-search.upper, proof="tree")
        prices = unpriced(problem, search.decision)
        seconds = time.perf_counter() - began
        return Solution(search.decision, certificate, prices, "crossed", seconds)


class _Search:
    """The best answer so far and the bound of the master."""

    def __init__(self, problem: Crossed[Any]) -> None:
        self.problem, self.choice = problem, problem.crossed
        self.sharing = Sharing(problem)
        self.grain = Grain.of(self.choice.value)
        nobody = np.zeros(self.choice.value.size, dtype=bool)
        self.decision = problem.share(nobody, np.zeros(0))
        self.value, self.doubtful = 0.0, 0.0
        self.upper = math.fsum(self.choice.value.tolist()) * (1.0 + 2.0 * EPS)

    def worth(self, taken: Mask) -> float:
        """Value of a choice."""
        return math.fsum(self.choice.value[taken].tolist())

    def attempt(self, taken: Mask) -> Verdict:
        """Decide on a choice; keep it where it is the best."""
        verdict = self.sharing.decide(taken)
        if verdict.decision is not None and self.worth(taken) > self.value:
            self.decision, self.value = verdict.decision, self.worth(taken)
        return verdict

    def lower(self, upper: float) -> None:
        """Take a bound of the master, never below what is known or in doubt."""
        upper = self.grain.floor(upper)
        self.upper = max(min(self.upper, upper), self.value, self.doubtful)

    def run(self, options: CrossedOuter, until_s: float) -> None:
        """Choose, decide, cut, until bound and answer meet."""
        gap, master = options.gap, Master(self.choice)
        self.fill(self.prepare(master, until_s), until_s)
        while self.upper - self.value > gap * self.upper:
            left_s = until_s - time.perf_counter()
            left = options.nodes - master.opened
            if left_s <= 0.0 or left <= 0:
                return
            wanted = self.value + (self.grain.size * (1.0 - 1e-6) or gap * self.value)
            master.demand(wanted)
            upper, taken = master.solve(left_s, left)
            self.lower(max(upper, wanted))
            if taken is None:
                return
            verdict = self.attempt(taken)
            master.add(verdict.cut)
            if verdict.decision is not None:
                continue
            if not verdict.refuted:
                self.doubtful = max(self.doubtful, self.worth(taken))
                self.upper = max(self.upper, self.doubtful)
            master.exclude(taken, exactly=not verdict.refuted)
            # a part of it is less by one at least
            if self.worth(taken) - float(self.choice.value[taken].min()) > self.value:
                self.fill(np.where(taken, 1.0, 0.0), until_s)

    def prepare(self, master: Master, until_s: float) -> NDArray[np.float64]:
        """Cut where the master's linear relaxation says; its last choice (n,)."""
        choice = self.choice
        everyone = np.ones(choice.value.size, dtype=bool)
        supply = choice.supply[choice.supply_of]
        crowd = np.bincount(choice.supply_of, minlength=choice.supply.size)[choice.supply_of]
        # at the least itself some tangents are too steep for a solver
        for part in (0.0, 1.0 / crowd, 1.0):
            at = np.maximum(np.minimum(1.5 * choice.least, supply), part * supply)
            master.add(self.sharing.tangents(everyone, np.maximum(at, choice.least)))
        share = np.ones(choice.value.size)
        for _ in range(RELAXATIONS):
            left_s = until_s - time.perf_counter()
            if left_s <= 0.0:
                break
            upper, share, first = master.relax(left_s)
            before = self.upper
            self.lower(upper)
            some = share > 1e-6
            at = np.maximum(first[some] / share[some], choice.least[some])
            master.add(self.sharing.tangents(some, at))
            if upper >= before * (1.0 - 1e-6):
                break
        return share

    def fill(self, share: NDArray[np.float64], until_s: float) -> None:
        """Take candidates in the order of their shares while the choice stays possible."""
        taken = np.zeros(share.size, dtype=bool)
        for k in np.lexsort((-self.choice.value, -share)):
            if time.perf_counter() >= until_s:
                return
            trial = taken.copy()
            trial[k] = True
            if self.attempt(trial).decision is not None:
                taken = trial
