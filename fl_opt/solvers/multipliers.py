r"""Climb a smooth concave dual function of several prices along the path of a barrier.

    maximise  q(prices) + beta sum_i ln price_i,  beta -> 0

Invariant: prices > 0. Each step is Newton's, cut short where it would leave the positive prices or
not climb. At the maximum for a given beta every limit has the slack beta/price_i, so the decision
of those prices is feasible, and cost - q = n beta: the gap is known and shrinks with beta.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fl_opt.certificate import Solution, verify
from fl_opt.checks import number
from fl_opt.structure import DualPoint, SmoothDual
from fl_opt.units import Floats

D = TypeVar("D")

_STEPS = 300
_SHRINK = 0.1
_LEAST = 1e-18
"""Barrier below which float64 has nothing left to gain, where the cost itself is zero."""


@dataclass(frozen=True)
class Multipliers:
    """Solver of a `SmoothDual` problem. Proof: "dual".

    Parameters
    ----------
    tolerance
        Relative gap at which the path ends [-].
    """

    tolerance: float = 1e-11

    def __post_init__(self) -> None:
        number("tolerance", self.tolerance, open_low=True, high=1e-2)

    def __call__(
        self,
        problem: SmoothDual[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Solve `problem`; a start is not used. At a time limit the gap is what was reached."""
        began = time.perf_counter()
        prices = np.array(problem.price_guess())
        point = problem.dual(prices)
        beta = float(prices.mean())
        for _ in range(_STEPS):
            if time_limit_s is not None and time.perf_counter() - began > time_limit_s:
                break
            slope = prices * point.slope + beta
            if np.abs(slope).max() <= 0.1 * beta:
                if beta * prices.size <= max(self.tolerance * abs(point.value), _LEAST):
                    break
                beta *= _SHRINK
                continue
            prices, point = _ascend(problem, prices, point, beta, slope)
        decision = problem.settle(prices)
        bound, shadow = problem.bound(prices)
        certificate = verify(problem, decision, bound=bound, proof="dual")
        seconds = time.perf_counter() - began
        return Solution(decision, certificate, shadow, "multipliers", seconds)


def _ascend(
    problem: SmoothDual[Any],
    prices: Floats,
    point: DualPoint,
    beta: float,
    slope: Floats,
) -> tuple[Floats, DualPoint]:
    """The prices after a Newton step that stays positive and climbs.

    `slope` is that of the barrier problem to the logarithms of the prices.
    """
    bend = beta * np.eye(prices.size) - point.curvature * np.outer(prices, prices)
    climb = np.linalg.solve(bend, slope)
    gain = float(slope @ climb)
    length = min(1.0, 0.95 / max(float(-climb.min()), 1e-300))
    # what rounding hides of the value
    noise = 1e-14 * (abs(point.value) + beta * prices.size)
    for _ in range(40):
        factor = 1.0 + length * climb
        tried = prices * factor
        there = problem.dual(tried)
        rise = there.value - point.value + beta * float(np.log(factor).sum())
        if rise >= 0.1 * length * gain - noise:
            break
        length *= 0.5
    return tried, there
