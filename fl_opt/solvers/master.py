"""The master of an outer approximation: a linear program with 0/1 choices, in Pyomo, of order one.

maximise  sum value x - charge e     over x in {0,1}^n and amounts b, e of both resources
with      sum b <= supply  of each supply,  sum e <= budget  of each budget,
          least x <= b <= supply x,  e_k >= v x_k + s (b_k - a x_k)  for every tangent (a, v, s)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.structure import CrossedChoice, Cut
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pyomo.environ as pyo

TOLERANCE = 1e-9
"""Feasibility tolerance of the master, whose rows are of order one."""
STEEPEST = 1e12
"""Largest coefficient of a tangent; HiGHS takes none above 1e15. Without it a bound is looser."""
RELAXATIONS = 30
"""Most linear relaxations that are cut before the first tree."""


class Master:
    """The program of a choice; it grows by tangents and by choices that are excluded."""

    def __init__(self, choice: CrossedChoice, charge: float = 0.0) -> None:
        import pyomo.environ as pyo
        from pyomo.contrib.appsi.solvers.highs import Highs

        items = range(choice.value.size)
        limits = choice.budget[choice.budget_of]
        self.limited = bool(np.any(limits < math.inf)) or charge > 0.0
        self.unit_value = float(choice.value.max())
        tiny = np.finfo(float).tiny
        crowd = np.bincount(choice.supply_of, minlength=choice.supply.size)[choice.supply_of]
        self.unit_first = np.maximum(choice.supply[choice.supply_of], tiny) / crowd
        drawn = np.bincount(choice.budget_of, minlength=choice.budget.size)[choice.budget_of]
        usual = self.unit_value / charge if charge > 0.0 else 1.0
        some = (limits > 0.0) & (limits < math.inf)
        self.unit_second = np.where(some, limits, usual * drawn) / drawn
        self.model: pyo.ConcreteModel = pyo.ConcreteModel()
        model = self.model
        supply = self.most = choice.supply[choice.supply_of] / self.unit_first
        model.x = pyo.Var(items, domain=pyo.Binary)
        model.b = pyo.Var(items, bounds=lambda _, k: (0.0, float(supply[k])))
        model.rows = pyo.ConstraintList()
        for k in items:
            least = float(choice.least[k] / self.unit_first[k])
            model.rows.add(model.b[k] >= least * model.x[k])
            model.rows.add(model.b[k] <= float(supply[k]) * model.x[k])
        for members in self._among(choice.supply_of):
            first = pyo.quicksum(model.b[k] for k in members)
            model.rows.add(first <= float(supply[members[0]]))
        self.worth = (choice.value / self.unit_value).tolist()
        gained = pyo.quicksum(self.worth[k] * model.x[k] for k in items)
        if self.limited:
            model.e = pyo.Var(items, bounds=(0.0, None))
            for members in self._among(choice.budget_of):
                limit = float(limits[members[0]] / self.unit_second[members[0]])
                if limit < math.inf:
                    model.rows.add(pyo.quicksum(model.e[k] for k in members) <= limit)
            if charge > 0.0:
                weight = charge * self.unit_second / self.unit_value
                gained -= pyo.quicksum(float(weight[k]) * model.e[k] for k in items)
        model.goal = pyo.Objective(expr=-gained)
        self.opened = 0
        self.solver: Any = Highs()
        self.solver.config.load_solution = False
        self.solver.highs_options = {
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 0.0,
            "mip_feasibility_tolerance": TOLERANCE,
            "primal_feasibility_tolerance": TOLERANCE,
        }

    @staticmethod
    def _among(group: NDArray[np.int_]) -> list[list[int]]:
        return [np.flatnonzero(group == each).tolist() for each in np.unique(group)]

    def add(self, cut: Cut) -> None:
        """The perspectives of some tangents."""
        if not self.limited:
            return
        model = self.model
        for k, at, value, slope in zip(cut.members, cut.at, cut.value, cut.slope, strict=True):
            steep = float(slope * self.unit_first[k] / self.unit_second[k])
            level = float((value - slope * at) / self.unit_second[k])
            if max(abs(level), abs(steep)) > STEEPEST:
                continue
            if abs(steep) < 2.0 * TOLERANCE:
                # HiGHS drops so small a coefficient: all of the supply takes its place
                level, steep = level + min(steep, 0.0) * float(self.most[k]), 0.0
            least = steep * model.b[int(k)] if steep else 0.0
            if abs(level) < 2.0 * TOLERANCE:
                least += min(level, 0.0)
            else:
                least += level * model.x[int(k)]
            model.rows.add(model.e[int(k)] >= least)

    def demand(self, value: float) -> None:
        """Admit no choice of less value, the charge not counted."""
        model = self.model
        gained = sum(worth * model.x[k] for k, worth in enumerate(self.worth))
        model.rows.add(gained >= value / self.unit_value)

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
        if not relaxed:
            self.opened += max(int(self.solver._solver_model.getInfo().mip_node_count), 1)
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

    def solve(
        self, time_limit_s: float, nodes: int | None = None
    ) -> tuple[float, NDArray[np.bool_] | None]:
        """Upper bound of the value and the best choice found, None where there is none.

        At most so many `nodes` of a tree are opened; `opened` counts those of all trees.
        """
        if nodes is not None:
            self.solver.highs_options["mip_max_nodes"] = nodes
        upper, found = self._run(time_limit_s, relaxed=False)
        if found is None:
            return upper, None
        values = found.get_primals(list(self.model.x.values()))
        return upper, np.array([values[x] > 0.5 for x in self.model.x.values()])
