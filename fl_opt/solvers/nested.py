"""Minimise a convex function of one number whose values are convex programs themselves.

Every inner solution gives a supporting line, a lower bound for all x. The search closes a bracket
around the change of sign of their slopes: `left` is a line that falls (or an x that is refuted),
`right` one that rises. The lower bound is where the two best lines meet, so its distance to the
best cost shrinks with the square of the bracket.

Where x may be too large as well, the problem names a premise, a convex function of x that must not
exceed a limit. An x that meets it is found first, by the same search; where the inner problem is
infeasible, the line of the premise says how far nothing is feasible.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fl_opt.certificate import Solution, verify
from fl_opt.errors import Infeasible
from fl_opt.kernels import EPS
from fl_opt.solvers.bisection import Bisection
from fl_opt.solvers.price import Price
from fl_opt.structure import Line, Nested, Premised, Priced

_TINY = float(np.finfo(float).tiny)
_CLEAR = 1e-9
"""By this part below its limit a premise is met beyond doubt."""
_PATIENCE = 15
"""Turns without a smaller gap after which what is left of it is rounding."""


@dataclass(frozen=True)
class NestedSearch:
    """One number on top of a convex program.

    Parameters
    ----------
    tolerance
        Relative gap at which the search stops; it also stops when x is known to twelve digits,
        since the gap shrinks with the square of that.
    inner, attain
        Solvers of the inner problem, by its structure.
    """

    tolerance: float = 1e-11
    inner: Price = field(default_factory=Price)
    attain: Bisection = field(default_factory=Bisection)

    def fixed(self, problem: Nested, x: float, start: Solution[Any] | None) -> Solution[Any]:
        """Solve the inner problem at x."""
        inner = problem.inner(x)
        if isinstance(inner, Priced):
            return self.inner(inner, start=start)
        return self.attain(inner)

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
        if isinstance(problem, Premised):
            premise = _Search(problem.premise, options)
            premise.run(problem.limit * (1.0 - _CLEAR))
            self.least, self.first = premise.best()
        self.tried: list[tuple[float, float, Solution[Any]]] = []
        self.lines: list[Line] = []
        self.reach = math.inf

    def best(self) -> tuple[Solution[Any], float]:
        """The cheapest solution found and its x."""
        _, x, solution = min(self.tried, key=lambda entry: entry[0])
        return solution, x

    @property
    def cost(self) -> float:
        """The least cost found."""
        return min((cost for cost, _, _ in self.tried), default=math.inf)

    def bound(self) -> float:
        """The lowest point of the upper envelope of all lines over the proven range.

        The best cost, where that is less: the judge forgives a decision a little.
        """
        at, value, slope = np.array([(line.at, line.value, line.slope) for line in self.lines]).T
        base, falls = value - slope * at, slope <= 0.0
        steep = slope[~falls] - slope[falls, None]
        corners = np.append((base[falls, None] - base[~falls]) / steep, [self.proven, self.reach])
        inside = corners[(corners >= self.proven) & (corners <= self.reach)]
        heights = value + slope * (inside[:, None] - at)
        return min(float(heights.max(axis=1).min(initial=math.inf)), self.cost)

    def probe(self, x: float) -> float:
        """Slope at x; where the inner problem is infeasible, -inf if x is too small, else inf."""
        start = self.tried[-1][2] if self.tried else None
        try:
            solution = self.options.fixed(self.problem, x, start)
        except Infeasible:
            return self.outside(x)
        cost = self.problem.cost(solution.allocation)
        self.tried.append((cost, x, solution))
        self.reach = min(self.reach, self.problem.reach(cost))
        line = self.problem.line(x, solution, max(self.reach, x))
        self.lines.append(line)
        self.narrow()
        return line.slope

    def narrow(self) -> None:
        """Leave out where a line lies above the best cost: nothing better is there.

        The shorter the range, the less the rounding of a slope lowers the next line.
        """
        cost = self.cost * (1.0 + 8.0 * EPS)
        for line in self.lines:
            if line.value <= cost:
                self.cut(line, cost)

    def cut(self, line: Line, most: float) -> None:
        """Leave out where a line lies above `most`."""
        if line.slope < 0.0:
            edge = line.at + (most - line.value) / line.slope
            self.proven = max(self.proven, edge * (1.0 - 8.0 * EPS))
        elif line.slope > 0.0:
            edge = line.at + (most - line.value) / line.slope
            self.reach = min(self.reach, edge * (1.0 + 8.0 * EPS))

    def outside(self, x: float) -> float:
        """The side on which an infeasible x lies; what is proven of it is noted."""
        problem = self.problem
        if problem.refuted(x):
            self.proven = max(self.proven, x)
        if not isinstance(problem, Premised):
            return -math.inf
        if x == self.first:
            raise problem.refusal(self.least)
        try:
            solution = self.options.fixed(problem.premise, x, None)
        except Infeasible:
            return -math.inf
        line = problem.premise.line(x, solution, max(self.reach, x))
        limit = problem.limit * (1.0 + 8.0 * EPS)
        if line.value > limit:
            self.cut(line, limit)
        return math.copysign(math.inf, x - self.first)

    def closed(self) -> bool:
        """Whether the gap is within tolerance."""
        if not self.lines:
            return False
        return self.cost - self.bound() <= self.options.tolerance * abs(self.cost)

    def run(self, enough: float = -math.inf) -> None:
        """Bracket the change of sign, then shrink it until the gap closes.

        A cost of at most `enough` ends the search too.
        """
        low, below = max(self.proven, _TINY), -math.inf
        high = self.first
        above = self.probe(high)
        while above < 0.0 and high < self.reach and self.cost > enough:
            low, below = high, above
            high = min(2.0 * high, self.reach)
            above = self.probe(high)
        step = 0.5
        while below == -math.inf and above > 0.0 and low < step * high and self.cost > enough:
            x = step * high
            slope = self.probe(x)
            low, below, high, above = (
                (x, slope, high, above) if slope < 0.0 else (low, below, x, slope)
            )
            if slope == -math.inf:
                break
            step *= step
        gap, since = math.inf, 0
        for turn in range(200):
            if self.cost - self.bound() < 0.9 * gap:
                gap, since = self.cost - self.bound(), turn
            if turn > since + _PATIENCE:
                return
            if self.cost <= enough or self.closed() or high <= low * (1.0 + 1e-12):
                return
            if (high - low) * min(-below, above) <= 1e-3 * self.options.tolerance * self.cost:
                return  # what is left of the gap is rounding
            x = math.sqrt(low) * math.sqrt(high)
            finite = math.isfinite(below) and math.isfinite(above)
            if turn % 3 != 2 and finite and below < 0.0 < above:
                x = low + (high - low) * below / (below - above)
                # a step beyond the root brings in the other end
                x += 0.1 * (x - low if high - x > x - low else x - high) * (turn % 2)
            slope = self.probe(x)
            low, below, high, above = (
                (x, slope, high, above) if slope < 0.0 else (low, below, x, slope)
            )
