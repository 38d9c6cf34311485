"""Take the optimum from the formula, and judge it as any other answer.

The problem knows its best decision and a bound; cost and violations are recomputed here, so that
a slip in the formula shows as a gap or as a violation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fl_opt.certificate import Problem, Solution, verify
from fl_opt.structure import ClosedForm

D = TypeVar("D")


class Solved(ClosedForm[D], Problem[D], Protocol[D]):
    """What `Closed` solves: a problem that is its own answer."""


@dataclass(frozen=True)
class Closed:
    """Optimum by a formula, a few scalar roots, or the problem's own algorithm. No options."""

    def __call__(
        self,
        problem: Solved[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Solve `problem`; neither a time limit nor a start is of use to a formula."""
        begin = time.perf_counter()
        best = problem.optimum()
        certificate = verify(problem, best.decision, bound=best.bound, proof=best.proof)
        seconds = time.perf_counter() - begin
        return Solution(best.decision, certificate, best.prices, "closed", seconds)
