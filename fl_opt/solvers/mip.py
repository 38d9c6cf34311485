"""Mixed-integer programs by branch and bound: Pyomo models solved by HiGHS.

For reference models, and where no special structure is offered. Branch and bound closes the gap
between the best decision and the relaxations of all open nodes. HiGHS works with tolerances: it
admits constraints violated by `tolerance` and drops nodes that improve the objective by less.
So the bound is lowered by as much, and the decision is judged by the physics like any other.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from fl_opt.certificate import Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.errors import Infeasible, SolverFailure
from fl_opt.structure import Mixed

D = TypeVar("D")


@dataclass(frozen=True)
class Mip:
    """Solver of a `Mixed` problem. Proof: "tree", the word of HiGHS.

    Parameters
    ----------
    gap
        Relative gap between decision and bound at which HiGHS may stop [-].
    tolerance
        Feasibility tolerance of HiGHS, in the units of the model, at least 1e-10.

    At a time limit the best decision found is returned with the bound proven so far. Raises
    ``Infeasible`` where HiGHS proves that no decision exists, ``SolverFailure`` where it ends with
    neither decision nor proof. An earlier solution is not used.
    """

    gap: float = 0.0
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        number("gap", self.gap)
        number("tolerance", self.tolerance, low=1e-10, high=1e-6)

    def __call__(
        self,
        problem: Mixed[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Build the model, solve it, judge the decision."""
        began = time.perf_counter()
        from pyomo.contrib.appsi.base import TerminationCondition
        from pyomo.contrib.appsi.solvers import Highs

        program = problem.program()
        highs = Highs()
        highs.config.load_solution = False
        highs.config.mip_gap = self.gap
        highs.config.time_limit = time_limit_s
        highs.highs_options = {
            "mip_abs_gap": 0.0,
            "mip_feasibility_tolerance": self.tolerance,
            "primal_feasibility_tolerance": self.tolerance,
            "dual_feasibility_tolerance": self.tolerance,
        }
        results = highs.solve(program.model)
        ended = results.termination_condition
        if ended == TerminationCondition.infeasible:
            raise Infeasible("HiGHS proves that no decision meets every limit", constraint="all")
        if results.best_feasible_objective is None:
            raise SolverFailure(
                "mip",
                f"HiGHS ended with {ended.name} and no decision",
                "allow more time, or solve a smaller instance",
            )
        results.solution_loader.load_vars()
        proven = results.best_objective_bound
        bound = -math.inf if proven is None else program.unit * (proven - self.tolerance)
        decision = program.decision()
        certificate = verify(
            problem, decision, bound=bound, proof="none" if proven is None else "tree"
        )
        prices = unpriced(problem, decision)
        return Solution(decision, certificate, prices, "mip", time.perf_counter() - began)
