"""Find the price at which demand meets supply.

Newton on ln demand against ln price, inside a bracket: demand falls with the price, so `low` is a
price at which too much is asked and `high` one at which too little is. The last response gives a
lower bound by weak duality, which is true at any price, and, settled to meet the supply, a
decision; their difference is the proof. For a convex problem it vanishes with the square of the
mismatch between demand and supply.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from fl_opt.certificate import Solution, verify
from fl_opt.structure import Priced


@dataclass(frozen=True)
class Price:
    """One price for one shared resource.

    Parameters
    ----------
    tolerance
        Largest mismatch of demand and supply, relative to the supply.
    """

    tolerance: float = 1e-8

    def __call__(
        self,
        problem: Priced[Any],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[Any]:
        """Solve `problem`; `start` gives the first price. Raises ``Infeasible``."""
        begin = time.perf_counter()
        earlier = None if start is None else start.prices.get(problem.shared)
        usable = isinstance(earlier, float) and 0.0 < earlier < math.inf
        price = earlier if usable and isinstance(earlier, float) else problem.price_guess()
        price, response = self._search(problem, price)
        decision = problem.settle(response)
        bound, prices = problem.dual(price, response)
        certificate = verify(problem, decision, bound=bound, proof="dual")
        return Solution(decision, certificate, prices, "price", time.perf_counter() - begin)

    def _search(self, problem: Priced[Any], price: float) -> tuple[float, Any]:
        low, high = 0.0, math.inf
        response = problem.respond(price)
        for _ in range(400):
            if response.demand == 0.0:
                return 0.0, response
            mismatch = math.log(response.demand / problem.supply)
            if abs(mismatch) <= self.tolerance:
                break
            low, high = (price, high) if mismatch > 0.0 else (low, price)
            if low > 0.0 and high <= low * (1.0 + 1e-15):
                break
            price = _next(price, mismatch, response.slope / response.demand, low, high)
            response = problem.respond(price, response)
        return price, response


def _next(price: float, mismatch: float, elasticity: float, low: float, high: float) -> float:
    """Newton step in logarithms, a bisection where it leaves the bracket or has no slope."""
    step = -mismatch / elasticity if elasticity < 0.0 else math.copysign(math.inf, mismatch)
    proposal = price * math.exp(min(max(step, -7.0), 7.0))
    if low < proposal < high:
        return proposal
    if low > 0.0 and high < math.inf:
        return math.sqrt(low) * math.sqrt(high)
    return price * math.exp(math.copysign(7.0, mismatch))
