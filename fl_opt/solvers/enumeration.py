"""Try every candidate. For tests and for instances that fit on a page."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from fl_opt.certificate import Solution, unpriced, verify
from fl_opt.errors import Infeasible, SolverFailure
from fl_opt.structure import Enumerable

D = TypeVar("D")


@dataclass(frozen=True)
class Enumeration:
    """Solver of an `Enumerable` problem: the best of all its candidates. Proof: "enumeration".

    The bound is the least lower bound of all branches; at a time limit there is none. Raises
    ``Infeasible`` where no candidate meets the constraints, ``SolverFailure`` where none does
    within the time.
    """

    def __call__(
        self,
        problem: Enumerable[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Judge every candidate; an earlier solution does not help and is not used."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        best: D | None = None
        cost, bound, tried, complete = math.inf, math.inf, 0, True
        missed: set[str] = set()
        for candidate, low in problem.candidates():
            if tried and time.perf_counter() > until_s:
                complete = False
                break
            tried += 1
            bound = min(bound, low)
            judged = verify(problem, candidate)
            missed.update(judged.violation)
            if judged.feasible and judged.cost < cost:
                best, cost = candidate, judged.cost
        if best is None and not complete:
            raise SolverFailure(
                "enumerate", f"none of the first {tried} candidates is feasible", "allow more time"
            )
        if best is None:
            raise Infeasible(
                f"none of {tried} candidates meets {', '.join(sorted(missed)) or 'anything'}",
                constraint=min(missed, default=""),
            )
        certificate = verify(
            problem,
            best,
            bound=bound if complete else -math.inf,
            proof="enumeration" if complete else "none",
        )
        prices = unpriced(problem, best)
        return Solution(best, certificate, prices, "enumerate", time.perf_counter() - began)
