"""Convex programs by an interior-point method: CVXPY models solved by Clarabel.

For reference models. The status of the solver counts for nothing but failure: badly scaled input
makes conic solvers report "optimal" far from the optimum, so the decision is judged by the
physics, and there is a bound only where the model turns the dual variables into one.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import Any, TypeVar

from fl_opt.certificate import Solution, verify
from fl_opt.checks import number
from fl_opt.errors import Infeasible, SolverFailure
from fl_opt.structure import Convex

D = TypeVar("D")


@dataclass(frozen=True)
class Conic:
    """Solver of a `Convex` problem. Proof: "dual" where the model offers a bound, else none.

    Parameters
    ----------
    tolerance
        Residuals and gap at which Clarabel stops, in the units of the model [-].

    Raises ``Infeasible`` where Clarabel finds a certificate of infeasibility, ``SolverFailure``
    where it ends without an answer, as at a time limit. An earlier solution is not used.
    """

    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        number("tolerance", self.tolerance, open_low=True, high=1e-2)

    def __call__(
        self,
        problem: Convex[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Build the model, solve it, judge the decision."""
        began = time.perf_counter()
        import cvxpy

        model = problem.model()
        names = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
        options = dict.fromkeys(names, self.tolerance)
        if time_limit_s is not None:
            options["time_limit"] = time_limit_s
        try:
            with warnings.catch_warnings():
                # "solution may be inaccurate": the certificate says how inaccurate
                warnings.simplefilter("ignore", UserWarning)
                # a geometric program is convex in the logarithms of its variables
                geometric = not model.program.is_dcp()
                model.program.solve(solver=cvxpy.CLARABEL, gp=geometric, **options)
        except cvxpy.error.SolverError as error:
            raise _failure(str(error).splitlines()[0].rstrip(".")) from error
        status = model.program.status
        if status == cvxpy.INFEASIBLE:
            raise Infeasible("Clarabel proves that no decision meets every limit", constraint="all")
        if status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
            raise _failure(f"Clarabel ended with {status}")
        decision = model.decision()
        bound = -math.inf if model.bound is None else model.bound()
        certificate = verify(
            problem, decision, bound=bound, proof="none" if model.bound is None else "dual"
        )
        return Solution(decision, certificate, {}, "cvxpy", time.perf_counter() - began)


def _failure(reason: str) -> SolverFailure:
    return SolverFailure(
        "cvxpy", reason, "solve with another solver; fl_opt.solve takes the exact one by default"
    )
