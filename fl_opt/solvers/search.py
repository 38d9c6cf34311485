"""Take the best decision that a problem's own heuristic comes by, beside the problem's own bound.

There is no promise that the gap closes. The certificate says how far it is open.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from fl_opt.certificate import Solution, verify
from fl_opt.errors import SolverFailure
from fl_opt.structure import Searched

D = TypeVar("D")


@dataclass(frozen=True)
class Search:
    """Solver of a `Searched` problem. Proof: "dual". It has no options.

    Ends when the heuristic does, when the bound is met, or at the time limit. Raises
    ``SolverFailure`` where the heuristic finds nothing feasible.
    """

    def __call__(
        self,
        problem: Searched[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Judge what the heuristic offers; an earlier solution is not used."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        bound = problem.floor()
        best: D | None = None
        cost = math.inf
        for candidate in problem.search():
            judged = verify(problem, candidate)
            if judged.feasible and judged.cost < cost:
                best, cost = candidate, judged.cost
            if cost <= bound or time.perf_counter() > until_s:
                break
        if best is None:
            raise SolverFailure("search", "the heuristic finds nothing feasible", "relax a limit")
        certificate = verify(problem, best, bound=bound, proof="dual")
        return Solution(best, certificate, {}, "search", time.perf_counter() - began)
