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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof, Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.solvers.choosing import Incumbent
from fl_opt.structure import Choice, Cut, MixedConvex
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pyomo.environ as pyo

TOLERANCE = 1e-9
"""Feasibility tolerance of the master, whose rows are of order one."""
RELAXATIONS = 30
"""Most linear relaxations that are cut before the first tree."""


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
        master = _Master(self.choice)
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

    def prepare(self, master: _Master, until_s: float) -> None:
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


class _Master:
    """The linear program with 0/1 choices, in Pyomo, of order one."""

    def __init__(self, choice: Choice) -> None:
        import pyomo.environ as pyo
        from pyomo.contrib.appsi.solvers.highs import Highs

        size = choice.value.size
        items = range(size)
        self.limited = choice.budget < math.inf or choice.charge > 0.0
        self.unit_value = float(choice.value.max())
        self.unit_first = max(choice.supply, np.finfo(float).tiny) / size
        self.unit_second = self._second_unit(choice)
        supply = choice.supply / self.unit_first
        self.model: pyo.ConcreteModel = pyo.ConcreteModel()
        model = self.model
        model.x = pyo.Var(items, domain=pyo.Binary)
        model.b = pyo.Var(items, bounds=(0.0, supply))
        model.rows = pyo.ConstraintList()
        for k in items:
            model.rows.add(model.b[k] >= float(choice.least[k]) / self.unit_first * model.x[k])
            model.rows.add(model.b[k] <= supply * model.x[k])
        model.rows.add(pyo.quicksum(model.b.values()) <= supply)
        gained = pyo.quicksum(float(choice.value[k]) / self.unit_value * model.x[k] for k in items)
        if self.limited:
            model.e = pyo.Var(items, bounds=(0.0, None))
            spent = pyo.quicksum(model.e.values())
            if choice.budget < math.inf:
                model.rows.add(spent <= choice.budget / self.unit_second)
            gained -= choice.charge * self.unit_second / self.unit_value * spent
        model.goal = pyo.Objective(expr=-gained)
        self.solver: Any = Highs()
        self.solver.config.load_solution = False
        self.solver.highs_options = {
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 0.0,
            "mip_feasibility_tolerance": TOLERANCE,
            "primal_feasibility_tolerance": TOLERANCE,
        }

    def _second_unit(self, choice: Choice) -> float:
        if 0.0 < choice.budget < math.inf:
            return choice.budget / choice.value.size
        return self.unit_value / choice.charge if choice.charge > 0.0 else 1.0

    def add(self, cut: Cut) -> None:
        """The perspectives of some tangents."""
        if not self.limited:
            return
        model = self.model
        for k, at, value, slope in zip(cut.members, cut.at, cut.value, cut.slope, strict=True):
            steep = slope * self.unit_first / self.unit_second
            level = (value - slope * at) / self.unit_second
            model.rows.add(model.e[int(k)] >= level * model.x[int(k)] + steep * model.b[int(k)])

    def exclude(self, taken: NDArray[np.bool_], exactly: bool) -> None:
        """Admit a choice no more, nor, unless `exactly`, any that contains it."""
        x = self.model.x
        kept = sum(1 - x[int(k)] for k in np.flatnonzero(taken))
        added = sum(x[int(k)] for k in np.flatnonzero(~taken)) if exactly else 0
        self.model.rows.add(kept + added >= 1)

    def _run(self, time_limit_s: float, relaxed: bool) -> tuple[float, Any]:
        """Upper bound of the value, and the solution if there is one."""
        from pyomo.contrib.appsi.base import TerminationCondition

        self.solver.config.time_limit = None if math.isinf(time_limit_s) else time_limit_s
        self.solver.highs_options["solve_relaxation"] = relaxed
        results = self.solver.solve(self.model)
        if results.termination_condition == TerminationCondition.infeasible:
            return -math.inf, None
        least = results.best_feasible_objective
        found = None if least is None else results.solution_loader
        low = least if relaxed else results.best_objective_bound
        return math.inf if low is None else (TOLERANCE - low) * self.unit_value, found

    def relax(self, time_limit_s: float) -> tuple[float, Floats, Floats]:
        """Value, choice and amounts of the first resource of the linear relaxation."""
        upper, found = self._run(time_limit_s, relaxed=True)
        if found is None:
            zeros = np.zeros(len(self.model.x))
            return math.inf, zeros, zeros
        share, first = (
            np.fromiter(found.get_primals(list(block.values())).values(), dtype=float)
            for block in (self.model.x, self.model.b)
        )
        return upper, share, first * self.unit_first

    def solve(self, time_limit_s: float) -> tuple[float, NDArray[np.bool_] | None]:
        """Upper bound of the value and the best choice, None where there is none."""
        upper, found = self._run(time_limit_s, relaxed=False)
        if found is None:
            return upper, None
        values = found.get_primals(list(self.model.x.values()))
        return upper, np.array([values[x] > 0.5 for x in self.model.x.values()])
