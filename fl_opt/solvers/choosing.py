"""The best choice found so far, and the convex rest by which choices are tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import FEASIBLE, Solution
from fl_opt.solvers.price import Price
from fl_opt.structure import Choice, Cut, MixedConvex

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trial:
    """Whether a choice `taken` (n,) is possible, and the solution of its rest.

    `price` is that of the first resource in the rest, infinite where all are at their least.
    """

    taken: Mask
    possible: bool
    rest: Any
    price: float


class Incumbent:
    """The best choice so far: its mask `answer`, the decision `rest` of its rest, its `value`."""

    def __init__(self, problem: MixedConvex[Any]) -> None:
        self.problem = problem
        self.choice: Choice = problem.choice
        self.answer: Mask = np.zeros(self.choice.value.size, dtype=bool)
        self.rest: Any = None
        self.value = 0.0
        self._last: Solution[Any] | None = None

    def attempt(self, taken: Mask) -> Trial | None:
        """Try a choice, keep it if it is the best; None if its least amounts exceed the supply."""
        choice = self.choice
        if not taken.any():
            return Trial(taken, True, None, 0.0)
        if math.fsum(choice.least[taken].tolist()) > choice.supply * (1.0 + 0.5 * FEASIBLE):
            return None
        rest = self.problem.rest(taken)
        found = self._last = Price()(rest, start=self._last)
        need, price = found.certificate.cost, found.prices[rest.shared]
        possible = found.certificate.feasible and need <= choice.budget * (1.0 + 0.5 * FEASIBLE)
        value = math.fsum(choice.value[taken].tolist())
        value -= choice.charge * need if choice.charge > 0.0 else 0.0
        if possible and value > self.value:
            self.answer, self.rest, self.value = taken, found.allocation, value
        known = price if isinstance(price, float) else math.inf
        return Trial(taken, possible, found.allocation, known)

    def cut(self, trial: Trial) -> Cut | None:
        """Tangents at the minimiser of a trial; None where nobody is taken."""
        if trial.rest is None:
            return None
        return self.problem.tangents(trial.taken, self.problem.first(trial.rest))
