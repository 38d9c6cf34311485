"""Minimise over one number x a cost that falls with what can be chosen at x, and grows with x.

What can be chosen is a knapsack whose best value U(x) is a staircase that grows with x. On an
interval the cost is at least ``bound(low, U_bound(high))``. Best first: the interval of the least
bound is taken; at its end, or in its middle, the knapsack is solved, and the choice found is given
its own least x. From there to where the knapsack was solved the staircase is flat, so this part is
closed. Invariant: every better decision lies in an open interval; the bound is the least of those
of all open and closed parts.
"""

from __future__ import annotations

import heapq
import math
import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.solvers.bisection import Bisection
from fl_opt.solvers.core import Core
from fl_opt.structure import Stepped

D = TypeVar("D")

_TINY = float(np.finfo(float).tiny)
_BEYOND = 1e-9
"""All members together are surely possible at an x that is larger by this part than needed."""


@dataclass(frozen=True)
class Steps:
    """Solver of a `Stepped` problem. Proof: "dual + tree".

    Parameters
    ----------
    gap
        The search ends when (cost - bound)/cost is at most this [-].
    intervals
        Knapsacks that are solved at most; beyond them the gap that was reached is certified.
    choose, attain
        Solvers of the knapsack and of the least x of a choice.
    """

    gap: float = 1e-9
    intervals: int = 2_000
    choose: Core = field(default_factory=Core)
    attain: Bisection = field(default_factory=Bisection)

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)
        number("intervals", self.intervals, low=1.0)

    def __call__(
        self,
        problem: Stepped[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Solve `problem`; at the time limit, the best so far. Raises ``Infeasible``."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        search = _Search(problem, self)
        search.run(until_s)
        certificate = verify(problem, search.best, bound=search.bound(), proof="dual + tree")
        prices = unpriced(problem, search.best)
        return Solution(search.best, certificate, prices, "steps", time.perf_counter() - began)


class _Search:
    """Open intervals of x, the least bound of the closed parts, and the best decision.

    An interval is (bound, low, high, value, walk): `value` bounds that of every choice at `high`,
    and `walk` says that the knapsack is solved next at `high`, not in the middle.
    """

    def __init__(self, problem: Stepped[Any], options: Steps) -> None:
        self.problem, self.options = problem, options
        self.cost, self.closed = math.inf, math.inf
        self.best: Any = None
        self.known: dict[bytes, tuple[float, float]] = {}
        self.open: list[tuple[float, float, float, float, bool]] = []
        _, last = self.least(problem.everyone())
        # whoever is chosen, a larger x than all together need is of no use
        low = max(problem.shortest(), _TINY)
        self.open.append((-math.inf, low, max(last * (1.0 + _BEYOND), low), math.inf, True))

    def bound(self) -> float:
        """Lower bound of the cost of every decision."""
        opened = self.open[0][0] if self.open else math.inf
        return min(opened, self.closed, self.cost)

    def least(self, chosen: NDArray[np.bool_]) -> tuple[float, float]:
        """The least x of a choice, as a proven lower bound and as attained; its cost is noted."""
        key = np.packbits(chosen).tobytes()
        if key not in self.known:
            solution = self.options.attain(self.problem.least(chosen))
            decision = self.problem.join(chosen, solution.allocation)
            cost = float(self.problem.cost(decision))
            if cost < self.cost or self.best is None:
                self.cost, self.best = cost, decision
            proof = solution.certificate
            self.known[key] = proof.bound, proof.cost
        return self.known[key]

    def run(self, until_s: float) -> None:
        """Take intervals until none can hold anything better."""
        for _ in range(self.options.intervals):
            if not self.open or self.open[0][0] >= self.target or time.perf_counter() > until_s:
                return
            _, low, high, above, walk = heapq.heappop(self.open)
            x = high if walk else math.sqrt(low) * math.sqrt(high)
            solution = self.options.choose(self.problem.choice(x))
            value = -solution.certificate.bound
            chosen = self.problem.taken(solution.allocation)
            first = min(self.least(chosen)[0], x) if chosen.any() else low
            # from `first` to x nothing is worth more than `value`
            self.closed = min(self.closed, self.problem.bound(max(first, low), value))
            if first > low:
                self.add(low, first, value, not walk)
            if x < high:
                self.add(x, high, above, False)

    @property
    def target(self) -> float:
        """What a bound has to reach for the gap to close."""
        return self.cost * (1.0 - self.options.gap)

    def add(self, low: float, high: float, value: float, walk: bool) -> None:
        """Open an interval, or close it where it holds nothing better."""
        bound = self.problem.bound(low, value)
        if bound >= self.target:
            self.closed = min(self.closed, bound)
        else:
            heapq.heappush(self.open, (bound, low, high, value, walk))
