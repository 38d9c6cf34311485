"""Structures of problems whose candidates are tried, one by one, in a tree, or by HiGHS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Problem
from fl_opt.errors import Infeasible
from fl_opt.structure.convex import Attainable, SmoothDual
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pyomo.environ as pyo

D = TypeVar("D")


@dataclass(frozen=True)
class Program(Generic[D]):
    """A Pyomo model that minimises; `decision` reads its variables, cost = `unit` x objective."""

    model: pyo.ConcreteModel
    decision: Callable[[], D]
    unit: float = 1.0


@runtime_checkable
class Mixed(Problem[D], Protocol[D]):
    """A reference model in Pyomo. Solver: ``mip`` (HiGHS). Proof: tree, the solver's word."""

    def program(self) -> Program[D]:
        """The model."""


@runtime_checkable
class Enumerable(Problem[D], Protocol[D]):
    """Few enough candidates to try them all. Solver: ``enumerate``. Proof: enumeration."""

    def candidates(self) -> Iterator[tuple[D, float]]:
        """Decisions of which one is optimal, each with a lower bound of what its branch costs."""


@runtime_checkable
class Searched(Problem[D], Protocol[D]):
    """A heuristic of the problem's own, and a bound. Solver: ``search``. Proof: dual."""

    def search(self) -> Iterator[D]:
        """Feasible decisions to choose the best from; nothing says that the optimum is there."""

    def floor(self) -> float:
        """A lower bound of the optimal cost, true in floating point."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What prices say of a choice of one option per group, among those still allowed.

    `bound` is a lower bound of the cost, true in floating point, infinite where nothing is
    feasible. `choice` (n,) is best at the prices; `doubt` is the group that is least sure of it, -1
    where none has another option. `prices` serve as a start for a smaller choice. A decision that
    takes an option costs at least `bound` and the option's `rise` (n, m) >= 0, where that is known.
    """

    bound: float
    choice: NDArray[np.int_]
    doubt: int
    prices: Floats
    rise: Floats | None = None


@runtime_checkable
class Branched(Problem[D], Protocol[D]):
    """One option of each group, an easier problem once they are chosen. Solver: ``branch``.

    Proof: dual, and dual + tree where branches were closed.
    """

    def options(self) -> NDArray[np.bool_]:
        """(n, m) the options that each group has."""

    def relax(
        self, allowed: NDArray[np.bool_], enough: float, start: Relaxed | None = None
    ) -> Relaxed:
        """The best prices where some options are allowed; any whose bound is `enough` will do."""

    def fixed(
        self, choice: NDArray[np.int_], near: Relaxed
    ) -> SmoothDual[D] | Attainable[D] | Iterator[D]:
        """The convex problem that a choice leaves, whose decision is the whole's.

        Where none is left, decisions near the choice to take the best from, if one is feasible.
        """

    def refusal(self) -> Infeasible:
        """Why no choice is feasible."""
