"""Minimise a convex function of one number whose values are convex programs themselves.

Every inner solution gives a supporting line, a lower bound for all x. The search closes a bracket
around the change of sign of their slopes: `left` is a line that falls (or an x that is refuted),
`right` one that rises. The lower bound is where the two best lines meet, so its distance to the
best cost shrinks with the square of the bracket.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fl_opt.certificate import Solution, verify
from fl_opt.errors import Infeasible
from fl_opt.solvers.price import Price
from fl_opt.structure import Line, Nested

_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class NestedSearch:
    """One number on top of a convex program.

    Parameters
    ----------
    tolerance
        Relative gap at which the search stops; it also stops when x is known to twelve digits,
        since the gap shrinks with the square of that.
    inner
        Solver of the inner problem.
    """

    tolerance: float = 1e-11
    inner: Price = field(default_factory=Price)

    def __call__(
        self,
        problem: Nested,
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[Any]:
        """Solve `problem`; a `start` is of no use. Raises ``Infeasible``."""
        begin = time.perf_counter()
        search = _Search(problem, self)
        search.run()
        best, x = search.best()
        certificate = verify(problem, best.allocation, bound=search.bound(), proof="dual")
        seconds = time.perf_counter() - begin
        prices = problem.prices(x, best)
        return Solution(best.allocation, certificate, prices, "nested", seconds)


class _Search:
    """The bracket and what is known at its ends."""

    def __init__(self, problem: Nested, options: NestedSearch) -> None:
        self.problem, self.options = problem, options
        self.proven, self.first = problem.span()
        self.tried: list[tuple[float, float, Solution[Any]]] = []
        self.lines: list[Line] = []
        self.reach = math.inf

    def best(self) -> tuple[Solution[Any], float]:
        """The cheapest solution found and its x."""
        _, x, solution = min(self.tried, key=lambda entry: entry[0])
        return solution, x

    def bound(self) -> float:
        """The lowest point of the upper envelope of all lines over the proven range."""
        falling = [line for line in self.lines if line.slope <= 0.0]
        rising = [line for line in self.lines if line.slope > 0.0]
        corners = [self.proven, self.reach]
        for one in falling:
            for two in rising:
                meet = one.value - one.slope * one.at - two.value + two.slope * two.at
                corners.append(meet / (two.slope - one.slope))
        inside = [x for x in corners if self.proven <= x <= self.reach]
        return min(max(_at(line, x) for line in self.lines) for x in inside)

    def probe(self, x: float) -> float:
        """Slope at x; -inf where the inner problem is infeasible."""
        start = self.tried[-1][2] if self.tried else None
        try:
            solution = self.options.inner(self.problem.inner(x), start=start)
        except Infeasible:
            if self.problem.refuted(x):
                self.proven = max(self.proven, x)
            return -math.inf
        cost = self.problem.cost(solution.allocation)
        self.tried.append((cost, x, solution))
        self.reach = min(self.reach, self.problem.reach(cost))
        line = self.problem.line(x, solution, max(self.reach, x))
        self.lines.append(line)
        return line.slope

    def closed(self) -> bool:
        """Whether the gap is within tolerance."""
        if not self.lines:
            return False
        cost = min(self.tried, key=lambda entry: entry[0])[0]
        return cost - self.bound() <= self.options.tolerance * abs(cost)

    def run(self) -> None:
        """Bracket the change of sign, then shrink it until the gap closes."""
        low, below = max(self.proven, _TINY), -math.inf
        high = self.first
        above = self.probe(high)
        while above < 0.0 and high < self.reach:
            low, below = high, above
            high = min(2.0 * high, self.reach)
            above = self.probe(high)
        for turn in range(200):
            if self.closed() or high <= low * (1.0 + 1e-12):
                return
            x = math.sqrt(low) * math.sqrt(high)
            if turn % 3 != 2 and math.isfinite(below) and below < 0.0 < above:
                x = low + (high - low) * below / (below - above)
                # a step beyond the root brings in the other end
                x += 0.1 * (x - low if high - x > x - low else x - high) * (turn % 2)
            slope = self.probe(x)
            low, below, high, above = (
                (x, slope, high, above) if slope < 0.0 else (low, below, x, slope)
            )


def _at(line: Line, x: float) -> float:
    return line.value + line.slope * (x - line.at)
