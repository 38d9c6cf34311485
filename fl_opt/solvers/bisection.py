"""Close a bracket around the least attainable cost.

Invariant: `low` is proven unattainable (or a proven lower bound), `high` is attained. So `low` is a
lower bound of the optimum and the width of the bracket is the optimality gap, whatever the path of
the search. The path: regula falsi on the logarithm of what is demanded over what there is, in the
logarithm of the cost, with bisection where that does not shrink the bracket.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_opt.certificate import Solution, verify
from fl_opt.structure import Attainable, Attempt

_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Bisection:
    """Least attainable cost >= 0.

    Parameters
    ----------
    tolerance
        Final width of the bracket, relative to its upper end.
    """

    tolerance: float = 1e-11

    def __call__(
        self,
        problem: Attainable[Any],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[Any]:
        """Solve `problem`; `start` gives the first guess. Raises ``Infeasible``."""
        begin = time.perf_counter()
        bound, _ = bracket = problem.bracket()
        guess = None if start is None else start.certificate.cost
        low, high, best = self._search(problem, bracket, guess)
        certificate = verify(problem, best, bound=max(low, bound), proof="bracket")
        seconds = time.perf_counter() - begin
        return Solution(best, certificate, problem.prices(high), "bisection", seconds)

    def _search(
        self, problem: Attainable[Any], bracket: tuple[float, float], guess: float | None
    ) -> tuple[float, float, Any]:
        """A refuted and an attained cost, and the decision of the second."""
        low, high = bracket
        if guess is not None and low < guess < math.inf:
            high = guess * (1.0 + 0.25 * self.tolerance)
        attempt = problem.attain(high)
        ends = [(math.log(max(low, _TINY)), math.inf)]
        while attempt.decision is None:
            ends = [(math.log(high), _level(attempt))]
            high *= 2.0
            attempt = problem.attain(high)
        near, far = (math.log(high), _level(attempt)), ends[0]
        best, tried = attempt, low
        # `far` is not attained, `near` is; shrink until they meet to half the tolerance
        width, kept = 0.25 * self.tolerance, 0
        while near[0] - far[0] > width:
            x = _between(far, near, width, kept)
            attempt = problem.attain(math.exp(x))
            point = (x, _level(attempt))
            if attempt.decision is None:
                kept = kept - 1 if kept < 0 else -1
                far = point
                if attempt.refuted:
                    tried = math.exp(x)
            else:
                kept = kept + 1 if kept > 0 else 1
                near, best = point, attempt
        return self._proven(problem, tried, far[0], near[0], best)

    def _proven(
        self, problem: Attainable[Any], low: float, far: float, near: float, best: Attempt[Any]
    ) -> tuple[float, float, Any]:
        """Step down from the last cost that did not fit until one is refuted."""
        step = 0.25 * self.tolerance
        cost = math.exp(far)
        while cost > low and step < 1.0:
            if problem.attain(cost).refuted:
                low = cost
                break
            cost = math.exp(far) * (1.0 - step)
            step *= 4.0
        return low, math.exp(near), best.decision


def _level(attempt: Attempt[Any]) -> float:
    """Logarithm of demand over supply."""
    return math.log1p(attempt.shortage) if attempt.shortage > -1.0 else -math.inf


def _between(far: tuple[float, float], near: tuple[float, float], width: float, kept: int) -> float:
    """A point inside the bracket: regula falsi pulled to the end that lags, else the middle."""
    (x0, y0), (x1, y1) = far, near
    middle = 0.5 * (x0 + x1)
    if not (math.isfinite(y0) and math.isfinite(y1)) or abs(kept) >= 4:
        return middle
    # Illinois: the end that was kept twice counts half
    y0, y1 = (0.5 * y0, y1) if kept >= 2 else (y0, 0.5 * y1) if kept <= -2 else (y0, y1)
    x = x0 + (x1 - x0) * y0 / (y0 - y1) if y0 > y1 else middle
    return min(max(x, x0 + 0.4 * width), x1 - 0.4 * width)
